"""An HTTP/1.1 answer, read piece by piece: what it is, and when it is over. No I/O.

llhttp (by httptools) reads answers as strictly as RFC 9112. Real receivers are less strict, and their status still
says what they did with the event. So a status line that was read whole counts, whatever follows:

- After the end of the answer, nothing is read any more. A 204 or 304 ends at its empty line.
- If the framing is malformed, the answer ends there. The status and the headers are read from the buffered head.
- A body is read up to a limit; what follows is not awaited.

An answer that is not malformed must be complete: one that breaks off has a `fault`. Nothing grows without a bound.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from httptools import HttpParserError, HttpResponseParser

#: Interim answers (1xx) before the final one.
MOST_INTERIM: Final = 16
#: Bytes before the final status line is whole, interim answers included.
MOST_EARLY_BYTES: Final = 64 * 1024
#: Bytes of a head: the status line and the headers.
LARGEST_HEAD: Final = 64 * 1024
#: Lines of a head.
MOST_HEADER_LINES: Final = 1_000
#: Bytes that the framing of a chunked body may take beyond the body.
MOST_FRAMING_BYTES: Final = 64 * 1024

_STATUS_LINE = re.compile(rb"[\r\n]*HTTP/[0-9]\.[0-9][ \t]+([0-9]{3})(?:[ \t][^\n]*|\r)?\n")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LINE_ENDS = re.compile(rb"[\r\n]*")
_PROTOCOL = b"HTTP/"
_LAST_CHUNK = b"0\r\n\r\n"
_SWITCHING = 101


class Fault(Enum):
    """Why an answer does not count as one; the value is for people."""

    NOT_HTTP = "the answer is not HTTP"
    TOO_MANY_HEADERS = "the answer has too many headers"
    HEADERS_TOO_LONG = "a header of the answer is too long"
    TOO_MANY_INTERIM = "the receiver sent too many interim answers, and no final one"
    TOO_MUCH_EARLY = "the receiver sent too much before its final status"
    UNASKED = "the receiver sent something before it was asked"
    CLOSED_AT_ONCE = "connection closed by the receiver before it answered"
    CLOSED_IN_HEAD = "connection closed by the receiver in the midst of its answer's headers"
    CLOSED_IN_BODY = "the answer broke off while its body was being read"


class _Stop(Exception):
    """Enough was read."""


class AnswerReader:
    """A reader of the answers of one connection, one after the other: `begin` starts one, and `feed` reads it."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_version=True)
        self._lenient = False
        self.begin(0)

    def begin(self, limit: int, bodiless: bool = False) -> None:
        """Begin the next answer.

        Args:
            limit: Bytes of the body that are read at most.
            bodiless: Whether the answer ends with its head: to HEAD and CONNECT.
        """
        self._limit = limit
        self._bodiless = bodiless
        self._head: bytes | bytearray = b""
        #: Where the head of the current answer begins, behind the interim ones.
        self._start = 0
        self._interim = 0
        self._began = False
        self._pieces: list[bytes] = []
        self._size = 0
        #: Bytes after the head, unchanged.
        self._after_head = 0
        self._last = b""
        #: The final status; None until its line was read whole.
        self.status: int | None = None
        #: The status line and the headers; complete once `has_head`.
        self.head: bytes = b""
        self.has_head = False
        #: Whether nothing more is needed of this answer.
        self.done = False
        #: Whether bytes followed the head of an answer without a body.
        self.has_surplus = False
        #: Whether the connection may carry another request.
        self.reusable = False
        self.fault: Fault | None = None

    @property
    def body(self) -> bytes:
        """Return the body, as far as it was read and at most the limit."""
        pieces = self._pieces
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces))[: self._limit]

    def feed(self, data: bytes) -> None:
        """Read a piece. After `done`, any further byte only makes the connection unfit for reuse."""
        if self.done:
            self.reusable = False
            return
        if not self.has_head:
            if not self._head:
                self._head = data
            else:
                if not isinstance(self._head, bytearray):
                    self._head = bytearray(self._head)
                self._head += data
        else:
            self._after_head += len(data)
        if self._lenient:
            self._read_leniently()
            return
        self._last = data
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if self.done:  # surplus, or enough was read
                self.reusable = False
            elif self.has_head:
                # Malformed framing does not change the status.
                self._end()
            else:
                self._lenient = True
                self._read_leniently()
            return
        if not self.done:
            self._check_bounds()

    def close(self) -> None:
        """Take the end of the stream, before or after the answer's end."""
        self.reusable = False
        if self.done:
            return
        if self.has_head:
            self._end(None if self._ends_with_the_connection() else Fault.CLOSED_IN_BODY)
            return
        self._note_status()
        self._end(Fault.CLOSED_IN_HEAD if self._head else Fault.CLOSED_AT_ONCE)

    def refuse(self) -> None:
        """Take what the receiver sent before the request: it answers nothing."""
        self._end(Fault.UNASKED)

    def header(self, name: str) -> str | None:
        """Return a header's value, several of them joined by a comma; None if the answer has none."""
        return header_of(self.head, name)

    # The parser calls the following methods.

    def on_message_begin(self) -> None:
        if self.done:
            self.reusable = False
            raise _Stop

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not _is_interim(status):
            self._take_head(status)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)
        if self._size > self._limit:
            self._end()
            raise _Stop

    def on_message_complete(self) -> None:
        if self.has_head:
            if not self.done:
                self.done = True
                self.reusable = self._parser.should_keep_alive() and not self._has_line_ends_after()
            return
        begun = _LINE_ENDS.match(self._head, self._start)
        end = _END_OF_HEAD.search(self._head, begun.end() if begun else self._start)
        self._pass_over(end.end() if end else len(self._head))
        if self.done:
            raise _Stop

    def _take_head(self, status: int) -> None:
        """Take the final head. Raises `_Stop` if there is nothing more to read."""
        head = self._head
        begun = _LINE_ENDS.match(head, self._start)
        start = begun.end() if begun else self._start
        end = _END_OF_HEAD.search(head, start)
        stop = end.end() if end else len(head)
        self._after_head = len(head) - stop
        self.has_surplus = self._after_head > 0
        self._take(status, start, stop)
        if not self.done and (self._bodiless or status == _SWITCHING):
            self._end()
        if self.done:
            raise _Stop

    def _read_leniently(self) -> None:
        """Read the head after the parser has refused it: the status counts once the head is whole."""
        while not self.done:
            head = self._head
            begun = _LINE_ENDS.match(head, self._start)
            start = begun.end() if begun else self._start
            line = _STATUS_LINE.match(head, start)
            if line is None:
                first = bytes(head[start : start + len(_PROTOCOL)])
                if not _PROTOCOL.startswith(first) or head.find(b"\n", start) >= 0:
                    self._end(Fault.NOT_HTTP)
                break
            end = _END_OF_HEAD.search(head, line.end() - 1)
            if end is None:
                break
            if _is_interim(status := int(line[1])):
                self._pass_over(end.end())
                continue
            self._take(status, start, end.end())
            if not self.done:
                # Nobody can say how long the body is.
                self._pieces = [bytes(head[end.end() :])]
                self._end()
        if not self.done:
            self._check_bounds()

    def _take(self, status: int, start: int, stop: int) -> None:
        """Take the final head, which lies in the buffer from `start` to `stop`."""
        head = self._head
        self.head = bytes(head) if start == 0 and stop == len(head) else bytes(head[start:stop])
        self._head = b""
        self.has_head = True
        if status < 100 or not self.head.startswith(_PROTOCOL):
            self._end(Fault.NOT_HTTP)
            return
        self.status = status
        if fault := _excess(self.head):
            self._end(fault)

    def _has_line_ends_after(self) -> bool:
        """Return whether line ends follow the answer, which the parser passes over silently."""
        if self._after_head == self._size:
            return False
        # The framing of chunks has bytes of its own.
        return not (self._last.endswith(_LAST_CHUNK) or _LAST_CHUNK.endswith(self._last))

    def _pass_over(self, end: int) -> None:
        """Pass over an interim answer that ends there."""
        self._interim += 1
        self._start = end
        if self._interim > MOST_INTERIM:
            self._end(Fault.TOO_MANY_INTERIM)
        elif end > MOST_EARLY_BYTES:
            self._end(Fault.TOO_MUCH_EARLY)

    def _check_bounds(self) -> None:
        """End the answer if it takes more than it may."""
        if self.has_head:
            if self._after_head > self._limit + MOST_FRAMING_BYTES:
                self._end()
            return
        if len(self._head) - self._start <= MOST_HEADER_LINES:  # nearly always
            return
        if self._final_line() is None:
            if len(self._head) > MOST_EARLY_BYTES:
                self._end(Fault.TOO_MUCH_EARLY)
        elif fault := _excess(self._head, self._start):
            self._note_status()
            self._end(fault)

    def _final_line(self) -> int | None:
        """Return the final status if its line is in the buffer, and its head not yet whole."""
        line = _STATUS_LINE.match(self._head, self._start)
        status = int(line[1]) if line is not None else 0
        return status if status >= 100 and not _is_interim(status) else None

    def _note_status(self) -> None:
        """Keep the status of a head that has not ended."""
        self.status = self._final_line()
        if self.status is not None:
            self.head = bytes(self._head[self._start :])

    def _ends_with_the_connection(self) -> bool:
        """Return whether the answer has no other end than that of the connection (RFC 9112, section 6.3)."""
        coding = self.header("transfer-encoding")
        if coding is not None:
            return coding.rpartition(",")[2].strip().lower() != "chunked"
        return self.header("content-length") is None

    def _end(self, fault: Fault | None = None) -> None:
        self.done = True
        self.reusable = False
        self.fault = fault


#: A head that is too large with fewer lines has a header that is too long.
_FEW_LINES: Final = 16


def _is_interim(status: int) -> bool:
    return 100 <= status < 200 and status != _SWITCHING


def _excess(head: bytes | bytearray, start: int = 0) -> Fault | None:
    """Return what a head has too much of, wherever its pieces end."""
    size = len(head) - start
    if size <= MOST_HEADER_LINES:
        return None
    lines = head.count(b"\n", start, start + LARGEST_HEAD)
    if lines > MOST_HEADER_LINES:
        return Fault.TOO_MANY_HEADERS
    if size <= LARGEST_HEAD:
        return None
    return Fault.HEADERS_TOO_LONG if lines < _FEW_LINES else Fault.TOO_MANY_HEADERS


def header_of(head: bytes, name: str) -> str | None:
    """Return the value of a header in a head, several of them joined by a comma; None if there is none.

    A blank before the colon is accepted.
    """
    # Nearly always there is none.
    return headers_of(head).get(name.lower()) if head.lower().find(name.lower().encode()) >= 0 else None


def headers_of(head: bytes) -> dict[str, str]:
    """Return all headers of a head by their names in lower case, several of one name joined by a comma."""
    found: dict[str, str] = {}
    for line in head.split(b"\n")[1:]:
        field, colon, value = line.partition(b":")
        if colon:
            name = field.strip().lower().decode("utf-8", "surrogateescape")
            text = value.strip().decode("utf-8", "surrogateescape")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found
