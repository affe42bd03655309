"""Reports about what this process leaves to processes of a newer version, because it does not understand it."""

from time import monotonic

import structlog

from worker.domain.format_version import MINOR
from worker.telemetry import metrics

_log = structlog.get_logger("edw.telemetry")

#: The log has one line for each kind in this time (seconds).
SAY_AGAIN_SECONDS = 30.0


class NewerVersionReporter:
    """Counts what is left to newer processes, and logs it now and then."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def left(self, kind: str, count: int = 1) -> None:
        """Report `count` messages, events, lanes or entries of the outbox (`kind`); 0 reports nothing."""
        if not count:
            return
        metrics.LEFT_TO_NEWER.labels(kind).inc(count)
        now = monotonic()
        if now - self._said_at.get(kind, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._said_at[kind] = now
            _log.warning(
                "left to a newer version",
                kind=kind,
                understood=MINOR,
                advice="finish the upgrade of all workers; until one is newer, this waits",
            )


#: The reporter of this process.
NEWER = NewerVersionReporter()
