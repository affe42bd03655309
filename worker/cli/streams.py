"""Standard output and error of `edw`: no printed text can command the terminal."""

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from config.text_escaping import visible


class VisibleStream(io.TextIOWrapper):
    """A text stream that escapes invisible characters, on the same file as `styled`.

    `styled` is the original stream. Only worker/cli/console.py may write to it: it adds colours to text that it has
    already made visible.
    """

    def __init__(self, styled: TextIO) -> None:
        # Click replaces an ASCII stream with one of its own.
        encoding = "utf-8" if styled.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968") else styled.encoding
        # Nothing is buffered here, so that both streams write in order.
        super().__init__(styled.buffer, encoding, "backslashreplace", write_through=True)
        self.styled = styled

    def write(self, text: str, /) -> int:
        """Write a text; return its length."""
        super().write(visible(text))
        return len(text)

    def __del__(self) -> None:
        # This stream does not own the file, so it must not close it.
        with suppress(Exception):
            self.detach()


def make_visible() -> None:
    """Replace this process's output streams, for the rest of its life. Repeating it is safe."""
    sys.stdout = _visible(sys.stdout)
    sys.stderr = _visible(sys.stderr)


def styled(stream: TextIO) -> TextIO:
    """Return the stream that takes colours."""
    return stream.styled if isinstance(stream, VisibleStream) else stream


def undecodable(arguments: Sequence[str]) -> int | None:
    """Return the number of the first argument (from 1) that is not text in the terminal's encoding."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            return number
    return None


def _visible(stream: TextIO) -> TextIO:
    # The stream may be missing, or belong to a test.
    if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, VisibleStream):
        stream.flush()
        return VisibleStream(stream)
    return stream
