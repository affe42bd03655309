"""What SQS answered to a batch, as an outcome for each of its messages. Pure: it has been read already.

Nothing is taken for granted: whoever answers at a queue's URL may be anybody's.
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

from deliverers.answers import kept_text
from deliverers.aws_sqs.errors import AwsError, error_words, scrubbed, status_words
from deliverers.contract import Delivered, Outcome, Refused
from deliverers.retry_after import parse_retry_after

NOT_SQS = "the answer is not one of SQS: is this the URL of a queue?"
UNMENTIONED = "SQS's answer does not mention this message: it may have been taken, or not"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer to a SendMessageBatch. Headers are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """What logs may show: so many bytes, and none of these."""

    keep_limit: int
    secrets: tuple[bytes, ...] = ()

    def text(self, raw: bytes) -> str:
        """An answer, or a part of it, fit for a log."""
        return kept_text(scrubbed(kept_text(raw, len(raw) * 4, self.secrets)).encode(), self.keep_limit)


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


_batch = msgspec.json.Decoder(_Batch)


def outcomes(answer: Answer, count: int, log: Log, now: datetime) -> list[Outcome]:
    """One outcome for each of the `count` messages, whose ids are their numbers. A message that failed has failed."""
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        words = error_words(error_of(answer), answer.status)
        pause = parse_retry_after(answer.headers.get("retry-after"), now)
        return [Refused(answer.status, log.text(answer.body), words, pause)] * count
    batch = _decoded(answer.body)
    if batch is None:
        return [Refused(answer.status, log.text(answer.body), NOT_SQS)] * count
    sent = {each.Id: each for each in batch.Successful or ()}
    failed = {each.Id: each for each in batch.Failed or ()}
    return [_outcome(sent.get(key), failed.get(key), answer.status, log) for key in map(str, range(count))]


def broken_off(status: int, why: str) -> Refused:
    """The outcome of messages whose answer began, and did not end."""
    return Refused(status, "", f"{status_words(status).replace(' outside of 2xx range', '')}, but {why}")


def error_of(answer: Answer) -> AwsError:
    """The error that an answer holds, of either protocol; without codes where it is somebody else's."""
    legacy = answer.headers.get("x-amzn-query-error", "").partition(";")[0]
    told = answer.headers.get("x-amzn-errortype", "")
    members = _object(answer.body)
    kind = _first(members, "__type", "code", "Code")
    message = _first(members, "message", "Message")
    if not members:
        kind, message = _xml(answer.body, b"Code"), _xml(answer.body, b"Message")
    return AwsError(tuple(code for code in (kind, told, legacy) if code), message)


def _outcome(sent: _Sent | None, failed: _Failed | None, status: int, log: Log) -> Outcome:
    if failed is not None:
        body = log.text(msgspec.json.encode({"Code": failed.Code, "Message": failed.Message}))
        code = (failed.Code,) if failed.Code else ()
        return Refused(status, body, error_words(AwsError(code, failed.Message or ""), None))
    if sent is None:
        return Refused(status, "", UNMENTIONED)
    kept = {"MessageId": sent.MessageId}
    if sent.SequenceNumber is not None:
        kept["SequenceNumber"] = sent.SequenceNumber
    return Delivered(status, log.text(msgspec.json.encode(kept)))


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


def _xml(body: bytes, tag: bytes) -> str:
    found = re.search(rb"<%s>([^<]{1,4096})</%s>" % (tag, tag), body)
    return unescape(found.group(1).decode("utf-8", "replace")).strip() if found else ""
