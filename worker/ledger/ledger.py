"""The ledger as a whole: one connection, its rooms, and this process's name in it."""

import os
import socket
from secrets import token_hex

from worker.ledger.calls import Calls
from worker.ledger.events import Events
from worker.ledger.fleet import Fleet
from worker.ledger.gauges import Gauges
from worker.ledger.intake import Intake
from worker.ledger.jobs import Jobs
from worker.ledger.logs import Logs
from worker.ledger.messages import Messages
from worker.ledger.policy import LedgerPolicy
from worker.ledger.registry import Registry
from worker.ledger.status import Status
from worker.ledger.store import Store
from worker.ledger.tokens import Tokens


class Ledger:
    """One process's view of the ledger of one shard."""

    def __init__(self, url: str, policy: LedgerPolicy | None = None, shard: str = "0") -> None:
        # A name that no other process has or had: its leases are known by it.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self.shard = shard
        self.policy = policy or LedgerPolicy()
        self.store = Store(url, shard, self.policy)
        self.intake = Intake(self.store, self.owner)
        self.events = Events(self.store)
        self.messages = Messages(self.store, self.owner, url, shard)
        calls = Calls()
        self.jobs = Jobs(self.store, self.owner, calls)
        self.fleet = Fleet(self.store, self.owner, calls)
        self.registry = Registry(self.store)
        self.logs = Logs(self.store)
        self.tokens = Tokens(self.store)
        self.status = Status(self.store)
        self.gauges = Gauges(self.store, self.owner)

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
