"""What tests of processes ask of the ledger, by its public methods."""

from collections.abc import Sequence

from worker.domain.integration_log import IntegrationLog
from worker.ledger import Ledger


async def balanced(ledger: Ledger) -> None:
    """Assert invariant 1, once nothing is under way."""
    status = await ledger.status.read()
    assert (status.events_balance, status.jobs_balance) == (0, 0), status


async def counted(ledger: Ledger, name: str, least: int) -> bool:
    """Return whether a counter of the ledger has reached a value."""
    return (await ledger.status.read()).counter(name) >= least


async def succeeded(ledger: Ledger, least: int) -> bool:
    """Return whether so many jobs have succeeded."""
    return await counted(ledger, "succeeded", least)


async def logs_of(ledger: Ledger, integration_id: str) -> Sequence[IntegrationLog]:
    """Return the logs of an integration, the newest first."""
    return (await ledger.logs.of_integration(integration_id, 0, 1_000)).items


async def logged(
    ledger: Ledger, integration_id: str, count: int, succeeded: bool = False
) -> Sequence[IntegrationLog] | None:
    """Return the logs of an integration, or those of its successes, once there are so many."""
    found = [log for log in await logs_of(ledger, integration_id) if log.succeeded or not succeeded]
    return found if len(found) >= count else None
