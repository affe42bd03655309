"""The one encoding of an IntegrationLog in the ledger."""

from dataclasses import replace

import msgspec
import pytest

from worker.domain.integration_log import IntegrationLog
from worker.ledger.lanes.log_records import decoded_log, encoded_log

LOG = IntegrationLog(
    job_id="0b6c2f62-64a5-5d0b-9b16-4b1c4f0f7d11",
    integration_id="i-1",
    attempt=12,
    succeeded=False,
    body='{"quotes": "}"}\n\x00 Zoë 🚲',
    status_code=503,
    error_detail="answered 503",
    processing_time=0.1234567,
    event_id="e-1",
    event_type="order.paid",
)
MEMBER = f"{LOG.job_id}:{LOG.attempt}"


def stamped(record: str, created_at: int) -> str:
    """What attempt_logs.lua makes of a record."""
    return f"[{created_at}{record[2:]}"


@pytest.mark.parametrize(
    "log", [LOG, replace(LOG, succeeded=True, status_code=None, error_detail="", body="", event_id="")]
)
def test_a_log_is_read_as_it_was_written_with_the_time_of_the_ledger(log: IntegrationLog) -> None:
    kept = decoded_log(MEMBER, stamped(encoded_log(log), 1_700_000_000_123))
    assert kept == replace(log, created_at=1_700_000_000_123, processing_time=0.123457)


def test_the_time_that_a_log_has_before_the_ledger_has_it_is_not_written() -> None:
    assert encoded_log(replace(LOG, created_at=5)) == encoded_log(LOG)
    assert msgspec.json.decode(encoded_log(LOG))[0] == 0
