"""The certificates of the integrations that this process delivers to: a gauge of what runs out, and a daily log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from worker.domain.expiry import WARNED_AHEAD, expiry_words
from worker.telemetry import metrics

_log = structlog.get_logger("edw.telemetry")

#: The log has one line for each integration in this time.
SAY_AGAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """A certificate of an integration that runs out."""

    integration_id: str
    #: Its key of the configuration.
    field: str
    #: Milliseconds since 1970.
    ends: int


class CertificateWatch:
    """Knows when certificates run out, of integrations that have some."""

    def __init__(self) -> None:
        self._ends: dict[str, Mapping[str, datetime]] = {}
        self._said_at: dict[str, datetime] = {}

    def note(self, integration_id: str, ends: Mapping[str, datetime]) -> None:
        """Note the ends of an integration's certificates; empty if it has none."""
        if ends:
            self._ends[integration_id] = ends
        else:
            self.forget([integration_id])

    def forget(self, integration_ids: Iterable[str]) -> None:
        """Forget integrations that are gone, or have no certificate any more."""
        if not self._ends:
            return
        for each in integration_ids:
            self._ends.pop(each, None)
            self._said_at.pop(each, None)
        if not self._ends:
            _count(0, 0)

    def look(self, now: datetime) -> list[CertificateEnd]:
        """Count and log what runs out, and return what was logged; cheap where nothing has a certificate."""
        if not self._ends:
            return []
        soon = expired = 0
        said: list[CertificateEnd] = []
        for integration_id, ends in self._ends.items():
            name, end = min(ends.items(), key=lambda each: each[1])
            expired += end <= now
            soon += now < end <= now + WARNED_AHEAD
            if end <= now + WARNED_AHEAD and now - self._said_at.get(integration_id, now - SAY_AGAIN) >= SAY_AGAIN:
                self._said_at[integration_id] = now
                _log.warning("certificate runs out", integration=integration_id, field=name, why=expiry_words(end, now))
                said.append(CertificateEnd(integration_id, name, round(end.timestamp() * 1000)))
        _count(soon, expired)
        return said


def _count(soon: int, expired: int) -> None:
    metrics.CERTIFICATES_ENDING.labels("soon").set(soon)
    metrics.CERTIFICATES_ENDING.labels("expired").set(expired)


#: The watch of this process.
CERTIFICATES = CertificateWatch()


def look_at_certificates() -> list[CertificateEnd]:
    """Count and log the certificates that run out now; return those that were logged, each once a day."""
    return CERTIFICATES.look(datetime.now(UTC))
