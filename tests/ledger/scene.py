"""One ledger under test, with short verbs: the words of a scenario."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from deliverers.registry import DelivererRegistry
from tests.ledger import raw
from tests.ledger.audit import LedgerContents, Token
from tests.samples import SCOPE, an_event, an_integration
from worker.delivery.delivery_service import DeliveryService
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.claim import Claim
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job, JobState, job_id
from worker.domain.retry_policy import RetryPolicy
from worker.domain.secrets_box import SecretsBox
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerUnavailable, Settlement, Verdict
from worker.ledger.lanes.claims import Opening
from worker.telemetry.attempt_reporter import AttemptReporter
from worker.telemetry.redis_clock import RedisClock

HOUR = 3600.0


def settlement(
    claim: Claim,
    verdict: Verdict,
    *,
    delay: float = 0,
    rest: float = 0,
    detail: str = "",
    healthy: bool | None = None,
    why: str = "",
    disable: str = "",
    lost: bool = False,
) -> Settlement:
    """What came of a claim's attempt; `detail` goes into its log."""
    succeeded = verdict is Verdict.SUCCEEDED
    log = IntegrationLog(
        job_id=claim.job_id,
        integration_id=claim.integration_id,
        attempt=claim.attempt,
        succeeded=succeeded,
        body="",
        status_code=200 if succeeded else None,
        error_detail=detail or ("" if succeeded else verdict.value),
        processing_time=0.01,
        event_id="e",
        event_type="order.paid",
    )
    return Settlement(
        job_id=claim.job_id,
        integration_id=claim.integration_id,
        scope_key=claim.scope_key,
        attempt=claim.attempt,
        revision=claim.revision,
        verdict=verdict,
        log=log,
        reason="exhausted" if verdict is Verdict.FAILED else "",
        delay=delay,
        rest=rest,
        healthy=healthy,
        why=why,
        disable=disable,
        lost=lost,
    )


def a_day(hour: int, attempts: int, failed: int, *times: int, last: int = 0) -> bytes:
    """A lane's record of activity, with attempts in one hour of the day."""
    counters = b"".join(each.to_bytes(4, "big") for each in (attempts, failed, *times))
    return last.to_bytes(8, "big") + bytes(32 * hour) + counters


def dispatch_of(ledger: Ledger) -> Dispatcher:
    """A process that observes events, and cannot take their jobs."""
    directory = IntegrationCache(ledger, DelivererRegistry.load(), {}, SecretsBox(()))
    reporter = AttemptReporter(RedisClock())
    deliveries = DeliveryService(
        ledger.jobs, directory, RetryPolicy((1.0,)), reporter, max_in_flight=0, max_in_flight_bytes=0, timeout=1.0
    )
    return Dispatcher(ledger, directory, deliveries)


@contextmanager
def replies_lost(ledger: Ledger) -> Iterator[None]:
    """Redis does what this process asks of it, and its replies are lost on their way."""

    def losing(run: raw.Run) -> raw.Run:
        async def lost(name: str, **arguments: Any) -> Any:
            await run(name, **arguments)
            raise LedgerUnavailable("connection reset")

        return lost

    with raw.intercepted(ledger, losing):
        yield


@dataclass
class LedgerScene:
    """A ledger, and other processes that work on the same one."""

    ledger: Ledger
    #: Opens another process's ledger on the same server.
    another: Callable[..., Any]
    #: Attempts that a process carries on with although their job is over.
    outstanding: set[Token] = field(default_factory=set)
    scope: Scope = SCOPE

    async def register(self, *ids: str, **changes: Any) -> None:
        """Enabled integrations."""
        for each in ids:
            await self.ledger.integrations.put(an_integration(each, **changes))

    async def disable(self, lane: str) -> None:
        """A person disables an integration."""
        (found,) = await self.ledger.integrations.get([lane])
        await self.ledger.integrations.put(replace(found, enabled=False), renewed=False)

    async def give_up(self, lane: str, reason: str = "answered 410") -> None:
        """The fleet disables an integration, because of what came of a job."""
        await self.owe(lane, f"the last of {lane}")
        (claim,) = await self.claim(lane, room=1)
        await self.settle(claim, Verdict.FAILED, disable=reason)

    async def jobs_of(self, event_ref: str) -> list[str]:
        """The jobs that an event opened."""
        history = await self.ledger.events.show(event_ref, 0, 100)
        return [each.job.id for each in history.jobs] if history else []

    async def publish(self, *ids: str) -> list[StoredEvent]:
        """Events in the inbox."""
        events = [an_event(each) for each in ids]
        await self.ledger.inbox.accept(events)
        return list((await self.ledger.inbox.load([event.ref for event in events])).events)

    async def open(
        self, stored: Sequence[StoredEvent], *lanes: str, room: int = 0, last: bool = True, by: Ledger | None = None
    ) -> tuple[list[Claim], list[str]]:
        """A job on each of the lanes, for each of the events."""
        given = [(each, [Opening(job_id(each.ref, lane), lane) for lane in lanes], last) for each in stored]
        opened = await (by or self.ledger).jobs.open(given, room)
        return list(opened.claims), list(opened.waiting)

    async def owe(self, lane: str, *event_ids: str) -> list[str]:
        """Due jobs on a lane, one for each event; answers their ids."""
        stored = await self.publish(*event_ids)
        await self.open(stored, lane)
        return [job_id(each.ref, lane) for each in stored]

    async def claim(self, *lanes: str, room: int = 100, by: Ledger | None = None) -> list[Claim]:
        """Leases due jobs."""
        return (await (by or self.ledger).jobs.claim(lanes, room)).claims

    async def settle(
        self, claim: Claim, verdict: Verdict, by: Ledger | None = None, *, detail: str = "", **how: Any
    ) -> str:
        """Settles one attempt; answers how the ledger took it."""
        given = settlement(claim, verdict, detail=detail, **how)
        (result,) = (await (by or self.ledger).jobs.settle([given])).results
        return result

    async def job(self, job: str) -> Job:
        """A job, as people see it."""
        (found,) = await self.ledger.jobs.get([job])
        return found

    async def state(self, job: str) -> tuple[JobState, str]:
        """A job's state, and the reason for it."""
        found = await self.job(job)
        return found.state, found.reason

    async def log(self, job: str, attempt: int) -> IntegrationLog:
        """The one log of an attempt."""
        (found,) = [each for each in (await self.ledger.logs.of_job(job, 0, attempt)).items if each.attempt == attempt]
        return found

    async def counter(self, name: str) -> int:
        """One of the ledger's counters."""
        return (await self.ledger.status.read()).counter(name)

    async def contents(self) -> LedgerContents:
        """Every key."""
        return await LedgerContents.read(self.ledger)

    async def retention_passes(self) -> None:
        """All that has ended is forgotten, as if EDW_EVENT_RETENTION had passed since."""
        later = await self.another(event_retention=0)
        while await later.fleet.forget():
            pass

    async def is_kept(self, event_ref: str) -> bool:
        """Whether the ledger still has an event."""
        return await self.ledger.events.show(event_ref, 0, 1) is not None

    async def key(self, command: str, key: str, *arguments: Any) -> Any:
        """A plain command on one key, for what only time or an accident would do."""
        return await raw.command(self.ledger, command, key, *arguments)

    async def key_score(self, key: str, member: str) -> float:
        """A member's place in a sorted set."""
        return float(await self.key("ZSCORE", key, member))

    async def die(self, *dead: Ledger) -> None:
        """The processes' leases have run out, and everybody else has been sweeping."""
        for each in dead:
            await self.key("ZADD", "owners", "XX", 1, each.owner)
        await self.key("SET", "swept", await raw.now(self.ledger))

    async def overdue(self, job: str) -> None:
        """The job's deadline has passed."""
        await self.key("ZADD", "pending", "XX", 1, job)
        await self.key("HSET", f"job:{job}", "deadline", 1)

    async def set_aside(self, stored: StoredEvent, reason: str = "r", by: Ledger | None = None) -> bool:
        """Counts a failure to observe."""
        return await (by or self.ledger).inbox.set_aside(stored.ref, stored.event.raw, reason, 5)


@asynccontextmanager
async def playing_on(ledger: Ledger, redis_url: str) -> AsyncIterator[LedgerScene]:
    """A scene on a ledger, whose other processes' ledgers are closed in the end."""
    async with AsyncExitStack() as others:

        async def another(url: str = "", **policy: Any) -> Ledger:
            opened = Ledger(url or redis_url, replace(ledger.policy, **policy))
            others.push_async_callback(opened.close)
            await opened.open()
            return opened

        yield LedgerScene(ledger, another)
