"""What callers of the API send: headers, queries, bodies and credentials."""

from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict

from config.observable_events import load_catalogue
from config.text_escaping import visible
from config.units import networks
from deliverers.registry import DelivererRegistry
from tests.fuzz.events import WORDS
from tests.fuzz.target import Target, is_brief, refusing, text_of
from worker.api.api_errors import ApiError, invalid
from worker.api.etags import names, tag_of
from worker.api.filters import milliseconds, parse_filter
from worker.api.handlers import job_handlers, log_handlers
from worker.api.paging import LARGEST_LIMIT, LARGEST_OFFSET, LIMIT, OFFSET, Paging
from worker.api.request_context import decoded
from worker.api.services.access import address_of, basic_pair
from worker.domain.api_token import digest_of, read, written
from worker.domain.event import Refusal, Scope
from worker.domain.humanize import one_line
from worker.domain.integration import Integration
from worker.domain.integration_input import attributes_of, register
from worker.domain.masking import looks_masked, mask, masks_in, unmasked
from worker.integrations.redelivery import Place

_REGISTRY = DelivererRegistry.load()
_CATALOGUE = load_catalogue()
_PROXIES = networks("10.0.0.0/8 fd00::/8")
#: What JSON cannot be escaped into: each of them would steer a terminal.
_STEERING = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0x200E, 0x202E, 0x2066)}


def etags(raw: bytes) -> None:
    """A header names a revision or does not; a tag of ours always does, and beside another too."""
    header = text_of(raw)
    for revision in (0, 7):
        assert names(header, revision) in (True, False)
        assert names(f"{tag_of(revision)}, {header}", revision)


def filters(raw: bytes) -> None:
    """A filter is read or refused with 400, and what was read can be applied."""
    for fields in (job_handlers.FIELDS, log_handlers.FIELDS):
        try:
            conditions = parse_filter(text_of(raw), cast("Any", fields))
        except ApiError as error:
            assert error.status == 400
            continue
        assert 0 < len(conditions) <= 10
        assert all(condition.operator in ("eq", "gt", "ge", "lt", "le") for condition in conditions)


def paging(raw: bytes) -> None:
    """A page is within its bounds, or refused with 400."""
    for name in (LIMIT, OFFSET):
        with refusing(ApiError):
            page = Paging.of({name: text_of(raw)})
            assert 0 <= page.offset <= LARGEST_OFFSET
            assert 1 <= page.limit <= LARGEST_LIMIT


def times(raw: bytes) -> None:
    """A time of a query or a cursor is read or refused."""
    text = text_of(raw)
    with refusing(ValueError):
        assert isinstance(milliseconds(text), int)
    with refusing(ValueError):
        assert str(Place.read(text))


def body(raw: bytes) -> None:
    """A body is JSON, or refused with 400."""
    try:
        decoded(raw)
    except ApiError as error:
        assert error.status == 400
        is_brief(str(error))


def integration(raw: bytes) -> None:
    """A body makes an integration, or everything that is wrong with it can be answered; and so does a change."""
    try:
        found = decoded(raw)
    except ApiError:
        return
    attributes = attributes_of(found)
    if isinstance(attributes, Refusal):
        return
    made = register(attributes, Scope(None, "s"), _REGISTRY, _CATALOGUE)
    if isinstance(made, list):
        assert made
        assert invalid(made).status == 422
        assert len(invalid(made).document.errors) <= 101
        return
    again = register(attributes, Scope(None, "s"), _REGISTRY, _CATALOGUE, current=made)
    assert isinstance(again, Integration | list)


def credentials(raw: bytes) -> None:
    """Credentials are read or are none; a token that was read is written as it was."""
    text = text_of(raw)
    pair = basic_pair(text)
    assert pair is None or all(isinstance(part, str) for part in pair)
    if parts := read(text):
        assert written(*parts) == text
    assert len(digest_of(text)) == 64


def addresses(raw: bytes) -> None:
    """An address is found, whatever proxies are said to have said; without one, it is the peer's."""
    peer, *lines = text_of(raw).split("\n")
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    request = cast("web.Request", SimpleNamespace(remote=peer, headers=headers))
    assert isinstance(address_of(request, _PROXIES), str)
    assert address_of(request, ()) == peer


def masks(raw: bytes) -> None:
    """A mask that is sent back means the secret that it is of, and nothing else does."""
    secret = text_of(raw)
    assert unmasked(mask(secret), secret) == secret
    assert unmasked([mask(secret)], [secret]) == [secret]
    if looks_masked(secret):
        assert masks_in([secret]) == [secret]
    elif len(secret) >= 12 and "*" not in secret:
        assert secret not in mask(secret)


def words(raw: bytes) -> None:
    """Foreign text steers no terminal, and one line is one."""
    text = text_of(raw)
    assert not _STEERING & set(visible(text))
    line = one_line(text, 80)
    assert len(line) <= 80
    assert not set("\n\t\r") & set(line)


_INTEGRATION = (
    b'{"data":{"name":"ERP","observes":["order.paid"],"configuration":{"url":"https://a.example/","secret_key":"s"}}}'
)
_STOMP = (
    b'{"data":{"name":"a","integration_type":"stomp","observes":["order.paid"],"rate_limit":1,"configuration":'
    b'{"destination":"/queue/a","addresses":["stomp+ssl://a.example:61614/v"],"username":"u","password":"********word"}}}'
)
_SQS = (
    b'{"data":{"name":"a","integration_type":"aws-sqs","observers":["order.paid"],"enabled":false,"configuration":{'
    b'"url":"https://sqs.eu-west-1.amazonaws.com/123/q.fifo","region":"eu-west-1","access_key_id":"AKIAIOSFODNN7EXAMPLE",'
    b'"secret_access_key":"wJalrXUtnFEMI"}}}'
)
_NAMES = tuple(
    b'"%s":' % name
    for name in b"data name observes observers configuration url rate_limit enabled paused integration_type "
    b"description addresses destination username password region secret_key signing_keys nmae".split()
)
_URLS = (
    b'"https://',
    b"@",
    b"[::1]",
    b"%",
    b"%00",
    b"0x7f.1",
    b":99999",
    b"?",
    b"#",
    b"//",
    b"..",
    b"xn--",
    b"\\u0000",
)
_TAGS = (b'"', b"W/", b",", b" ", b"\t", b"*", b"7", b"\\", b'"7"', b" " * 50, b"w/")
_FILTER_WORDS = (
    *(
        b"eq(",
        b"gt(",
        b"ge(",
        b")",
        b"(",
        b",",
        b":",
        b"succeeded",
        b"attempt",
        b"created_at",
        b"state",
        b"false",
        b"1e9",
    ),
    *(b"2026-11-24T00:00:00Z", b"9" * 20, "٣".encode(), "²".encode(), b'"', b" ", b"-", b".", b"_", b"inf", b"nan"),
)
_NUMBERS = (
    *(b"0", b"1", b"25", b"-", b"+", b"_", b" ", b".", b"e", b"1e999", b"9" * 200, "٣".encode(), "²".encode(), b"\xff"),
    *("１".encode(), b"0x", b"NaN", b"inf", b"\n", b"\0"),
)
_TIMES = (
    b"2026-11-24T00:00:00Z",
    b"jobs-1-",
    b"events-9-",
    b"T",
    b":",
    b"+",
    b"-",
    b"Z",
    b".999999999",
    b"24",
    *_NUMBERS,
)
_PLACE = b"jobs-1764000000000-2da46671-b4c2-44ac-b133-d1221aafc77b"
_TOKEN = b"edw_0123456789abcdef_" + b"A" * 43
_STEER = (b"\x1b[31m", b"\xc2\x9b", "\u202e".encode(), "\u2066".encode(), b"\x7f", b"\r", b"\n", b"\t", b"\0", b"\x07")

TARGETS = (
    Target("etags", etags, _TAGS, (b'"6", W/"7"', b"*", b'"a')),
    Target(
        "filters",
        filters,
        _FILTER_WORDS,
        (b"eq(succeeded,false):ge(created_at,2026-11-24T00:00:00Z)", b"gt(attempt,1)"),
    ),
    Target("paging", paging, _NUMBERS, (b"25", b"1000000000")),
    Target("times", times, _TIMES, (b"2026-11-24T00:00:00Z", _PLACE)),
    Target("body", body, WORDS, (_INTEGRATION, b'{"data":{"rate_limit":1e999}}', b"9" * 500)),
    Target("integration", integration, (*_NAMES, *_URLS, *WORDS), (_INTEGRATION, _STOMP, _SQS)),
    Target(
        "credentials", credentials, (b"=", b"edw_", b"_", b"YTpi", b":", b" ", b"\xff", b"a" * 43), (b"YTpi", _TOKEN)
    ),
    Target(
        "addresses",
        addresses,
        (
            b"10.0.0.1",
            b"203.0.113.9",
            b",",
            b"\n",
            b":4711",
            b"[fd00::1]",
            b"]",
            b"%eth0",
            b"10.0.0.1," * 30,
            b" ",
            b"::",
        ),
        (b"10.0.0.1\n203.0.113.9, 10.0.0.2", b"fd00::1\n[2001:db8::1]:80"),
    ),
    Target(
        "masks", masks, (b"*", b"*" * 8, b"a", b"word", "é".encode(), b"\xff", b"\n"), (b"********word", b"topsecret")
    ),
    Target("words", words, (*_STEER, b"a", b" ", b"\xff", b"\\"), (b"an answer\r\nwith lines",)),
)
