"""SQS's answer to a batch, as an outcome for each of its messages. Pure: no I/O.

Nothing in an answer is trusted: anybody may answer at a queue's URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from http import HTTPStatus
from typing import Any

import msgspec

from deliverers.answers import kept_text, status_phrase
from deliverers.aws_sqs.aws_errors import AwsError, error_words, is_known, scrubbed
from deliverers.contract import Delivered, Outcome, Refused
from deliverers.retry_after import parse_retry_after

NOT_SQS = "the answer is not one of SQS: is this the URL of a queue?"
UNMENTIONED = "SQS's answer does not mention this message: it may have been taken, or not"


@dataclass(frozen=True, slots=True)
class SqsAnswer:
    """A whole answer to a SendMessageBatch. Headers are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """What logs may show: at most `keep_limit` bytes, and none of these secrets."""

    keep_limit: int
    secrets: tuple[bytes, ...] = ()

    def text(self, raw: bytes) -> str:
        """Return an answer, or a part of it, fit for a log."""
        return kept_text(self.redacted(raw.decode("utf-8", "replace")).encode(), self.keep_limit)

    def redacted(self, text: str) -> str:
        """Return a text without the secrets, and without the parts of the request that AWS repeats."""
        for secret in self.secrets:
            text = text.replace(secret.decode(), "********")
        return scrubbed(text)


class _Sent(msgspec.Struct):
    Id: str
    MessageId: str | None = None
    SequenceNumber: str | None = None


class _Failed(msgspec.Struct):
    Id: str
    Code: str | None = None
    Message: str | None = None


class _Batch(msgspec.Struct):
    Successful: list[_Sent] | None = None
    Failed: list[_Failed] | None = None


_PLAIN_ID = re.compile(r"[0-9a-f-]{0,36}", re.ASCII)
_CODE = re.compile(rb"<Code>([^<]{1,4096})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,4096})</Message>")
_batch = msgspec.json.Decoder(_Batch)


def outcomes(answer: SqsAnswer, count: int, log: Log, now: datetime) -> list[Outcome]:
    """Return one outcome for each of the `count` messages, whose ids are their numbers.

    A message that is in both lists of the answer has failed.
    """
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        error = error_of(answer)
        words = error_words(_redacted(error, log), answer.status)
        pause = parse_retry_after(answer.headers.get("retry-after"), now)
        body = _shown(error, log, _header(answer, "x-amzn-requestid")) if error.codes else log.text(answer.body)
        return [Refused(answer.status, body, words, pause)] * count
    batch = _decoded(answer.body)
    if batch is None:
        return [Refused(answer.status, log.text(answer.body), NOT_SQS)] * count
    sent = {each.Id: each for each in batch.Successful or ()}
    failed = {each.Id: each for each in batch.Failed or ()}
    return [_outcome(sent.get(key), failed.get(key), answer.status, log) for key in map(str, range(count))]


def broken_off(status: int, why: str) -> Refused:
    """Return the outcome of messages whose answer began but did not end."""
    return Refused(status, "", f"Received a status code ({status_phrase(status)}), but {why}")


def error_of(answer: SqsAnswer) -> AwsError:
    """Return the error of an answer in either protocol; without codes if the answer is not from SQS."""
    legacy = _header(answer, "x-amzn-query-error").partition(";")[0]
    error_type = _header(answer, "x-amzn-errortype")
    members = _object(answer.body)
    kind = _first(members, "__type", "code", "Code")
    message = _first(members, "message", "Message")
    if not members:
        kind, message = _xml(answer.body, _CODE), _xml(answer.body, _MESSAGE)
    return AwsError(tuple(code for code in (kind, error_type, legacy) if code), message)


def _header(answer: SqsAnswer, name: str) -> str:
    """Return a header, or "".

    Bytes that are not UTF-8 arrive as surrogates, which no log can hold; they are replaced.
    """
    return answer.headers.get(name, "").encode("utf-8", "replace").decode()


def _outcome(sent: _Sent | None, failed: _Failed | None, status: int, log: Log) -> Outcome:
    if failed is not None:
        error = AwsError((failed.Code,) if failed.Code else (), failed.Message or "")
        return Refused(status, _shown(error, log), error_words(_redacted(error, log), None))
    if sent is None:
        return Refused(status, "", UNMENTIONED)
    kept = {"MessageId": sent.MessageId or ""}
    if sent.SequenceNumber is not None:
        kept["SequenceNumber"] = sent.SequenceNumber
    raw = msgspec.json.encode(kept)
    # AWS's own values are a UUID and a number, which cannot hold a secret.
    plain = len(raw) <= log.keep_limit and all(map(_PLAIN_ID.fullmatch, kept.values()))
    return Delivered(status, raw.decode() if plain else log.text(raw))


def _redacted(error: AwsError, log: Log) -> AwsError:
    codes = (code if is_known(code) else log.redacted(code) for code in error.codes)
    return AwsError(tuple(codes), log.redacted(error.message))


def _shown(error: AwsError, log: Log, request_id: str = "") -> str:
    # Encoded again: a peer that echoes a secret may escape it in a way that a search of the original would miss.
    safe = _redacted(error, log)
    shown = {"Code": next(iter(safe.codes), ""), "Message": safe.message}
    if request_id:
        shown["RequestId"] = log.redacted(request_id)  # AWS's support asks for it
    return log.text(msgspec.json.encode(shown))


def _decoded(body: bytes) -> _Batch | None:
    try:
        batch = _batch.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return batch if batch.Successful is not None or batch.Failed is not None else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _first(members: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := members.get(name), str) and value), "")


def _xml(body: bytes, element: re.Pattern[bytes]) -> str:
    found = element.search(body)
    return unescape(found.group(1).decode("utf-8", "replace")).strip() if found else ""
