"""A file of events, line by line; no more than a line is in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_BOM = b"\xef\xbb\xbf"
#: Bytes beside the event's own that a line may have: its end, and spaces around.
_SLACK = 1024


class ByteLines(Protocol):
    """What is asked of an open file."""

    def readline(self, limit: int, /) -> bytes:
        """A line with its end, or so many bytes of it; nothing at the file's end."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds something. `number` counts from 1; `size` is its bytes in the file, its end included."""

    number: int
    content: bytes
    size: int
    #: True where it is much longer than an event may be, and only its beginning was kept.
    cut: bool = False


def lines_of(file: ByteLines, max_bytes: int) -> Iterator[Line]:
    """The lines of a file, blank ones left out; of a line far over `max_bytes` only the beginning is held."""
    number, limit = 0, max_bytes + _SLACK
    while piece := file.readline(limit):
        number += 1
        content = (piece.removeprefix(_BOM) if number == 1 else piece).strip()
        size, cut = len(piece), False
        while not piece.endswith(b"\n") and (piece := file.readline(limit)):
            size, cut = size + len(piece), True
        if content:
            yield Line(number, content, size, cut)
