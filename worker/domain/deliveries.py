"""Deliveries: the argument of a deliverer, made from an event of the ledger."""

from pydantic import BaseModel

from deliverers.contract import Delivery, IntegrationRef
from deliverers.signatures import SigningKey
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext


def delivery_of(
    stored: StoredEvent,
    integration: IntegrationRef,
    configuration: BaseModel,
    job_id: str,
    attempt: int,
    epoch: int = 0,
    trace: TraceContext | None = None,
    timeout: float | None = None,
    signing_keys: tuple[SigningKey, ...] = (),
) -> Delivery:
    """Return the delivery of an event to an integration; `trace` is passed on to the receiver.

    `timeout` (seconds) and `signing_keys` are the integration's own.
    """
    event = stored.event
    return Delivery(
        job_id=job_id,
        attempt=attempt,
        epoch=epoch,
        event_id=event.id,
        triggered_by=event.type,
        data=event.data,
        included=event.included,
        store_id=event.scope.store_id,
        org_id=event.scope.org_id,
        time=stored.time,
        source=event.source,
        integration=integration,
        configuration=configuration,
        trace=trace.headers if trace else {},
        flat=event.flat,
        sequence=stored.sequence,
        timeout=timeout,
        signing_keys=signing_keys,
    )
