"""The backlog of a benchmark is one that the ledger itself could have written."""

from tests.ledger.audit import LedgerContents
from tests.ledger.planting import plant
from tests.samples import an_integration
from worker.ledger import Ledger


async def test_a_planted_backlog_is_owed_and_can_be_claimed(ledger: Ledger) -> None:
    await ledger.integrations.put(integration := an_integration())
    await plant(ledger, integration, 1_200)

    status = await ledger.status.read()
    assert (status.counter("accepted"), status.pending, status.lanes[0].due) == (1_200, 1_200, 1_200)
    assert (await LedgerContents.read(ledger)).problems() == []
    claimed = await ledger.jobs.claim([integration.id], 5)
    claims = claimed.claims
    assert len({claim.event.event.id for claim in claims if claim.event}) == 5
