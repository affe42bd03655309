from __future__ import annotations

import os
import subprocess
import sys
from types import FrameType
from typing import Any

import pytest

from deliverers.stomp import frames
from deliverers.stomp.codec import codec
from deliverers.stomp.frames import Frame, FrameReader, NotStomp, Prepared, Unsendable, encode, encode_connect


def read(*pieces: bytes, largest: int = 1_000) -> list[Frame]:
    reader = FrameReader(largest)
    return [frame for piece in pieces for frame in reader.feed(piece)]


def test_a_frame_is_what_the_specification_says() -> None:
    assert encode("SEND", {"destination": "/queue/a", "receipt": "1"}, b"{}") == (
        b"SEND\ndestination:/queue/a\nreceipt:1\n\n{}\0"
    )
    assert encode("DISCONNECT", {}) == b"DISCONNECT\n\n\0"


def test_a_prepared_frame_is_the_same_frame() -> None:
    prepared = Prepared("SEND", {"destination": "/queue/a:b", "persistent": "true"})
    made = prepared.encode({"receipt": "1", "event_id": "a\nb"}, b"{}")
    assert made == b"SEND\ndestination:/queue/a\\cb\npersistent:true\nreceipt:1\nevent_id:a\\nb\n\n{}\0"


def test_a_prepared_frame_has_values_of_its_own_for_its_names() -> None:
    prepared = Prepared("SEND", {"destination": "/queue/a"}, ("event_id", "100 %s:", "receipt"))
    plain = prepared.encode({"a:b": "c"}, b"{}", ("x", "50 %d", "1"))
    assert plain == b"SEND\ndestination:/queue/a\nevent_id:x\n100 %s\\c:50 %d\nreceipt:1\na\\cb:c\n\n{}\0"
    odd = prepared.encode({}, b"{}", ("x\nreceipt:2\r", "\\ö", "1"))
    assert odd == (
        "SEND\ndestination:/queue/a\nevent_id:x\\nreceipt\\c2\\r\n100 %s\\c:\\\\ö\nreceipt:1\n\n{}\0".encode()
    )


@pytest.mark.parametrize("value", ["x\0y", "x\ud800"])
def test_what_no_frame_can_hold_is_refused_as_a_value_too(value: str) -> None:
    with pytest.raises(Unsendable) as caught:
        Prepared("SEND", {}, ("receipt", "event_id")).encode({}, b"", ("1", value))
    assert "event_id" in str(caught.value)
    with pytest.raises(Unsendable):
        Prepared("SEND", {}, ("a", ""))


def test_names_and_values_are_escaped_so_that_they_begin_no_header_and_no_frame() -> None:
    assert encode("SEND", {"a:b\n": "\r\n\\:\n\nx"}) == b"SEND\na\\cb\\n:\\r\\n\\\\\\c\\n\\nx\n\n\0"


@pytest.mark.parametrize("headers", [{"": "x"}, {"a\0": "x"}, {"a": "x\0y"}, {"a": "\ud800"}, {"\udfff": "x"}])
def test_what_no_frame_can_hold_is_refused(headers: dict[str, str]) -> None:
    for make in (
        lambda: encode("SEND", headers),
        lambda: Prepared("SEND", headers),
        lambda: Prepared("SEND", {}).encode(headers, b""),
        lambda: encode_connect(headers),
    ):
        with pytest.raises(Unsendable) as caught:
            make()
        assert "x" not in str(caught.value).replace("\\x", "")


def test_a_body_with_a_nul_needs_its_length() -> None:
    for make in (encode, lambda _, headers, body: Prepared("SEND", {}).encode(headers, body)):
        with pytest.raises(Unsendable, match="NUL"):
            make("SEND", {}, b"a\0b")
        assert make("SEND", {"content-length": "3"}, b"a\0b") == b"SEND\ncontent-length:3\n\na\0b\0"


def test_a_connect_frame_keeps_its_colons_and_doubles_its_backslashes() -> None:
    assert encode_connect({"passcode": "a:b\\cö"}) == "CONNECT\npasscode:a:b\\\\cö\n\n\0".encode()


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "a\tb", "a\x7fb"])
def test_a_connect_frame_holds_no_control_characters(value: str) -> None:
    with pytest.raises(Unsendable):
        encode_connect({"login": value})
    with pytest.raises(Unsendable):
        encode_connect({value: "x"})


@pytest.mark.parametrize(
    ("raw", "frame"),
    [
        (b"RECEIPT\nreceipt-id:1\n\n\0", Frame("RECEIPT", {"receipt-id": "1"})),
        (b"\n\r\n\nRECEIPT\r\nreceipt-id:1\r\n\r\n\0\n", Frame("RECEIPT", {"receipt-id": "1"})),
        (b"RECEIPT\nreceipt-id:1\n\r\n\0", Frame("RECEIPT", {"receipt-id": "1"})),
        (b"RECEIPT\nreceipt-id:1\nreceipt-id:2\n\n\0", Frame("RECEIPT", {"receipt-id": "1"})),  # the first counts
        (b"RECEIPT\n\n\0", Frame("RECEIPT", {})),
        (b"ERROR\nmessage:a\\cb\\n\\\\\n\nwhy\0", Frame("ERROR", {"message": "a:b\n\\"}, b"why")),
        (b"ERROR\nx:\xff\n\n\xff\0", Frame("ERROR", {"x": "\N{REPLACEMENT CHARACTER}"}, b"\xff")),
        (b"ERROR\ncontent-length:3\n\na\0b\0", Frame("ERROR", {"content-length": "3"}, b"a\0b")),
        (b"CONNECTED\nversion:1.2\n\n\0", Frame("CONNECTED", {"version": "1.2"})),
        (b"MESSAGE\n\nhi\0", Frame("MESSAGE", {}, b"hi")),
    ],
)
def test_a_frame_is_read_whole_or_byte_by_byte(raw: bytes, frame: Frame) -> None:
    assert read(raw) == [frame]
    assert read(*(raw[n : n + 1] for n in range(len(raw)))) == [frame]


def test_many_frames_in_one_piece_are_read_in_order() -> None:
    raw = b"".join(b"RECEIPT\nreceipt-id:%d\n\n\0\n" % n for n in range(100))
    assert [frame.headers["receipt-id"] for frame in read(raw)] == [str(n) for n in range(100)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_piece_of_plain_receipts_is_taken_as_their_ids(end: bytes) -> None:
    raw = b"".join(b"RECEIPT\nreceipt-id:%d\n\n\0%b" % (n, end) for n in range(100))
    assert FrameReader().receipts(raw) == [str(n) for n in range(100)]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"RECEIPT\nreceipt-id:12",
        b"RECEIPT\nreceipt-id:1\n\n\0RECEIPT\nreceipt-id:2",
        b"RECEIPT\nreceipt-id:1\n\n\0RECEIPT\nreceipt-id:2\n\n",
        b"RECEIPT\nreceipt-id:1\n\n\0\nRECEIPT\nreceipt-id:2\n\n\0",
        b"RECEIPT\nreceipt-id:1\n\n\0ERROR\nmessage:no\n\n\0",
        b"RECEIPT\nreceipt-id:1\nx:RECEIPT\n\n\0",
        b"RECEIPT\nreceipt-id:\xb2\n\n\0",
        b"RECEIPT\nreceipt-id:-1\n\n\0",
        b"RECEIPT\nreceipt-id:\n\n\0",
        b"RECEIPT\nreceipt-id:1\r\n\r\n\0",
        b"RECEIPT\n\n\0",
    ],
)
def test_any_other_piece_is_left_to_be_read_frame_by_frame(raw: bytes) -> None:
    assert FrameReader().receipts(raw) == []


def test_the_rest_of_a_frame_is_no_receipt() -> None:
    reader, inner = FrameReader(), b"RECEIPT\nreceipt-id:1\n\n\0"
    assert list(reader.feed(b"ERROR\ncontent-length:%d\n\n" % len(inner))) == []
    assert reader.receipts(inner) == []
    assert [frame.body for frame in reader.feed(inner + b"\0")] == [inner]


@pytest.mark.parametrize(
    "raw",
    [
        b"ERROR\nx:" + b"y" * 20_000 + b"\n\nwhy\0",
        b"ERROR\n" + b"x:y\n" * 2_000 + b"content-length:12000\n\n" + b"\0" * 12_000 + b"\0",
    ],
)
def test_a_frame_in_small_pieces_is_looked_at_no_more_often_than_one_in_large_ones(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    check = frames._check_command

    def counted(buffer: bytes, start: int) -> None:
        nonlocal looks
        looks += 1
        check(buffer, start)

    monkeypatch.setattr(frames, "_check_command", counted)
    reader = FrameReader()
    found = [frame for n in range(len(raw)) for frame in reader.feed(raw[n : n + 1])]
    assert found == list(FrameReader().feed(raw))
    assert looks < 20


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"S", "no STOMP frame"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no STOMP frame"),
        (b"RECEIPTS\n\n\0", "no STOMP frame"),
        (b"RECEIPT", None),
        (b"CONNECTED\r", None),
        (b"CONNECTEDX", "no STOMP frame"),
        (b"send\n\n\0", "no STOMP frame"),
        (b"\x15\x03", "TLS alert"),
        (b"ERROR\nmessage:x\0\n\n\0", "do not end"),
        (b"ERROR\ncontent-length:-1\n\n\0", "no number"),
        (b"ERROR\ncontent-length:\n\n\0", "no number"),
        (b"MESSAGE\ncontent-length:1001\n\n\0", "no number up to 1000"),
        (b"ERROR\ncontent-length:1\n\nab\0", "longer than"),
        (b"ERROR\n\n" + b"x" * 1_001, "more than 1000 bytes"),
        (b"ERROR\n\n" + b"x" * 900, None),
    ],
)
def test_what_cannot_become_a_frame_is_reported_early(raw: bytes, words: str | None) -> None:
    if words is None:
        assert read(raw) == []
    else:
        with pytest.raises(NotStomp, match=words):
            read(raw)


def test_the_codec_asks_nobody_for_this_machines_name_and_leaves_the_environment_as_it_was() -> None:
    program = """
import os, socket
def asked(*_): raise SystemExit("the DNS was asked")
socket.gethostbyname = socket.getfqdn = socket.gethostname = asked
from deliverers.stomp import StompDeliverer
import sys
assert "stomp" not in sys.modules, "imported before it is needed"
from deliverers.stomp import frames
from deliverers.stomp.codec import codec
before = dict(os.environ)
codec()
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ), timeout=60)
    assert codec() is codec()


@pytest.mark.parametrize("lines", [b"", b"content-length:3000\n"])
def test_of_an_error_that_is_too_large_the_beginning_is_read(lines: bytes) -> None:
    raw = b"ERROR\nmessage:no\n" + lines + b"\n" + b"x" * 3_000 + b"\0"
    for pieces in ([raw], [raw[index : index + 7] for index in range(0, len(raw), 7)]):
        reader, found, refusal = FrameReader(1_000), [], ""
        try:
            for piece in pieces:
                for frame in reader.feed(piece):
                    found.append(frame)  # noqa: PERF402  (what precedes a refusal is read)
        except NotStomp as error:
            refusal = str(error)
        assert refusal == "an ERROR of more than 1000 bytes"
        assert len(found) == 1
        assert (frame.command, frame.headers["message"]) == ("ERROR", "no")
        assert frame.body == b"x" * (1_000 - raw.index(b"\n\n") - 2)


def test_line_ends_are_passed_over_without_a_step_for_each() -> None:
    reader, steps = FrameReader(), 0

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        found = list(reader.feed(b"\n\r\n" * 10_000 + b"RECEIPT\nreceipt-id:1\n\n\0"))
    finally:
        sys.settrace(before)
    assert [frame.command for frame in found] == ["RECEIPT"]
    assert 0 < steps < 100
