"""The ledger as a whole: one connection to Redis, its parts, and the name of this process."""

from collections.abc import Collection

from worker.ledger.archive_outbox import ArchiveOutbox
from worker.ledger.change_records import ChangeRecords
from worker.ledger.connection.call_observer import NO_OBSERVER, CallObserver
from worker.ledger.connection.permissions import EVERYTHING
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.erasure import Erasure
from worker.ledger.events.hot_events import HotEvents
from worker.ledger.events.inbox import Inbox
from worker.ledger.events.intake_list import IntakeList
from worker.ledger.fleet import Fleet
from worker.ledger.inspection.event_history import EventReader
from worker.ledger.inspection.failing_lanes import FailingIndex
from worker.ledger.inspection.lane_activity import ActivityReader
from worker.ledger.inspection.ledger_status import StatusReader
from worker.ledger.inspection.processes import ProcessReader
from worker.ledger.inspection.pulse import PulseReader
from worker.ledger.inspection.totals import TotalsReader
from worker.ledger.integration_repository import IntegrationRepository
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.job_lanes import JobLanes
from worker.ledger.lanes.log_records import LogRecords
from worker.ledger.lanes.reopening import Reopening
from worker.ledger.lease import Lease
from worker.ledger.membership import Membership
from worker.ledger.notices import Notices
from worker.ledger.policy import LedgerPolicy
from worker.ledger.process_identity import own_identity
from worker.ledger.token_repository import TokenRepository


class Ledger:
    """One process's access to the ledger of one shard."""

    def __init__(
        self,
        url: str,
        policy: LedgerPolicy | None = None,
        shard: str = "0",
        observer: CallObserver = NO_OBSERVER,
    ) -> None:
        identity = own_identity()
        # No other process has or had this name: leases are recorded under it.
        self.owner = identity.new_owner()
        self.shard = shard
        self.policy = policy or LedgerPolicy()
        self.redis = RedisClient(url, shard, self.policy, observer)
        self.inbox = Inbox(self.redis, self.owner)
        self.events = EventReader(self.redis)
        self.hot_events = HotEvents(self.redis, self.owner)
        self.intake_list = IntakeList(self.redis, self.owner, url)
        calls, lease = ClaimCalls(), Lease(self.policy.lease / 1000)
        self.jobs = JobLanes(self.redis, self.owner, calls, lease)
        self.redelivery = Reopening(self.redis)
        self.fleet = Fleet(self.redis, self.owner, identity, calls, lease)
        self.membership = Membership(self.redis, self.owner)
        self.integrations = IntegrationRepository(self.redis, self.membership)
        self.notices = Notices(self.redis)
        self.logs = LogRecords(self.redis)
        self.tokens = TokenRepository(self.redis)
        self.changes = ChangeRecords(self.redis)
        self.outbox = ArchiveOutbox(self.redis, self.owner)
        self.erasure = Erasure(self.redis)
        self.status = StatusReader(self.redis)
        self.totals = TotalsReader(self.redis, self.owner)
        self.activity = ActivityReader(self.redis)
        self.failing = FailingIndex(self.redis)
        self.pulse = PulseReader(self.redis)
        self.processes = ProcessReader(self.redis)

    @property
    def address(self) -> str:
        """The address of Redis, without a password."""
        return self.redis.address

    async def open(self, needed: Collection[str] = EVERYTHING) -> None:
        """Check Redis, and that this user may run the commands `needed` (see permissions.py).

        Raises:
            LedgerUnavailable: Redis does not answer.
            LedgerForbidden: Redis refuses the login or a command.
            LedgerFormatError: The server is unsuitable, or another version wrote its ledger.
        """
        await self.redis.open(needed)
        # Any script writes the format into an empty ledger, and refuses a ledger of another format.
        await self.membership.read()

    async def close(self) -> None:
        """Close the connections. Leases stay until they run out."""
        await self.intake_list.close()
        await self.hot_events.close()
        await self.redis.close()
