"""The limits and durations of the ledger, as the settings say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.settings import Settings
from worker.domain.format import duration

#: No script call touches more jobs than this: a call is to stay well under 10 ms.
MAX_JOBS_PER_CALL = 200
#: Jobs that the hot scripts touch at once. A call takes 1-2 ms for one lane, 2-5 ms for as many lanes as jobs.
JOBS_PER_CALL = 50
#: Ids in one announcement or message.
MAX_IDS_PER_MESSAGE = 200
#: A reply carries at most about this many bytes of raw events, so that 200 large ones do not come at once.
REPLY_BYTE_BUDGET = 8 * 1024 * 1024


def check_size(jobs: Sequence[object]) -> None:
    """Raises ValueError for more jobs than a call may touch."""
    if len(jobs) > MAX_JOBS_PER_CALL:
        raise ValueError(f"{len(jobs)} jobs in one call; at most {MAX_JOBS_PER_CALL}")


def by_message(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Ids in the portions that one message or call may carry."""
    return (ids[start : start + MAX_IDS_PER_MESSAGE] for start in range(0, len(ids), MAX_IDS_PER_MESSAGE))


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """What opens an integration's circuit, and for how long (ms); without failures and share, nothing does."""

    #: So many failed attempts in a row.
    failures: int = 0
    #: This share of the attempts since a failure, within `window`, where there were at least `least`.
    share: float = 0.0
    least: int = 20
    window: int = 60_000
    #: The first pause, the second and so on; the last one is repeated.
    cools: tuple[int, ...] = (10_000,)


@dataclass(frozen=True, slots=True)
class BrokenPolicy:
    """When a receiver that does nothing but fail is given up: its integration is disabled."""

    #: Nothing but failures for so long (ms); 0 never.
    after: int = 0
    #: So many of them at least, at several jobs.
    attempts: int = 20
    #: `after` in words.
    words: str = ""


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    """Limits and durations of the ledger; durations in milliseconds, because its clock counts those."""

    lease: int = 15_000
    announce: int = 2_000
    event_retention: int = 24 * 3_600_000
    log_retention: int = 3 * 24 * 3_600_000
    log_cap: int = 100_000
    job_deadline: int = 7 * 24 * 3_600_000
    lane_backlog: int = 1_000_000
    #: Bytes of the events that a lane's due jobs are of; 0 is no limit.
    lane_backlog_bytes: int = 0
    lane_cap: int = 50
    rejected_cap: int = 1_000
    #: Integrations of one store, or of one organisation by itself; 0 is no limit.
    integrations: int = 0
    wait_replicas: int = 0
    circuit: CircuitPolicy = CircuitPolicy()
    broken: BrokenPolicy = BrokenPolicy()
    #: Share of `maxmemory` above which events are refused.
    memory_high_water: float = 0.85

    @classmethod
    def of(cls, settings: Settings) -> "LedgerPolicy":
        """The policy that the settings ask for."""
        return cls(
            lease=_ms(settings.lease_seconds),
            announce=_ms(settings.announce_seconds),
            event_retention=_ms(settings.event_retention),
            log_retention=_ms(settings.log_retention),
            log_cap=settings.log_cap,
            job_deadline=_ms(settings.job_deadline),
            lane_backlog=settings.lane_backlog,
            lane_backlog_bytes=settings.lane_backlog_bytes,
            lane_cap=settings.lane_cap,
            rejected_cap=settings.rejected_cap,
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
        )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
