"""What HTTP itself allows and forbids: requests are bytes on a socket, as no client's library would send them."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from yarl import URL

from tests.api_client import Api, accepted
from tests.waiting import PATIENCE
from worker.api import request_context
from worker.http_server.site import _ServerLog

EVENT = b'{"data":{"id":"e-1","type":"order.paid","data":{"id":"o-1"}}}'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        (found,) = json.loads(self.body)["errors"]
        assert self.headers["content-type"] == "application/json"
        assert found["status"] == self.status
        return dict(found)


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self.writer = writer
        self._token = token

    @property
    def peer(self) -> tuple[str, int]:
        host, port = self.writer.get_extra_info("peername")[:2]
        return str(host), int(port)

    def send(self, raw: bytes) -> None:
        self.writer.write(raw.replace(b"\n", b"\r\n").replace(b"TOKEN", self._token.encode()))

    def post(self, headers: bytes, body: bytes = b"", host: bytes = b"api.example") -> None:
        self.send(b"POST /v2/events HTTP/1.1\nHost: %s\nAuthorization: Bearer TOKEN\n%s\n" % (host, headers))
        self.writer.write(body)

    async def upload(self, chunk: bytes, times: int) -> None:
        for _ in range(times):
            self.writer.write(chunk)
            await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *rest = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, body)

    async def end(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()


@pytest.fixture
async def line(api: Api) -> AsyncIterator[Line]:
    url = URL(api.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    yield Line(reader, writer, await api.token())
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def sized(body: bytes, headers: bytes = b"Content-Type: application/json\n") -> bytes:
    return headers + b"Content-Length: %d\n" % len(body)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a:b",
        b"a:99999",
        b"a@b",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a b",
        b"u:p@a:1",
        b"[a]",
        b"[::1",
        b"a\xc3\xa9",
        b"a,b",
    ],
)
async def test_a_host_that_is_none_is_refused_before_anything_is_done(api: Api, line: Line, host: bytes) -> None:
    line.post(sized(EVENT), EVENT, host)

    answer = await line.answer()

    assert (answer.status, "Host" in answer.error["detail"]) == (400, True)
    assert await accepted(api) == 0


@pytest.mark.parametrize("path", [b"/v2/integrations", b"/nowhere", b"/healthz", b"/oauth/access_token"])
async def test_a_host_that_is_none_is_refused_at_every_path(line: Line, path: bytes) -> None:
    line.send(b"DELETE %s HTTP/1.1\nHost: a@b\nAuthorization: Bearer TOKEN\n\n" % path)

    assert (await line.answer()).error["status"] == 400
    assert await line.end() == b""


@pytest.mark.parametrize("host", [b"api.example:8443", b"[2001:db8::1]:8443", b"192.0.2.1", b"api_1.example."])
async def test_links_lead_where_the_caller_came_to(api: Api, line: Line, host: bytes) -> None:
    line.post(sized(EVENT), EVENT, host)

    document = json.loads((await line.answer()).body)

    assert document["data"]["links"]["self"] == f"http://{host.decode()}/v2/events/e-1"


async def test_a_target_in_absolute_form_names_the_same_host(line: Line) -> None:
    for target, status in (
        (b"http://api.example:8443/healthz", 200),
        (b"http://api.example/healthz", 400),
        (b"http://u@api.example:8443/healthz", 400),
        (b"ftp://api.example:8443/healthz", 400),
    ):
        reader, writer = await asyncio.open_connection(*line.peer)
        other = Line(reader, writer, "")
        other.send(b"GET %s HTTP/1.1\nHost: api.example:8443\n\n" % target)
        assert (await other.answer()).status == status, target
        writer.close()


async def test_http_1_0_needs_no_host(line: Line) -> None:
    line.send(b"GET /healthz HTTP/1.0\n\n")

    assert (await line.answer()).status == 200


@pytest.mark.parametrize(
    "request_line", [b"GET /healthz", b"GET /nowhere", b"PATCH /v2/integrations", b"GET /v2/integrations", b"BAD"]
)
async def test_no_answer_names_a_version(line: Line, request_line: bytes) -> None:
    line.send(request_line + b" HTTP/1.1\nHost: x\n\n")

    answer = await line.answer()

    assert answer.headers["server"] == "edw"
    assert not any("python" in value.lower() or "aiohttp" in value.lower() for value in answer.headers.values())


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_the_callers_mistake(line: Line, encoding: bytes) -> None:
    line.post(sized(EVENT, b"Content-Type: application/json\nContent-Encoding: %s\n" % encoding), EVENT)

    answer = await line.answer()

    assert (answer.status, encoding.decode() in answer.error["detail"]) == (400, True)


async def test_a_compressed_body_that_is_cut_short_is_too(line: Line) -> None:
    body = gzip.compress(EVENT)[:-12]
    line.post(sized(body, b"Content-Type: application/json\nContent-Encoding: gzip\n"), body)

    assert (await line.answer()).error["status"] == 400


async def test_a_caller_that_goes_away_in_the_middle_is_no_internal_error(
    api: Api, line: Line, capfd: pytest.CaptureFixture[str]
) -> None:
    line.post(b"Content-Type: application/json\nContent-Length: 500\n", EVENT)
    line.writer.write_eof()

    await line.end()

    assert await accepted(api) == 0
    assert (await api.client().get("/healthz")).status == 200
    assert "internal error" not in "".join(capfd.readouterr())


async def test_a_body_that_does_not_come_is_not_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_context, "BODY_SECONDS", 0.2)
    line.post(b"Content-Type: application/json\nContent-Length: 100\n", b'{"data":')
    answer = await line.answer()
    assert (answer.status, answer.error["detail"]) == (408, "the body did not arrive within 0.2 s")


async def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked(api: Api, line: Line) -> None:
    line.post(sized(EVENT) + b"Expect: 100-continue\n")
    assert (await line.answer()).status == 100

    line.writer.write(EVENT)

    assert (await line.answer()).status == 202
    assert await accepted(api) == 1


@pytest.mark.parametrize("path", [b"/v2/events", b"/v2/integrations", b"/nowhere", b"/v2/events?filter=x"])
async def test_nothing_is_asked_of_a_stranger(line: Line, path: bytes) -> None:
    line.send(b"POST %s HTTP/1.1\nHost: x\nContent-Length: 10\nExpect: 100-continue\n\n" % path)

    answer = await line.answer()

    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert await line.end() == b""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 999999999\nContent-Type: application/json\n", 413),
        (b"Content-Length: 9\nContent-Type: text/xml\n", 415),
        (b"Content-Length: 9\nContent-Type: application/json\nContent-Encoding: br\n", 415),
    ],
)
async def test_nothing_is_asked_for_that_is_refused_anyway(line: Line, headers: bytes, status: int) -> None:
    line.post(headers + b"Expect: 100-continue\n")

    assert (await line.answer()).status == status
    assert await line.end() == b""


async def test_a_body_over_the_limit_is_refused_before_it_comes(api: Api, line: Line) -> None:
    line.post(b"Content-Type: application/json\nContent-Length: %d\n" % (api.services.settings.api_body_limit + 1))

    answer = await line.answer()

    assert (answer.error["status"], answer.headers["connection"]) == (413, "close")
    line.writer.write_eof()
    assert await line.end() == b""


async def test_a_stranger_whose_body_is_short_has_an_answer_and_keeps_the_connection(line: Line) -> None:
    for _ in range(2):
        line.send(b"POST /v2/events HTTP/1.1\nHost: x\n%s\n" % sized(EVENT))
        line.writer.write(EVENT)
        assert (await line.answer()).status == 401


async def test_a_strangers_endless_body_is_not_read(line: Line) -> None:
    """The answer comes, and the connection ends after what may be read of it, with the rest unsent."""
    line.send(b"POST /v2/events HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
    assert (await line.answer()).status == 401

    with pytest.raises(ConnectionError):
        await line.upload(b"10000\r\n" + b"x" * 0x10000 + b"\r\n", 1 << 14)


async def test_another_expectation_changes_nothing(line: Line) -> None:
    line.post(sized(EVENT) + b"Expect: the-unexpected\n", EVENT)

    assert (await line.answer()).status == 202


async def test_a_chunked_body_is_taken_and_a_connection_is_used_again(line: Line) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)
    for duplicate in (False, True):
        line.post(b"Content-Type: application/json\nTransfer-Encoding: chunked\n", chunk)

        assert json.loads((await line.answer()).body)["data"]["duplicate"] is duplicate


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\n\n",
        b"GET\n\n",
        b"GET / HTTP/9.9\nHost: x\n\n",
        b"GET /healthz HTTP/1.1\n\n",
        b"GET /%s HTTP/1.1\nHost: x\n\n" % (b"a" * 20_000),
        b"GET /healthz HTTP/1.1\nHost: x\nX: %s\n\n" % (b"a" * 20_000),
        b"POST /v2/events HTTP/1.1\nHost: x\nContent-Length: -1\n\n",
        b"POST /v2/events HTTP/1.1\nHost: x\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
        b"GET /healthz HTTP/1.1\nHost: x\nAuthorization: Bearer \x00\n\n",
        b"GET /healthz HTTP/1.1\nHost: x\nHost: x\n\n",
        b"GET /healthz HTTP/1.1\nHost: x\nContent-Type: a/b\nContent-Type: a/b\n\n",
        b"GET /healthz HTTP/1.1\nHost: x\n X: folded\n\n",
        b"%s /healthz HTTP/1.1\nHost: x\n\n" % (b"M" * 500),
    ],
)
async def test_what_is_no_http_is_refused_in_few_words_and_hung_up_on(line: Line, raw: bytes) -> None:
    line.send(raw)

    answer = await line.answer()

    assert (answer.status, answer.headers["server"]) == (400, "edw")
    assert answer.error["detail"].startswith("malformed HTTP request")
    assert len(answer.body) < 500
    assert await line.end() == b""


def test_what_is_no_http_is_logged_in_a_line_and_a_failure_with_its_traceback(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server_log = _ServerLog(logging.getLogger("edw.api"), {})

    problem = BadHttpMessage("no such thing:\n\n  b'Authorization: Bearer edw_secret\\x00'\n   ^")
    server_log.exception("Error handling request from %s", "192.0.2.1", exc_info=problem)
    assert caplog.records == []
    said = "".join(capfd.readouterr())
    assert "no such thing" in said
    assert "edw_secret" not in said
    assert "Traceback" not in said

    server_log.exception("Unhandled exception", exc_info=ValueError("a bug"))
    assert caplog.records[0].exc_info
