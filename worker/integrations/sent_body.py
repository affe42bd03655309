"""The body that an attempt sent, made again from the event that the ledger keeps."""

from pydantic import BaseModel

from deliverers.contract import IntegrationRef
from deliverers.envelopes import cloudevent_body, webhook_body
from worker.domain.deliveries import delivery_of
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Ledger

_WEBHOOK = "webhook"


class _Shown(BaseModel):
    """The part of a configuration that a body holds."""

    url: str | None = None


async def sent_body(ledger: Ledger, log: IntegrationLog) -> bytes | None:
    """Return the body of an attempt: equal byte for byte, unless the integration's name or URL has changed since.

    Returns None if the event is erased or no longer kept, or the integration was deleted.
    """
    jobs = await ledger.jobs.get([log.job_id])
    history = await ledger.events.show(jobs[0].event_ref, 0, 1) if jobs else None
    found = await ledger.integrations.get([log.integration_id])
    if history is None or history.stored.erased or not found:
        return None
    integration = found[0]
    kind = integration.integration_type
    ref = IntegrationRef(integration.id, kind, integration.name, integration.description)
    # A body holds nothing else of a configuration, so its secrets stay sealed.
    configuration = _Shown(url=integration.configuration.get("url"))
    delivery = delivery_of(history.stored, ref, configuration, log.job_id, log.attempt)
    return webhook_body(delivery) if kind == _WEBHOOK else cloudevent_body(delivery)
