"""The limits and durations of the ledger, from the settings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.settings import Settings
from worker.domain.humanize import duration

#: The most jobs that a script call may touch, so that it stays well under 10 ms.
MAX_JOBS_PER_CALL = 100
#: Jobs per call of the hot scripts. A call takes 1-2 ms for one lane, 2-5 ms if each job has a lane of its own.
JOBS_PER_CALL = 50
#: Ids in one announcement or message.
MAX_IDS_PER_MESSAGE = 200
#: The approximate limit for events in one call or reply (bytes of their JSON), so that no script copies more of them.
REPLY_BYTE_BUDGET = 1024 * 1024

#: How long a log may wait to be archived (ms), and how many of a store; Redis's memory is the limit before.
UNARCHIVED = 365 * 24 * 3_600_000
UNARCHIVED_LOGS = 1_000_000_000


def check_size(jobs: Sequence[object]) -> None:
    """Raise ValueError for more jobs than a call may touch."""
    if len(jobs) > MAX_JOBS_PER_CALL:
        raise ValueError(f"{len(jobs)} jobs in one call; at most {MAX_JOBS_PER_CALL}")


def by_message(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Split ids into batches that fit into one message or call."""
    return (ids[start : start + MAX_IDS_PER_MESSAGE] for start in range(0, len(ids), MAX_IDS_PER_MESSAGE))


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When an integration's circuit opens, and for how long; with `failures` and `share` both 0, never."""

    #: Consecutive failures that open the circuit; 0 disables this trigger.
    failures: int = 0
    #: Share of failed attempts that opens the circuit; 0 disables this trigger.
    share: float = 0.0
    #: Attempts that the share needs at least.
    least: int = 20
    #: The period that the share looks at (ms); it begins with a failure.
    window: int = 60_000
    #: How long the circuit stays open the first time, the second time, and so on (ms); the last value repeats.
    cools: tuple[int, ...] = (10_000,)


@dataclass(frozen=True, slots=True)
class BrokenPolicy:
    """When an integration is disabled because its receiver only fails."""

    #: How long all attempts must have failed (ms); 0 never disables.
    after: int = 0
    #: How many attempts must have failed at least, of more than one job.
    attempts: int = 20
    #: `after` in words.
    words: str = ""


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    """Limits and durations of the ledger; durations in milliseconds, the unit of its clock."""

    lease: int = 5_000
    announce: int = 2_000
    event_retention: int = 24 * 3_600_000
    log_retention: int = 3 * 24 * 3_600_000
    log_cap: int = 100_000
    #: Whether there is a history; then nothing is forgotten before it is archived.
    history: bool = False
    #: How long what is archived stays in the ledger.
    window: int = 15 * 60_000
    #: How long the identity of an archived event is remembered after it was forgotten.
    deduplication: int = 24 * 3_600_000
    job_deadline: int = 7 * 24 * 3_600_000
    lane_backlog: int = 1_000_000
    #: Bytes that a lane's due jobs and their events take in Redis; 0 is no limit.
    lane_backlog_bytes: int = 0
    lane_cap: int = 50
    rejected_cap: int = 1_000
    #: Records of changes that are kept for one scope, and for how long.
    audit_cap: int = 10_000
    audit_retention: int = 365 * 24 * 3_600_000
    #: Integrations of one store, or of one organisation at its own level; 0 is no limit.
    integrations: int = 0
    wait_replicas: int = 0
    circuit: CircuitPolicy = CircuitPolicy()
    broken: BrokenPolicy = BrokenPolicy()
    #: Share of `maxmemory` above which events are refused.
    memory_high_water: float = 0.85
    #: Share of `maxmemory` that the due jobs of all lanes may take; beyond, the largest lane's oldest are cancelled.
    backlog_memory: float = 0.5

    @classmethod
    def of(cls, settings: Settings) -> "LedgerPolicy":
        """Return the policy of the settings."""
        history = settings.history_url is not None
        return cls(
            lease=_ms(settings.lease_seconds),
            announce=_ms(settings.announce_seconds),
            event_retention=_ms(settings.event_retention),
            # A log that is not archived must not expire.
            log_retention=UNARCHIVED if history else _ms(settings.log_retention),
            log_cap=UNARCHIVED_LOGS if history else settings.log_cap,
            history=history,
            window=_ms(settings.ledger_window),
            deduplication=_ms(settings.deduplication_window),
            job_deadline=_ms(settings.job_deadline),
            lane_backlog=settings.lane_backlog,
            lane_backlog_bytes=settings.lane_backlog_bytes,
            lane_cap=settings.lane_cap,
            rejected_cap=settings.rejected_cap,
            audit_cap=settings.audit_cap,
            audit_retention=_ms(settings.audit_retention),
            integrations=settings.store_integrations,
            wait_replicas=settings.ledger_wait_replicas,
            circuit=CircuitPolicy(
                failures=settings.circuit_failures,
                share=settings.circuit_share,
                window=_ms(settings.circuit_window),
                cools=tuple(_ms(pause) for pause in settings.circuit_pauses),
            ),
            broken=BrokenPolicy(
                after=round(settings.disable_after * 1000),
                attempts=settings.disable_attempts,
                words=duration(settings.disable_after * 1000),
            ),
            memory_high_water=settings.memory_high_water,
            backlog_memory=settings.backlog_memory,
        )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
