"""STOMP 1.2 frames to bytes and back. No I/O.

stomp.py's codec joins and splits a frame. This module adds what the codec lacks: it checks and escapes the names and
values of headers, cuts an incoming stream into frames wherever its pieces end, and bounds everything that grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from msgspec import Struct

from deliverers.stomp.codec import codec

#: Bytes. A broker's frames to a producer are short; ActiveMQ's errors may hold a stack trace.
LARGEST_FRAME = 64 * 1024

#: Bytes. A broker may send the message back in its ERROR, of which only the first `LARGEST_FRAME` bytes are read.
LARGEST_ERROR = 64 * 1024 * 1024

CONTENT_LENGTH = "content-length"
#: A line end between frames is also the sign of life (STOMP 1.2, "Heart-beating").
HEART_BEAT = b"\n"

_ERROR = b"ERROR"
_COMMANDS = (b"CONNECTED", b"RECEIPT", b"ERROR", b"MESSAGE")
_LONGEST_COMMAND = max(len(command) for command in _COMMANDS)
_LONGEST_LINE = _LONGEST_COMMAND + len(b"\r\n")
_TLS_ALERT = 0x15  # RFC 8446, section 5.1
_END_OF_LINE = re.compile(rb"\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_CARRIAGE_RETURN = 0x0D
_LINE_ENDS = re.compile(rb"[\r\n]*+")
_NO_BODY = b"\n\0"
_NUL = 0
_LENGTH = re.compile(r"[0-9]{1,9}")

# The form of nearly every frame, one for each message. It does not need the codec.
_PLAIN_RECEIPT = re.compile(rb"RECEIPT\nreceipt-id:([0-9]+)\n\n\0")
_RECEIPT = "RECEIPT\nreceipt-id:"
_END_OF_RECEIPT = "\n\n\0"

# STOMP 1.2, "Value Encoding".
_ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
_TO_ESCAPE = re.compile(r"[\\\r\n:]")
# NUL would end the frame and has no escape; half a surrogate pair has no bytes.
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Unsendable(ValueError):
    """A header or a body that no STOMP frame can carry. The text names the header, and no value."""


class NotStomp(ValueError):
    """Bytes from the peer that are not a STOMP frame. The text completes "it sent …"."""


# A struct is several times faster to create than a dataclass, and each message needs one.
class Frame(Struct, frozen=True):
    """A frame from a broker."""

    command: str
    headers: Mapping[str, str]
    body: bytes = b""


def encode(command: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Encode a frame. Raises `Unsendable`.

    Exactly the given headers are sent; no `content-length` is added.
    """
    if _NUL in body:
        _check_length(headers)
    escaped = {_name(name): _value(name, value) for name, value in headers.items()}
    return _encoded(command, escaped, body)


class Prepared:
    """A frame most of whose headers never change: those are checked and joined only once.

    Of the headers in `names`, each frame has a value of its own. Further headers must have other names. Raises
    `Unsendable`, like `encode`.
    """

    def __init__(self, command: str, headers: Mapping[str, str], names: tuple[str, ...] = ()) -> None:
        self._head = encode(command, headers).removesuffix(_NO_BODY)
        self._names = names
        self._form = "".join(f"{_name(name).replace('%', '%%')}:%s\n" for name in names)

    def encode(self, headers: Mapping[str, str], body: bytes, values: tuple[str, ...] = ()) -> bytes:
        """Encode the frame with the values of its names and with further headers. Raises `Unsendable`."""
        if _NUL in body:
            _check_length(headers)
        plain = _is_plain("".join(values))
        lines = self._form % values if plain else _lines(zip(self._names, values, strict=True))
        if headers:
            lines += _lines(headers.items())
        return b"".join((self._head, lines.encode(), b"\n", body, b"\0"))


def encode_connect(headers: Mapping[str, str]) -> bytes:
    """Encode a CONNECT frame. Raises `Unsendable` for control characters, which it cannot hold.

    The specification has no escapes in this frame. Yet ActiveMQ and RabbitMQ undo them, so a backslash must be doubled
    for them; they take a colon as it is.
    """
    for name, value in headers.items():
        if _CONTROL.search(name) or _CONTROL.search(value) or not name or ":" in name:
            raise Unsendable(f"the header {name!a} of a CONNECT frame must not hold control characters")
    return _encoded("CONNECT", {name: value.replace("\\", "\\\\") for name, value in headers.items()}, b"")


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    return "".join([f"{_name(name)}:{_value(name, value)}\n" for name, value in headers])


def _is_plain(text: str) -> bool:
    """Return whether a text is sent as it is, as nearly all are. This is much faster than a pattern."""
    return text.isascii() and not (":" in text or "\n" in text or "\\" in text or "\r" in text or "\0" in text)


@lru_cache(256)  # a producer uses a handful
def _name(name: str) -> str:
    if not name:
        raise Unsendable("a header has no name")
    return _escaped(name, name)


def _value(name: str, value: str) -> str:
    return value if _is_plain(value) else _escaped(name, value)


def _escaped(name: str, text: str) -> str:
    if _UNSENDABLE.search(text):
        raise Unsendable(f"the header {name!a} holds a NUL or half a character")
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], text)


def _check_length(headers: Mapping[str, str]) -> None:
    if CONTENT_LENGTH not in headers:
        raise Unsendable("a body with a NUL needs a content-length")


def _encoded(command: str, escaped: dict[str, str], body: bytes) -> bytes:
    utils = codec()
    return b"".join(utils.convert_frame(utils.Frame(command, escaped, body)))


class FrameReader:
    """A reader that cuts incoming bytes into frames.

    Pieces may end anywhere, and small ones cost no more than large ones.
    """

    def __init__(self, largest: int = LARGEST_FRAME) -> None:
        self._largest = largest
        self._rest = b""
        #: Where the frame in the rest ends, if its content-length says so; else 0.
        self._end = 0

    def receipts(self, data: bytes) -> list[str]:
        """Return the ids of a piece that is plain receipts, as nearly every piece is; `feed` must take any other."""
        if self._rest or not data.startswith(b"RECEIPT"):
            return []
        text = data.decode("latin-1")
        # Many brokers send a line end after each frame.
        end = f"{_END_OF_RECEIPT}\n" if text.endswith("\n") else _END_OF_RECEIPT
        if not (text.startswith(_RECEIPT) and text.endswith(end)):
            return []
        ids = text[len(_RECEIPT) : -len(end)].split(end + _RECEIPT)
        return ids if "".join(ids).isdecimal() else []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take a piece and yield the frames that it completes. Raises `NotStomp` for bytes that cannot be a frame."""
        buffer = data
        start = 0
        if self._rest:
            buffer = self._rest + data
            if self._is_pointless(buffer, data):
                self._rest = buffer
                return
            self._rest = b""
        while (start := _after_line_ends(buffer, start)) < len(buffer):
            if plain := _PLAIN_RECEIPT.match(buffer, start):
                start = plain.end()
                yield Frame("RECEIPT", {"receipt-id": plain[1].decode()})
                continue
            self._end = 0
            found = self._frame(buffer, start)
            # Its NUL is not counted.
            size = (found[1] - 1 if found else len(buffer)) - start
            if size > self._largest:
                yield self._cut_error(buffer[start : start + self._largest])
                raise NotStomp(f"an ERROR of more than {self._largest} bytes")
            if found is None:
                self._rest = buffer[start:]
                return
            frame, start = found
            yield frame

    def _cut_error(self, begun: bytes) -> Frame:
        """Return the beginning of an ERROR that is too large. Raises `NotStomp` for any other frame."""
        head = _END_OF_HEAD.search(begun)
        if head is None or not begun.startswith(_ERROR):
            raise NotStomp(f"a frame of more than {self._largest} bytes")
        parsed = codec().parse_frame(begun[: head.start()] + b"\n\n")
        return Frame(parsed.cmd, parsed.headers, begun[head.end() :])

    def _is_pointless(self, buffer: bytes, data: bytes) -> bool:
        """Return whether parsing again is pointless: the frame in the rest was checked and is still incomplete.

        A frame with a content-length ends there; any other ends with a NUL.
        """
        if not _LONGEST_LINE <= len(self._rest) <= len(buffer) <= self._largest:
            return False
        return len(buffer) <= self._end if self._end else b"\0" not in data

    def _frame(self, buffer: bytes, start: int) -> tuple[Frame, int] | None:
        """Return the frame that begins here and where the next one may begin; None while it is incomplete."""
        _check_command(buffer, start)
        nul = buffer.find(b"\0", start)
        head = _END_OF_HEAD.search(buffer, start)
        if head is None or -1 < nul < head.start():
            if nul >= 0:
                raise NotStomp("a frame whose headers do not end")
            return None
        # The codec finds the end of headers only after two equal line ends, and knows no content-length.
        parsed = codec().parse_frame(buffer[start : head.start()] + b"\n\n")
        begin, end = head.end(), nul
        if (length := parsed.headers.get(CONTENT_LENGTH)) is not None:
            largest = LARGEST_ERROR if parsed.cmd == "ERROR" else self._largest
            end = begin + self._checked_length(length, largest)
            if end >= len(buffer):
                self._end = end - start
                return None
            if buffer[end]:
                raise NotStomp("a frame that is longer than its content-length")
        elif nul < 0:
            return None
        return Frame(parsed.cmd, parsed.headers, buffer[begin:end]), end + 1

    def _checked_length(self, text: str, largest: int) -> int:
        if not _LENGTH.fullmatch(text) or int(text) > largest:
            raise NotStomp(f"a content-length that is no number up to {self._largest}")
        return int(text)


def _after_line_ends(buffer: bytes, start: int) -> int:
    if start == len(buffer) or buffer[start] > _CARRIAGE_RETURN:  # nearly always
        return start
    found = _LINE_ENDS.match(buffer, start)
    return found.end() if found else start


def _check_command(buffer: bytes, start: int) -> None:
    """Check the first bytes for a command, because another protocol may never send a NUL."""
    line = _END_OF_LINE.search(buffer, start, start + _LONGEST_LINE)
    if line is not None:
        known = buffer[start : line.start()] in _COMMANDS
    else:
        begun = buffer[start : start + _LONGEST_COMMAND + 1].removesuffix(b"\r")
        known = any(command.startswith(begun) for command in _COMMANDS)
    if not known and buffer[start] == _TLS_ALERT:
        raise NotStomp("a TLS alert (is its address stomp+ssl:// rather than stomp://?)")
    if not known:
        raise NotStomp("what is no STOMP frame")
