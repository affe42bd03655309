"""The one encoding of an IntegrationLog in the ledger."""

from dataclasses import replace
from uuid import UUID

import pytest

from worker.domain.integration_log import IntegrationLog
from worker.ledger.lanes.log_records import decoded_log, encoded_log, head_of_log, time_of_log, without_answer

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


def stamped(record: bytes, created_at: int) -> bytes:
    """What log_records.lua makes of a record."""
    return created_at.to_bytes(6, "big") + record


@pytest.mark.parametrize(
    "log",
    [
        LOG,
        replace(LOG, succeeded=True, status_code=None, error_detail="", body="", event_id=""),
        replace(LOG, integration_id=str(UUID(int=5)), event_id=str(UUID(int=6 << 80))),
        replace(LOG, integration_id=str(UUID(int=5)), event_id="e" * 16, succeeded=True),
        replace(LOG, event_id=str(UUID(int=6))),
        # What only looks like a UUID.
        replace(LOG, integration_id=str(UUID(int=10)).upper(), event_id=str(UUID(int=6))[::-1]),
        replace(LOG, integration_id=f"  {UUID(int=5)}"[:36], event_id=str(UUID(int=6))[:35]),
        replace(LOG, integration_id="g" * 36, event_id="ü" * 36),
    ],
)
def test_a_log_is_read_as_it_was_written_with_the_time_of_the_ledger(log: IntegrationLog) -> None:
    kept = decoded_log(MEMBER, stamped(encoded_log(log), 1_700_000_000_123))
    assert kept == replace(log, created_at=1_700_000_000_123, processing_time=0.123457)


def test_the_time_that_a_log_has_before_the_ledger_has_it_is_not_written() -> None:
    assert encoded_log(replace(LOG, created_at=5)) == encoded_log(LOG)


def test_a_log_takes_few_bytes_beside_its_texts() -> None:
    log = replace(LOG, integration_id=str(UUID(int=5)), event_id=str(UUID(int=6)))
    texts = log.body.encode() + log.error_detail.encode() + log.event_type.encode()
    assert len(stamped(encoded_log(log), 1)) <= len(texts) + 2 * 16 + 30


@pytest.mark.parametrize("body", ["", "x", "x" * 31, "x" * 32, "ü" * 127, "x" * 256, "x" * 70_000])
def test_an_erased_log_keeps_all_but_the_answer(body: str) -> None:
    kept = stamped(encoded_log(replace(LOG, body=body)), 7)
    assert without_answer(kept) == stamped(encoded_log(replace(LOG, body="")), 7)


def test_the_beginning_of_a_log_is_read_alone() -> None:
    kept = stamped(encoded_log(LOG), 1_700_000_000_123)
    assert head_of_log(kept) == (1_700_000_000_123, "i-1", False)
    assert time_of_log(kept) == 1_700_000_000_123
