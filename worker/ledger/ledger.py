"""The ledger as a whole: one connection, its rooms, and this process's name in it."""

import os
import socket
from secrets import token_hex

from worker.ledger.connection.call_observer import NO_OBSERVER, CallObserver
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import Inbox
from worker.ledger.events.intake_list import IntakeList
from worker.ledger.fleet import Fleet
from worker.ledger.inspection.event_history import EventReader
from worker.ledger.inspection.ledger_status import StatusReader
from worker.ledger.inspection.totals import TotalsReader
from worker.ledger.integration_repository import IntegrationRepository
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.job_lanes import JobLanes
from worker.ledger.lanes.log_records import LogRecords
from worker.ledger.lanes.reopening import Reopening
from worker.ledger.policy import LedgerPolicy
from worker.ledger.token_repository import TokenRepository


class Ledger:
    """One process's view of the ledger of one shard."""

    def __init__(
        self,
        url: str,
        policy: LedgerPolicy | None = None,
        shard: str = "0",
        observer: CallObserver = NO_OBSERVER,
    ) -> None:
        # A name that no other process has or had: its leases are known by it.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self.shard = shard
        self.policy = policy or LedgerPolicy()
        self.store = RedisClient(url, shard, self.policy, observer)
        self.intake = Inbox(self.store, self.owner)
        self.events = EventReader(self.store)
        self.messages = IntakeList(self.store, self.owner, url, shard)
        calls = ClaimCalls()
        self.jobs = JobLanes(self.store, self.owner, calls)
        self.redelivery = Reopening(self.store)
        self.fleet = Fleet(self.store, self.owner, calls)
        self.registry = IntegrationRepository(self.store)
        self.logs = LogRecords(self.store)
        self.tokens = TokenRepository(self.store)
        self.status = StatusReader(self.store)
        self.gauges = TotalsReader(self.store, self.owner)

    @property
    def address(self) -> str:
        """Where the store is, without its password."""
        return self.store.address

    async def open(self) -> None:
        """Raises LedgerUnavailable where the store does not answer, LedgerFormatError where it will not do."""
        await self.store.open()

    async def close(self) -> None:
        """Closes the connections; what is leased stays leased until its lease runs out."""
        await self.messages.close()
        await self.store.close()
