"""Every regular expression of ours: how it is used on foreign bytes, and its worst input; or why it meets none."""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "deliverers", "worker")
_USES = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a pattern is used, and the input of so many characters that makes it work most."""

    method: str
    worst: Callable[[int], Any]


def _pattern(method: str, *pieces: Any) -> Pattern:
    """The first piece once, the second as often as it takes, the third once."""
    head, pump, tail = pieces
    return Pattern(method, lambda size: head + pump * (size // len(pump)) + tail)


#: Texts of ours, or of the operator of the process.
OURS = "meets no foreign text"
_ID = "jobs-1764000000000-"

PATTERNS: Mapping[str, Pattern | str] = {
    "config.checks._SHARD": OURS,
    "config.observable_events._CUSTOM_KEY": _pattern("fullmatch", "", "a_ext.", "!"),
    "config.observable_events._KEY": _pattern("fullmatch", "a", ".a", "!"),
    "config.units._COUNT": _pattern("fullmatch", "1", "_1", "!"),
    "config.units._DURATION": _pattern("fullmatch", "1", " ", "x"),
    "config.units._SIZE": _pattern("fullmatch", "1", " ", "!"),
    "config.text_escaping._A_SELECTOR": _pattern("match", "", "\ufe00", ""),
    "config.text_escaping._IN_LINE": _pattern("findall", "", "a\x1b", ""),
    "config.text_escaping._IN_TEXT": _pattern("findall", "", "a\x1b", ""),
    "config.text_escaping._NEVER_SHOWN": _pattern("match", "", "\x1b", ""),
    "deliverers.answers._UNREADABLE": _pattern("sub", "", "a\x1b", ""),
    "deliverers.aws_sqs.assumed_roles._EXTERNAL_ID": _pattern("fullmatch", "", "a", " "),
    "deliverers.aws_sqs.assumed_roles._NOT_IN_A_NAME": _pattern("sub", "", "a ", ""),
    "deliverers.aws_sqs.sqs_configuration._ROLE": _pattern("fullmatch", "arn:aws:iam::123456789012:role/", "a", " "),
    "deliverers.aws_sqs.sqs_answers._CODE": _pattern("search", b"", b"<Code>a", b""),
    "deliverers.aws_sqs.sqs_answers._MESSAGE": _pattern("search", b"", b"<Message>a", b""),
    "deliverers.aws_sqs.sqs_answers._PLAIN_ID": _pattern("fullmatch", "", "a", ""),
    "deliverers.aws_sqs.sqs_configuration._REGION": _pattern("fullmatch", "", "a", "!"),
    "deliverers.aws_sqs.sqs_configuration._VISIBLE": _pattern("fullmatch", "", "a", "\n"),
    "deliverers.aws_sqs.aws_errors._CREDENTIAL": _pattern("sub", "", "Credential=", " "),
    "deliverers.aws_sqs.aws_errors._DENIED_ACTION": _pattern("search", "", "perform ", ""),
    "deliverers.aws_sqs.aws_errors._KEY_ID": _pattern("sub", "", " AKIA", ""),
    "deliverers.aws_sqs.aws_errors._NO_GROUP": _pattern("search", "", "parameter ", ""),
    "deliverers.aws_sqs.aws_errors._OTHER_REGION": _pattern("search", "", "scoped to a valid ", ""),
    "deliverers.aws_sqs.aws_errors._SIGNATURE_TIME": _pattern("search", "", "signature request ", ""),
    "deliverers.aws_sqs.aws_errors._SIGNED": _pattern("sub", "", "The String-to-Sig", ""),
    "deliverers.aws_sqs.aws_errors._TOO_LONG": _pattern("search", "", "must be shorter than 1", ""),
    "deliverers.aws_sqs.sqs_messages._FIFO_TOKEN": _pattern("fullmatch", "", "a", ""),
    "deliverers.aws_sqs.sqs_messages._number": _pattern("fullmatch", b"1", b"1", b"\n"),
    "deliverers.exhaustion._NUMBERS": _pattern("findall", "", "[Errno 1", ""),
    "deliverers.http.request._TOKEN": _pattern("fullmatch", "", "a", ":"),
    "deliverers.http.response._END_OF_HEAD": _pattern("search", b"", b"\n\r", b""),
    "deliverers.http.response._LINE_ENDS": _pattern("match", b"", b"\r\n", b""),
    "deliverers.http.response._STATUS_LINE": _pattern("match", b"HTTP/1.1 200 ", b"\r", b""),
    "deliverers.http.target._AUTHORITY": _pattern("match", "", "a", "/"),
    "deliverers.http.target._UNSENDABLE": _pattern("sub", "", "%a", ""),
    "deliverers.reasons._NOT_ALLOWED": _pattern("search", "", "address not allowed: a", ""),
    "deliverers.retry_after._SECONDS": _pattern("fullmatch", "", "1", "x"),
    "deliverers.stomp.stomp_configuration._CONTROL": _pattern("search", "", "a", ""),
    "deliverers.stomp.frames._CONTROL": _pattern("search", "", "a", ""),
    "deliverers.stomp.frames._END_OF_HEAD": _pattern("search", b"", b"\r\n\r", b""),
    "deliverers.stomp.frames._END_OF_LINE": _pattern("search", b"", b"\r", b""),
    "deliverers.stomp.frames._LENGTH": _pattern("fullmatch", "", "1", ""),
    "deliverers.stomp.frames._LINE_ENDS": _pattern("match", b"", b"\r\n", b""),
    "deliverers.stomp.frames._PLAIN_RECEIPT": _pattern("match", b"RECEIPT\nreceipt-id:", b"1", b""),
    "deliverers.stomp.frames._TO_ESCAPE": _pattern("search", "", "a", ":"),
    "deliverers.stomp.frames._UNSENDABLE": _pattern("search", "", "a", ""),
    "deliverers.timestamps._CANONICAL": _pattern("fullmatch", "2026-11-23T20:41:00.", "1", "x"),
    "deliverers.timestamps._PARTS": _pattern("fullmatch", "2026-11-23T20:41:00.", "1", "x"),
    "deliverers.urls._AFTER_HOST": _pattern("split", "", "a", "?"),
    "deliverers.urls._IPV4": _pattern("fullmatch", "", "255.", ""),
    "deliverers.urls._LAST_LABEL_IS_A_NUMBER": _pattern("match", "", "1", "g"),
    "deliverers.urls._UNSAFE": _pattern("search", "", "a", ""),
    "deliverers.webhook.oauth_grant._TOKEN": _pattern("fullmatch", "", "a", " "),
    "deliverers.webhook.webhook_headers._NAME": _pattern("fullmatch", "", "a", ":"),
    "deliverers.webhook.webhook_headers._VISIBLE": _pattern("fullmatch", "a", " ", "\n"),
    "worker.api.application._IN_PATH": OURS,
    "worker.api.cors._NAMES": _pattern("fullmatch", "", "a, ", "\n"),
    "worker.api.services.access._BEARER": _pattern("fullmatch", "bearer", " ", "\n"),
    "worker.api.etags._ELEMENT": _pattern("match", '"', "a ", ""),
    "worker.api.filters._CONDITION": _pattern("match", "eq(a,", "a", ""),
    "worker.api.filters._NUMBER": _pattern("fullmatch", "1.", "1", ""),
    "worker.api.openapi._IN_PATH": OURS,
    "worker.api.openapi.split": OURS,
    "worker.cli.commands.tokens._UNFIT": OURS,
    "worker.domain.cloudevents._ESCAPED": _pattern("sub", "", "\\\\", ""),
    "worker.domain.cloudevents._QUOTED": _pattern("findall", '"', '\\"', ""),
    "worker.domain.cloudevents._WRAPPED_BATCH": _pattern("match", b"{", b" ", b"!"),
    "worker.ledger.redis_errors._IN_PIPELINE": _pattern("sub", "Command # 1 (", ") of pipeline caused error", ""),
    "worker.ledger.connection.redis_client.sub": OURS,
    "worker.ledger.connection.scripts._COMMENT_LINES": OURS,
    "worker.ledger.connection.scripts._CONSTANT": OURS,
    "worker.ledger.connection.scripts._FUNCTION": OURS,
    "worker.ledger.connection.scripts._WORD": OURS,
    "worker.domain.masking._MASK": _pattern("fullmatch", "", "*", "words"),
    "worker.domain.event_parser._LEAP_SECOND": _pattern("fullmatch", "2026-11-23T23:59:60.", "1", "."),
    "worker.domain.uri_reference._REFERENCE": _pattern("fullmatch", "a://", "a", "\n"),
    "worker.domain.event_parser._CONTROL": _pattern("search", "", "a", ""),
    "worker.domain.event_parser._MISSING": _pattern("search", "", "missing required field `a", ""),
    "worker.domain.event_parser._WRONG_TYPE": _pattern("search", "", "Expected `a`, got `", ""),
    "worker.http_server.hosts._NAME": _pattern("fullmatch", "", "a.", "!"),
    "worker.http_server.hosts._PORT": _pattern("fullmatch", "", "1", ""),
    "worker.http_server.hosts.split": "splits once, at the first of three characters",
    "worker.ledger.redis_errors._COMMAND": _pattern("search", "", "no permissions to run the 'a", ""),
    "worker.ledger.redis_errors._DENIED": _pattern("search", "", "No permission", ""),
    "worker.ledger.redis_errors._KEYS": _pattern("search", "", "access the ", ""),
    "worker.ledger.redis_errors._OF_USER": _pattern("search", "", "User a has no permissions to run the '", ""),
    "worker.ledger.redis_errors._UNKNOWN": _pattern("search", "", "unknown sub", ""),
    "worker.history.days._PARTITION": OURS,
    "worker.history.migrations._NAME": OURS,
    "worker.integrations.redelivery._PLACE": _pattern("fullmatch", _ID, "a", ""),
    "worker.domain.api_token._ID": _pattern("fullmatch", "", "a", ""),
    "worker.domain.api_token._WRITTEN": _pattern("fullmatch", "edw_0123456789abcdef_", "a", ""),
    "worker.domain.trace_context._MEMBER": _pattern("fullmatch", "a=", " ", ""),
    "worker.domain.trace_context._NOTHING": _pattern("fullmatch", "", "0", "1"),
    "worker.domain.trace_context._PARENT": _pattern("fullmatch", "00-" + "1" * 32 + "-" + "1" * 16 + "-00-", "a", "\n"),
}


def found_patterns() -> Iterator[str]:
    """Yield the name of each pattern in our packages; of one without a name, that of the function of `re`."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            tree = ast.parse(file.read_text("utf-8"))
            named = {id(node.value): node.targets for node in ast.walk(tree) if isinstance(node, ast.Assign)}
            for node in ast.walk(tree):
                if (function := _use(node)) is not None:
                    (target, *_) = named.get(id(node), [None])
                    yield f"{module}.{target.id if isinstance(target, ast.Name) else function}"


def _use(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attr)) if attr in _USES:
            return attr
    return None
