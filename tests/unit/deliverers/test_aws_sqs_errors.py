from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deliverers.aws_sqs.aws_errors import WORDS, AwsError, error_words, scrubbed, status_words
from deliverers.aws_sqs.sqs_answers import Log, SqsAnswer, error_of, outcomes
from deliverers.contract import Refused

CLOCK = "this worker's clock is wrong: the signature's time is too far from AWS's"
BAD_SECRET = "secret access key is not valid (its signature does not match)"


def words(code: str, message: str = "", status: int | None = 400) -> str:
    return error_words(AwsError((code,), message), status)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (
            "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue com.amazonaws.sqs#QueueDoesNotExist "
            "QueueDoesNotExistException",
            "queue does not exist",
        ),
        (
            "InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId com.amazon.coral.service#"
            "UnrecognizedClientException InvalidSecurity",
            "access key is not valid",
        ),
        (
            "SignatureDoesNotMatch InvalidSignatureException IncompleteSignature IncompleteSignatureException",
            BAD_SECRET,
        ),
        ("AccessDenied AccessDeniedException AccessDeniedException:http://internal/", "access denied: sqs:SendMessage"),
        (
            "Throttling ThrottlingException RequestThrottled RequestThrottledException TooManyRequestsException "
            "AWS.SimpleQueueService.RequestThrottled com.amazonaws.sqs#RequestThrottled RequestLimitExceeded SlowDown",
            "throttled by SQS: too many requests",
        ),
        ("OverLimit", "queue is full: it has too many messages in flight"),
        ("KmsAccessDenied KMS.AccessDeniedException", "access denied: the queue's KMS key may not be used"),
        ("KmsDisabled KMS.DisabledException", "queue's KMS key is disabled"),
        ("KmsThrottled KMS.ThrottlingException", "throttled by KMS: too many requests for the queue's key"),
        ("InvalidMessageContents", "message has characters that SQS does not take"),
        (
            "BatchRequestTooLong AWS.SimpleQueueService.BatchRequestTooLong",
            "messages sent together are over the queue's own limit",
        ),
        ("RequestExpired RequestTimeTooSkewed", CLOCK),
        ("ExpiredToken ExpiredTokenException", "access key has expired"),
        ("OptInRequired", "AWS account is not signed up for SQS"),
    ],
)
def test_every_spelling_of_a_code_has_the_same_words(codes: str, said: str) -> None:
    assert {words(code) for code in codes.split()} == {said}


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: sqs:sendmessage on resource: arn:aws:sqs:e:1:q "
            "because no identity-based policy allows the sqs:sendmessage action",
            "access denied: sqs:SendMessage",
        ),
        (
            "KMS.AccessDeniedException",
            "not authorized to perform: kms:GenerateDataKey",
            "access denied: the queue's KMS key may not be used",
        ),
        (
            "AccessDeniedException",
            "User: x is not authorized to perform: kms:GenerateDataKey on this resource",
            "access denied: kms:GenerateDataKey",
        ),
        ("SignatureDoesNotMatch", "Signature expired: 20261124T0 is now earlier than 20261124T1", CLOCK),
        ("InvalidSignatureException", "Signature not yet current: 1 is still later than 0", CLOCK),
        (
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region, not 'eu-west-9'.",
            "region is not the queue's",
        ),
        (
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.",
            "message is over the queue's own limit of 262,144 bytes",
        ),
        (
            "MissingParameter",
            "The request must contain the parameter MessageGroupId.",
            "queue wants a MessageGroupId, which only queues get whose name ends in .fifo",
        ),
        ("InvalidParameterValue", "Queue is odd", "refused by SQS: a parameter is not valid (Queue is odd)"),
        ("Novel", "It\x1b[31m is\nnew", "refused by SQS: Novel (It?[31m is?new)"),
        ("com.amazonaws.sqs#Novel", "", "refused by SQS: Novel"),
    ],
)
def test_a_message_makes_words_more_precise(code: str, message: str, said: str) -> None:
    assert words(code, message) == said


def test_the_first_code_that_is_known_counts() -> None:
    assert error_words(AwsError(("Novel", "AWS.SimpleQueueService.NonExistentQueue")), 400) == "queue does not exist"


def test_a_failure_of_the_server_is_reported_with_its_status() -> None:
    assert words("InternalFailure", status=500) == "SQS failed within itself (500 Internal Server Error)"
    assert words("Novel", "x", 503).endswith("(503 Service Unavailable): Novel")
    assert words("InternalFailure", status=None) == "SQS failed within itself"
    assert error_words(AwsError(()), 599) == "Received a status code outside of 2xx range (599)"
    assert status_words(None) == "refused by SQS"


def test_words_are_words() -> None:
    error = AwsError(("x",), "")
    for key, said in WORDS.items():
        text = said if isinstance(said, str) else said(error)
        assert text
        assert key == key.lower()


def test_what_was_signed_and_whose_key_it_was_is_scrubbed() -> None:
    text = "No match. The Canonical String for this request should have been 'POST\n/\nx' The String-to-Sign should"
    assert scrubbed(text) == "No match."
    assert scrubbed("key AKIAIOSFODNN7EXAMPLE of ASIAIOSFODNN7EXAMPLE") == "key ******** of ********"
    assert (
        scrubbed("Authorization=AWS4-HMAC-SHA256 Credential=AKIA/2026/sqs, SignedHeaders=host;x, Signature=0f0f'.")
        == "Authorization=AWS4-HMAC-SHA256 Credential=********, SignedHeaders=********, Signature=********'."
    )


@pytest.mark.parametrize(
    ("body", "headers", "codes", "message"),
    [
        (b'{"__type":"com.amazonaws.sqs#Q","message":"m"}', {}, ("com.amazonaws.sqs#Q",), "m"),
        (b'{"code":"Q","Message":"m"}', {}, ("Q",), "m"),
        (
            b'{"Code":"Q"}',
            {"x-amzn-errortype": "T:http://x", "x-amzn-query-error": "L;Sender"},
            ("Q", "T:http://x", "L"),
            "",
        ),
        (b"<E><Code>A</Code><Message>a &amp; b</Message></E>", {}, ("A",), "a & b"),
        (b"", {"x-amzn-errortype": "T"}, ("T",), ""),
        (b"[]", {}, (), ""),
        (b'{"__type":7,"message":[]}', {}, (), ""),
        (b"\xff\xfe", {}, (), ""),
        (b"[" * 60_000, {}, (), ""),
    ],
)
def test_an_error_is_found_in_either_protocols_answer(
    body: bytes, headers: dict[str, str], codes: tuple[str, ...], message: str
) -> None:
    assert error_of(SqsAnswer(400, headers, body)) == AwsError(codes, message)


def test_headers_that_are_no_utf_8_can_be_logged() -> None:
    broken = b"a\xff".decode("utf-8", "surrogateescape")
    headers = dict.fromkeys(("x-amzn-errortype", "x-amzn-query-error", "x-amzn-requestid"), broken)
    (outcome,) = outcomes(SqsAnswer(400, headers, b""), 1, Log(1_000), datetime(2026, 11, 28, tzinfo=UTC))
    assert isinstance(outcome, Refused)
    assert outcome.body is not None
    assert outcome.body.encode()
    assert outcome.reason.isprintable()
