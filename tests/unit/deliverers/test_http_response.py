"""What an answer is, wherever its pieces end, and what a peer may send before and beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverers.http.response import (
    LARGEST_HEAD,
    MOST_EARLY_BYTES,
    MOST_HEADER_LINES,
    MOST_INTERIM,
    AnswerReader,
    Fault,
)

LIMIT = 64 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def read(*pieces: bytes, closed: bool = True, limit: int = LIMIT) -> AnswerReader:
    reader = AnswerReader()
    reader.begin(limit)
    for piece in pieces:
        reader.feed(piece)
    if closed:
        reader.close()
    return reader


def test_an_answer_is_done_at_its_end_and_its_connection_may_be_used_again() -> None:
    reader = read(OK, closed=False)
    assert (reader.done, reader.reusable, reader.fault) == (True, True, None)
    assert (reader.status, reader.body) == (200, b"ok")
    reader.begin(LIMIT)
    assert (reader.done, reader.status) == (False, None)
    reader.feed(b"HTTP/1.1 503 Later\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
    assert (reader.status, reader.body, reader.header("retry-after")) == (503, b"", "60")


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", 204, b""),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", 304, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n12345678901234", 200, b"1234567890123"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n", 200, b""),
        (OK + OK, 200, b"ok"),
        (OK + b"\0", 200, b"ok"),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\nmore", 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokmore", 200, b"ok"),
    ],
)
def test_surplus_changes_no_status_and_ends_the_connection(raw: bytes, status: int, body: bytes) -> None:
    for pieces in ([raw], [raw[index : index + 1] for index in range(len(raw))]):
        reader = read(*pieces, closed=False)
        assert (reader.done, reader.status, reader.body, reader.fault) == (True, status, body, None)
        assert not reader.reusable


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2, 2",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999",
        b"X-A : 2\r\nContent-Length: 2",
        b"X-A: 1\r\n folded\r\nContent-Length: 2",
        b"no colon\r\nContent-Length: 2",
        b": no name\r\nContent-Length: 2",
        b"X-A: a\0b\r\nContent-Length: 2",
        b"X-A: a\nContent-Length: 2",
        b"Transfer-Encoding: chunked, chunked",
    ],
)
def test_a_malformed_head_does_not_change_its_status(line: bytes) -> None:
    raw = b"HTTP/1.1 503 Later\r\n" + line + b"\r\nRetry-After: 60\r\n\r\nok"
    for pieces in ([raw], [raw[index : index + 1] for index in range(len(raw))], [raw[:25], raw[25:]]):
        reader = read(*pieces)
        assert (reader.status, reader.fault, reader.header("Retry-After")) == (503, None, "60")
        assert not reader.reusable


@pytest.mark.parametrize(
    "body",
    [b"2\nok\n0\n\n", b"zz\r\n", b"2\r\nokk\r\n0\r\n\r\n", b"2 \r\nok\r\n0\r\n\r\n", b"-1\r\n", b"\r\n", b"f" * 20],
)
def test_malformed_chunks_do_not_change_the_status(body: bytes) -> None:
    for pieces in ([CHUNKED + body], [CHUNKED, body], [CHUNKED, *(bytes([each]) for each in body)]):
        reader = read(*pieces, closed=False)
        assert (reader.done, reader.status, reader.fault) == (True, 200, None)
        assert not reader.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 \xff\x00\r\n\r\n",
    ],
)
def test_spellings_of_a_status_line(raw: bytes) -> None:
    assert (read(raw).status, read(raw).fault) == (200, None)
    pieces = [raw[index : index + 1] for index in range(len(raw))]
    assert (read(*pieces).status, read(*pieces).fault) == (200, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x00\x05",
        b"\0" * 64,
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"ICE/1.0 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_not_http_is_found_at_once(raw: bytes) -> None:
    reader = read(raw, closed=False)
    assert (reader.done, reader.status, reader.fault) == (True, None, Fault.NOT_HTTP)


def test_interim_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for interim in (CONTINUE * MOST_INTERIM, early * 3, CONTINUE + early.replace(b"Link:", b"Link :")):
        reader = read(interim + OK, closed=False)
        assert (reader.status, reader.body, reader.header("link")) == (200, b"ok", None)


@pytest.mark.parametrize("interim", [CONTINUE, CONTINUE.replace(b"\r\n", b"\n")])
def test_endless_interim_answers_end_at_their_number(interim: bytes) -> None:
    reader = AnswerReader()
    reader.begin(LIMIT)
    for _ in range(MOST_INTERIM):
        reader.feed(interim)
    assert not reader.done
    reader.feed(interim)
    assert (reader.done, reader.fault) == (True, Fault.TOO_MANY_INTERIM)
    assert read(interim * 1_000_000, closed=False).fault is Fault.TOO_MANY_INTERIM


@pytest.mark.parametrize(
    "piece",
    [b"\r\n", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 60_000 + b"\r\n\r\n", b"HTTP/1.1 200 " + b"O" * 5_000],
)
def test_bytes_before_the_final_status_are_bounded(piece: bytes) -> None:
    reader = AnswerReader()
    reader.begin(LIMIT)
    sent = 0
    while not reader.done:
        reader.feed(piece if sent == 0 or not piece.startswith(b"HTTP/1.1 200") else piece[13:])
        sent += len(piece)
    assert (reader.status, reader.fault) == (None, Fault.TOO_MUCH_EARLY)
    assert sent <= MOST_EARLY_BYTES + len(piece)


def test_headers_may_be_large_and_many() -> None:
    for lines in (b"X: " + b"y" * (LARGEST_HEAD - 200) + b"\r\n", b"X: y\r\n" * (MOST_HEADER_LINES - 10)):
        reader = read(b"HTTP/1.1 503 Later\r\n" + lines + b"Retry-After: 60\r\nContent-Length: 0\r\n\r\n", closed=False)
        assert (reader.status, reader.header("retry-after"), reader.reusable) == (503, "60", True)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"X-A: " + b"y" * 500 + b"\r\n", Fault.TOO_MANY_HEADERS),
        (b"X: y\r\n", Fault.TOO_MANY_HEADERS),
        (b"X-A: " + b"y" * 100_000, Fault.HEADERS_TOO_LONG),
    ],
)
@pytest.mark.parametrize("first", [b"", b"blank : before\r\n"])
def test_endless_headers_are_cut_off_and_their_status_is_known(first: bytes, line: bytes, fault: Fault) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + first + line * (1 + 200_000 // len(line))
    for pieces in ([raw], [raw[index : index + 777] for index in range(0, len(raw), 777)], [raw + b"\r\n\r\n"]):
        reader = read(*pieces, closed=False)
        assert (reader.done, reader.status, reader.fault) == (True, 200, fault)


def test_a_body_is_read_up_to_its_limit_and_the_rest_is_not_awaited() -> None:
    whole = read(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"x" * 10, closed=False, limit=10)
    assert (whole.body, whole.reusable) == (b"x" * 10, True)
    for start in (b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 5000\r\n\r\n"):
        reader = read(start, b"x" * 6, b"x" * 6, closed=False, limit=10)
        assert (reader.done, reader.status, reader.body, reader.fault) == (True, 500, b"x" * 10, None)
        assert not reader.reusable


def test_framing_without_a_body_is_bounded() -> None:
    reader = read(CHUNKED, closed=False, limit=1_000)
    sent = 0
    while not reader.done:
        reader.feed(b"1;" + b"x" * 1_000 + b"\r\ny\r\n")
        sent += 1_000
    assert (reader.status, reader.fault) == (200, None)
    assert sent < 2 * LIMIT


@pytest.mark.parametrize(
    ("raw", "fault", "status"),
    [
        (b"", Fault.CLOSED_AT_ONCE, None),
        (b"HTTP/1.1 2", Fault.CLOSED_IN_HEAD, None),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", Fault.CLOSED_IN_HEAD, 200),
        (CONTINUE, Fault.CLOSED_IN_HEAD, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Fault.CLOSED_IN_BODY, 200),
        (CHUNKED + b"5\r\nabc", Fault.CLOSED_IN_BODY, 200),
        (CHUNKED + b"3\r\nabc\r\n", Fault.CLOSED_IN_BODY, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault.CLOSED_IN_BODY, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", None, 200),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", None, 200),
        (b"HTTP/1.0 200 OK\r\n\r\n", None, 200),
    ],
)
def test_the_end_of_the_connection(raw: bytes, fault: Fault | None, status: int | None) -> None:
    assert (read(raw).fault, read(raw).status) == (fault, status)


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    for raw in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 502 No\r\nContent-Length: 5\r\n\r\n"):
        reader = AnswerReader()
        reader.begin(LIMIT, bodiless=True)
        reader.feed(raw)
        assert (reader.done, reader.fault, reader.has_surplus) == (True, None, False)
        reader = AnswerReader()
        reader.begin(LIMIT, bodiless=True)
        reader.feed(raw + b"early")
        assert (reader.done, reader.has_surplus) == (True, True)


def test_a_switch_of_protocols_ends_with_its_head() -> None:
    reader = read(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0\0", closed=False)
    assert (reader.done, reader.status, reader.fault, reader.reusable) == (True, 101, None, False)


def test_headers_are_found_by_any_case_and_joined() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nx-A: 1\r\nX-a:  2 \r\nX-AB: 3\r\nContent-Length: 0\r\n\r\n", closed=False)
    assert reader.header("X-A") == "1, 2"
    assert reader.header("x") is None


PIECES = st.lists(st.integers(1, 60), max_size=12)
PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 C\r\n",
        b"\r\n",
        b"Content-Length: 3\r\n",
        b"X : y\r\n",
        b"abc",
        b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"3\r\nabc\r\n",
        b"\n",
        b"HTTP/1.1 503 No\r\n",
        b"Connection: close\r\n",
        b"\0",
    ]
)


@given(st.lists(PARTS, max_size=12).map(b"".join), PIECES)
def test_where_pieces_end_changes_nothing(raw: bytes, sizes: list[int]) -> None:
    pieces, rest = [], raw
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    whole, in_pieces = read(raw), read(*filter(None, [*pieces, rest]))
    assert (whole.status, whole.fault) == (in_pieces.status, in_pieces.fault)
