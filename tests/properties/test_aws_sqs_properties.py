"""What holds of SQS's batches and answers, whatever comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from deliverers.aws_sqs.aws_errors import AwsError, error_words, scrubbed
from deliverers.aws_sqs.sqs_answers import Log, SqsAnswer, outcomes
from deliverers.aws_sqs.sqs_batches import MOST_BYTES, MOST_MESSAGES, first_batch
from deliverers.aws_sqs.sqs_messages import fifo_token
from deliverers.contract import Delivered, Refused

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SIZES = st.lists(st.integers(1, 400_000) | st.integers(1, 2_000), min_size=1, max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
ENTRY = st.fixed_dictionaries(
    {"Id": st.integers(0, 12).map(str) | JSON},
    optional={"MessageId": JSON, "Code": st.sampled_from(["InternalError", "OverLimit"]) | JSON, "Message": JSON},
)
ANSWERS = st.binary(max_size=200) | st.builds(
    lambda sent, failed: json.dumps({"Successful": sent, "Failed": failed}).encode(),
    JSON | st.lists(ENTRY, max_size=4),
    JSON | st.lists(ENTRY, max_size=4),
)


@given(SIZES)
def test_batches_hold_everything_once_in_order_within_both_limits(sizes: list[int]) -> None:
    rest, batches = list(sizes), []
    while rest:
        count, full = first_batch(rest)
        assert 1 <= count <= min(len(rest), MOST_MESSAGES)
        batch, rest = rest[:count], rest[count:]
        assert sum(batch) <= MOST_BYTES or len(batch) == 1
        if rest:
            assert full
            assert count == MOST_MESSAGES or sum(batch) + rest[0] > MOST_BYTES
        batches.append(batch)
    assert [size for batch in batches for size in batch] == sizes


@given(
    st.integers(100, 599),
    ANSWERS,
    st.integers(1, 10),
    st.dictionaries(st.sampled_from(["retry-after", "x-amzn-query-error", "x-amzn-errortype"]), st.text(max_size=20)),
)
def test_whatever_is_answered_each_message_has_an_outcome(
    status: int, body: bytes, count: int, headers: dict[str, str]
) -> None:
    found = outcomes(SqsAnswer(status, headers, body), count, Log(100), NOW)
    assert len(found) == count
    for outcome in found:
        assert isinstance(outcome, Delivered | Refused)
        assert outcome.status == status
        assert len(outcome.body.encode()) <= 100
        assert not isinstance(outcome, Delivered) or 200 <= status < 300
        assert not isinstance(outcome, Refused) or outcome.reason.isprintable()


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_a_message_is_delivered_where_it_succeeded_and_did_not_fail(sent: set[int], failed: set[int]) -> None:
    body = {
        "Successful": [{"Id": str(n), "MessageId": "m"} for n in sent],
        "Failed": [{"Id": str(n), "Code": "InternalError", "SenderFault": False} for n in failed],
    }
    found = outcomes(SqsAnswer(200, {}, json.dumps(body).encode()), 10, Log(100), NOW)
    assert {n for n, outcome in enumerate(found) if isinstance(outcome, Delivered)} == sent - failed


@given(st.lists(st.text(max_size=20)), st.text(max_size=300), st.none() | st.integers(100, 599))
def test_an_error_has_words_of_one_line(codes: list[str], message: str, status: int | None) -> None:
    said = error_words(AwsError(tuple(codes), message), status)
    assert said
    assert said.isprintable()
    assert len(said) < 500


@given(st.text(), st.text())
def test_no_key_id_is_left(before: str, after: str) -> None:
    assert "AKIAIOSFODNN7EXAMPLE" not in scrubbed(f"{before} AKIAIOSFODNN7EXAMPLE {after}")


@given(st.text(max_size=200))
def test_a_fifo_token_is_one_that_sqs_takes(text: str) -> None:
    token = fifo_token(text)
    assert 1 <= len(token) <= 128
    assert all(0x21 <= ord(character) <= 0x7E for character in token)
    assert fifo_token(token) == token
