"""A tracker of which logs are new, for commands that follow them. No I/O."""

from collections.abc import Iterable

from worker.domain.integration_log import IntegrationLog

#: Milliseconds before the newest log beyond which a log cannot be new: logs get their time when they are written.
OVERLAP = 10_000


class Tail:
    """A memory of recent logs that picks out the new ones."""

    def __init__(self) -> None:
        # Keyed by time as well: a late outcome overwrites its log, which is then shown again.
        self._seen: dict[tuple[str, int], int] = {}
        self._newest = 0

    def knows(self, log: IntegrationLog) -> bool:
        """Return whether a log was shown before, or is too old to be new."""
        return (log.id, log.created_at) in self._seen or log.created_at <= self._newest - OVERLAP

    def new(self, logs: Iterable[IntegrationLog]) -> list[IntegrationLog]:
        """Return those of the logs that were not shown before, oldest first."""
        fresh = {(log.id, log.created_at): log for log in logs if not self.knows(log)}
        self._seen.update({key: key[1] for key in fresh})
        self._newest = max((self._newest, *self._seen.values()), default=0)
        self._seen = {key: at for key, at in self._seen.items() if at > self._newest - OVERLAP}
        return sorted(fresh.values(), key=lambda log: (log.created_at, log.job_id, log.attempt))
