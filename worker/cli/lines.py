"""The lines of a file of events; at most one line is in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_BOM = b"\xef\xbb\xbf"
#: Bytes that a line may have besides the event: its line break, and spaces around it.
_SLACK = 1024


class ByteLines(Protocol):
    """The part of an open file that lines_of() needs."""

    def readline(self, limit: int, /) -> bytes:
        """Return a line with its line break, or its first `limit` bytes; empty at the end of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank. `number` counts from 1; `size` is its bytes in the file, line break included."""

    number: int
    content: bytes
    size: int
    #: True if the line is much longer than an event may be; only its beginning was kept.
    cut: bool = False


def lines_of(file: ByteLines, max_bytes: int) -> Iterator[Line]:
    """Yield the lines of a file except blank ones; of a line far over `max_bytes`, only the beginning is kept."""
    number, limit = 0, max_bytes + _SLACK
    while piece := file.readline(limit):
        number += 1
        content = (piece.removeprefix(_BOM) if number == 1 else piece).strip()
        size, cut = len(piece), False
        while not piece.endswith(b"\n") and (piece := file.readline(limit)):
            size, cut = size + len(piece), True
        if content:
            yield Line(number, content, size, cut)
