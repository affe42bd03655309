"""Which logs are new: a tracker for those who follow them. No I/O."""

from collections.abc import Iterable

from worker.domain.integration_log import IntegrationLog

#: A log that is so much older (ms) than the newest one seen can be no news: they are stamped when they are written.
OVERLAP = 10_000


class Tail:
    """Remembers the logs of the last moments, and tells the new ones from them."""

    def __init__(self) -> None:
        # An outcome that comes late overwrites a log, and is told again.
        self._seen: dict[tuple[str, int], int] = {}
        self._newest = 0

    def knows(self, log: IntegrationLog) -> bool:
        """True where a log was told already, or is too old to be news."""
        return (log.id, log.created_at) in self._seen or log.created_at <= self._newest - OVERLAP

    def new(self, logs: Iterable[IntegrationLog]) -> list[IntegrationLog]:
        """Of logs that were read, those that were not told before; the oldest first."""
        fresh = {(log.id, log.created_at): log for log in logs if not self.knows(log)}
        self._seen.update({key: key[1] for key in fresh})
        self._newest = max((self._newest, *self._seen.values()), default=0)
        self._seen = {key: at for key, at in self._seen.items() if at > self._newest - OVERLAP}
        return sorted(fresh.values(), key=lambda log: (log.created_at, log.job_id, log.attempt))
