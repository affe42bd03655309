"""What holds of STOMP frames whatever is sent, and however it comes in."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from deliverers.stomp.codec import codec
from deliverers.stomp.frames import Frame, FrameReader, NotStomp, Prepared, Unsendable, encode, encode_connect

# NUL has no escape, and half a surrogate pair no bytes.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NAMES = TEXT.filter(lambda name: name not in ("", "content-length"))
HEADERS = st.dictionaries(NAMES, TEXT, max_size=5)
NASTY = st.text(st.sampled_from("\\\r\n:cnr\0aé"), max_size=12)
BODIES = st.binary(max_size=50).map(lambda body: body.replace(b"\0", b""))


def taken(raw: bytes) -> list[Frame]:
    """What a broker would read: our reader, which is distinguished from our writer by the codec's tests."""
    return list(FrameReader().feed(raw.replace(b"SEND", b"ERROR", 1)))


@given(HEADERS, BODIES)
def test_any_header_comes_back_as_it_was(headers: dict[str, str], body: bytes) -> None:
    assert taken(encode("SEND", headers, body)) == [Frame("ERROR", headers, body)]


@given(HEADERS, HEADERS, BODIES)
def test_a_prepared_frame_says_what_a_joined_one_says(
    same: dict[str, str], others: dict[str, str], body: bytes
) -> None:
    others = {name: value for name, value in others.items() if name not in same}
    assert taken(Prepared("SEND", same).encode(others, body)) == taken(encode("SEND", same | others, body))


@given(NASTY, NASTY, NASTY.map(str.encode))
@example("a\nreceipt", "1\n\n\0SEND\ndestination:/queue/other\n\n", b"")
def test_nothing_that_is_sent_becomes_another_header_or_frame(name: str, value: str, body: bytes) -> None:
    with suppress(Unsendable):
        raw = encode("SEND", {name: value}, body)
        assert raw == Prepared("SEND", {}).encode({name: value}, body)
        head = raw.removesuffix(body + b"\0")
        assert head.count(b"\n") == 3  # after the command, after the header, and before the body
        assert b"\r" not in head
        assert raw.count(b"\0") == 1
        assert head.split(b"\n")[1].count(b":") == 1


@given(NASTY, NASTY)
def test_a_login_never_becomes_another_header(login: str, passcode: str) -> None:
    with suppress(Unsendable):
        raw = encode_connect({"login": login, "passcode": passcode})
        assert raw.count(b"\n") == 4
        assert raw.count(b"\0") == 1


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=30), st.booleans()), max_size=4), st.data())
def test_frames_may_come_in_any_pieces(
    given_frames: list[tuple[dict[str, str], bytes, bool]], data: st.DataObject
) -> None:
    raw, expected = b"", []
    for headers, body, counted in given_frames:
        complete = {**headers, "content-length": str(len(body))} if counted else headers
        sent = body if counted else body.replace(b"\0", b"")
        raw += data.draw(st.sampled_from([b"", b"\n", b"\r\n\n"])) + encode("ERROR", complete, sent)
        expected.append(Frame("ERROR", complete, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    reader = FrameReader()
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == expected


@given(st.integers(0, 10**30), st.sampled_from([b"\n", b"\r\n"]))
def test_a_plain_receipt_is_read_as_the_codec_reads_it(number: int, end: bytes) -> None:
    head = end.join([b"RECEIPT", b"receipt-id:%d" % number])
    (frame,) = FrameReader().feed(head + end * 2 + b"\0")
    parsed = codec().parse_frame(head + end * 2)
    assert (frame.command, frame.headers) == (parsed.cmd, parsed.headers)


@given(
    st.lists(
        st.sampled_from([b"RECEIPT\nreceipt-id:", b"1", b"2", b"\n\n\0", b"\n", b"\r\n", b"ERROR\n\n\0", b"x:y\n"]),
        max_size=12,
    )
)
@example([b"RECEIPT\nreceipt-id:", b"1", b"\n\n\0", b"\n"] * 2)
def test_the_ids_of_a_piece_of_receipts_are_those_of_its_frames(parts: list[bytes]) -> None:
    raw = b"".join(parts)
    if ids := FrameReader().receipts(raw):
        assert list(FrameReader().feed(raw)) == [Frame("RECEIPT", {"receipt-id": each}) for each in ids]


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"ERROR\n", b"\n", b"\0", b"content-length:3\n"]), max_size=8)
)
def test_whatever_a_peer_sends_is_frames_or_no_stomp(pieces: list[bytes]) -> None:
    reader = FrameReader(100)
    with suppress(NotStomp):
        for piece in pieces:
            for frame in reader.feed(piece):
                assert frame.command in {"CONNECTED", "RECEIPT", "ERROR", "MESSAGE"}
            assert len(reader._rest) <= 100
