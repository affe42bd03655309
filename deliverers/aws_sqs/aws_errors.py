"""AWS's error codes, in the words that an operator on call wants to read.

Codes have several spellings. `QueueDoesNotExist` is the shape's name in the JSON protocol;
`AWS.SimpleQueueService.NonExistentQueue` is the query protocol's, which AWS still sends as well. Other servers of the
protocol send either. Messages are shown only with an unknown code, because AWS's messages repeat the id of the access
key and what was signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from deliverers.answers import printable, status_phrase

#: Characters shown of a message whose code is unknown.
_MOST_MESSAGE = 200
_ACTION = "sqs:SendMessage"


@dataclass(frozen=True, slots=True)
class AwsError:
    """AWS's error about a request, or about one message of it. Codes are as received, the plainest first."""

    codes: tuple[str, ...]
    message: str = ""


def error_words(error: AwsError, status: int | None) -> str:
    """Return what an error means. `status` is None for a single message's error.

    An unknown error is shown scrubbed.
    """
    failed = status if status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    for code in error.codes:
        if (words := WORDS.get(_plain(code))) is not None:
            said = words if isinstance(words, str) else words(error)
            return said if failed is None else f"{said} ({status_phrase(failed)})"
    code = printable(next(iter(error.codes), "").rpartition("#")[2])
    if failed is not None or not code:
        return f"{status_words(status)}: {code}" if code else status_words(status)
    message = printable(scrubbed(error.message), _MOST_MESSAGE)
    return f"refused by SQS: {code} ({message})" if message else f"refused by SQS: {code}"


def is_known(code: str) -> bool:
    """Return whether a code has words here; such a code cannot be a secret."""
    return _plain(code) in WORDS


def status_words(status: int | None) -> str:
    """Return what a status without an error code means."""
    if status is None:
        return "refused by SQS"
    words = f"Received a status code outside of 2xx range ({status_phrase(status)})"
    redirects = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    return f"{words}: redirects are not followed" if redirects else words


_SIGNED = re.compile(r"The (?:Canonical String|String-to-Sign).*", re.DOTALL)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}")
_CREDENTIAL = re.compile(r"\b(Credential|Signature|SignedHeaders)=[^\s,'\"&]+")


def scrubbed(text: str) -> str:
    """Return the text without signed content, signatures and ids of access keys, anybody's."""
    return _KEY_ID.sub("********", _CREDENTIAL.sub(r"\1=********", _SIGNED.sub("", text))).rstrip()


def _plain(code: str) -> str:
    """Return a code without the parts in which its spellings differ."""
    bare = code.rpartition("#")[2].partition(":")[0].removeprefix("AWS.SimpleQueueService.")
    return bare.replace(".", "").lower().removesuffix("exception")


_SIGNATURE_TIME = re.compile(r"signature (?:expired|not yet current)|request timestamp", re.IGNORECASE)
_OTHER_REGION = re.compile(r"scoped to a valid region", re.IGNORECASE)
_CLOCK = "this worker's clock is wrong: the signature's time is too far from AWS's"


def _signature(error: AwsError) -> str:
    if _SIGNATURE_TIME.search(error.message):
        return _CLOCK
    if _OTHER_REGION.search(error.message):
        return "region is not the queue's"
    return "secret access key is not valid (its signature does not match)"


_DENIED_ACTION = re.compile(r"perform:? +([a-z0-9]+:[A-Za-z*]+)", re.IGNORECASE)


def _denied(error: AwsError) -> str:
    found = _DENIED_ACTION.search(error.message)
    action = found.group(1) if found else _ACTION
    # AWS writes its own action in lower case, unlike the authors of policies.
    return f"access denied: {_ACTION if action.lower() == _ACTION.lower() else printable(action)}"


_TOO_LONG = re.compile(r"must be shorter than (\d{1,12}) bytes", re.IGNORECASE)
_NO_GROUP = re.compile(r"parameter MessageGroupId", re.IGNORECASE)


def _parameter(error: AwsError) -> str:
    if found := _TOO_LONG.search(error.message):
        return f"message is over the queue's own limit of {int(found.group(1)):,} bytes"
    if _NO_GROUP.search(error.message):
        return "queue wants a MessageGroupId, which only queues get whose name ends in .fifo"
    message = printable(scrubbed(error.message), _MOST_MESSAGE)
    return f"refused by SQS: a parameter is not valid ({message})" if message else "a parameter is not valid"


_NO_QUEUE = "queue does not exist"
_NO_KEY = "access key is not valid"
_THROTTLED = "throttled by SQS: too many requests"
#: Keys are codes in lower case, without prefix, dots and `Exception`.
WORDS: dict[str, str | Callable[[AwsError], str]] = {
    "queuedoesnotexist": _NO_QUEUE,
    "nonexistentqueue": _NO_QUEUE,
    "queuedeletedrecently": "queue was deleted a moment ago",
    "invalidaddress": "queue's URL is not valid at this endpoint",
    "invalidclienttokenid": _NO_KEY,
    "invalidaccesskeyid": _NO_KEY,
    "unrecognizedclient": _NO_KEY,
    "invalidsecurity": _NO_KEY,
    "notauthorized": _NO_KEY,
    "missingauthenticationtoken": "request was taken for one without an access key",
    "missingclienttokenid": "request was taken for one without an access key",
    "expiredtoken": "access key has expired",
    "expiredtokenid": "access key has expired",
    "optinrequired": "AWS account is not signed up for SQS",
    "subscriptionrequired": "AWS account is not signed up for SQS",
    "accountproblem": "AWS account has a problem, which its owner can see",
    "signaturedoesnotmatch": _signature,
    "invalidsignature": _signature,
    "incompletesignature": "secret access key is not valid (its signature does not match)",
    "requestexpired": _CLOCK,
    "requesttimetooskewed": _CLOCK,
    "accessdenied": _denied,
    "authfailure": _denied,
    "unauthorizedoperation": _denied,
    "overlimit": "queue is full: it has too many messages in flight",
    "invalidmessagecontents": "message has characters that SQS does not take",
    "batchrequesttoolong": "messages sent together are over the queue's own limit",
    "invalidparametervalue": _parameter,
    "invalidattributevalue": _parameter,
    "invalidparametercombination": _parameter,
    "missingparameter": _parameter,
    "unsupportedoperation": "queue does not support sending messages",
    "invalidaction": "endpoint does not know SendMessageBatch: is it SQS?",
    "unknownoperation": "endpoint does not know SendMessageBatch: is it SQS?",
    "kmsaccessdenied": "access denied: the queue's KMS key may not be used",
    "kmsdisabled": "queue's KMS key is disabled",
    "kmsinvalidkeyusage": "queue's KMS key is not for encrypting",
    "kmsinvalidstate": "queue's KMS key is in a state in which it cannot be used",
    "kmsnotfound": "queue's KMS key does not exist",
    "kmsoptinrequired": "AWS account is not signed up for KMS, which the queue needs",
    "throttling": _THROTTLED,
    "throttled": _THROTTLED,
    "requestthrottled": _THROTTLED,
    "throttledrequest": _THROTTLED,
    "requestlimitexceeded": _THROTTLED,
    "toomanyrequests": _THROTTLED,
    "slowdown": _THROTTLED,
    "bandwidthlimitexceeded": _THROTTLED,
    "kmsthrottling": "throttled by KMS: too many requests for the queue's key",
    "kmsthrottled": "throttled by KMS: too many requests for the queue's key",
    "internalerror": "SQS failed within itself",
    "internalfailure": "SQS failed within itself",
    "internalservererror": "SQS failed within itself",
    "serviceunavailable": "SQS is unavailable",
    "serviceunavailableerror": "SQS is unavailable",
}
