"""How the benchmark's integrations get into the ledger."""

from uuid import uuid4

from config.settings import Settings
from worker.events import Scope
from worker.integrations import Integration
from worker.ledger import Ledger, LedgerPolicy


async def register_webhooks(settings: Settings, url: str, count: int, observable_key: str, scope: Scope) -> None:
    """Registers `count` webhook integrations of `scope`, each observing `observable_key` and posting to `url`.

    They have no secret, so that no key is needed. Raises LedgerError where the store of the settings does not answer.
    """
    assert settings.redis_url is not None
    ledger = Ledger(settings.redis_url.get_secret_value(), LedgerPolicy.of(settings), settings.shard)
    await ledger.open()
    try:
        for number in range(1, count + 1):
            integration = Integration(
                id=str(uuid4()),
                scope=scope,
                name=f"ERP {number}",
                integration_type="webhook",
                observes=(observable_key,),
                configuration={"url": url},
            )
            await ledger.registry.put(integration, expect=0)
    finally:
        await ledger.close()
