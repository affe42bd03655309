"""The ledger as a whole: one connection, its rooms, and this process's name in it."""

import os
import socket
from collections.abc import Collection
from secrets import token_hex

from worker.ledger.claim_calls import ClaimCalls
from worker.ledger.event_history import EventReader
from worker.ledger.fleet import Fleet
from worker.ledger.inbox import Inbox
from worker.ledger.intake_list import IntakeList
from worker.ledger.integration_repository import IntegrationRepository
from worker.ledger.job_lanes import JobLanes
from worker.ledger.ledger_status import StatusReader
from worker.ledger.log_records import LogRecords
from worker.ledger.permissions import EVERYTHING
from worker.ledger.policy import LedgerPolicy
from worker.ledger.redis_client import RedisClient
from worker.ledger.reopening import Reopening
from worker.ledger.token_repository import TokenRepository
from worker.ledger.totals import TotalsReader


class Ledger:
    """One process's view of the ledger of one shard."""

    def __init__(self, url: str, policy: LedgerPolicy | None = None, shard: str = "0") -> None:
        # A name that no other process has or had: its leases are known by it.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self.shard = shard
        self.policy = policy or LedgerPolicy()
        self.store = RedisClient(url, shard, self.policy)
        self.intake = Inbox(self.store, self.owner)
        self.events = EventReader(self.store)
        self.messages = IntakeList(self.store, self.owner, url)
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

    async def open(self, needed: Collection[str] = EVERYTHING) -> None:
        """Check the store, and that this user may run the commands `needed` (see permissions.py).

        Raises LedgerUnavailable where it does not answer, LedgerForbidden where a command is refused, and
        LedgerFormatError where it will not do.
        """
        await self.store.open(needed)

    async def close(self) -> None:
        """Closes the connections; what is leased stays leased until its lease runs out."""
        await self.messages.close()
        await self.store.close()
