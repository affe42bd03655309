"""Content codings of request bodies (RFC 9110, section 8.4), inflated in pieces up to a limit."""

import zlib
from collections.abc import Iterator, Sequence

#: Codings that are taken, as Accept-Encoding lists them.
ACCEPTED_CODINGS = "gzip, deflate"
#: Bytes that one step inflates at most; it takes less than a millisecond.
PIECE_BYTES = 64 * 1024
#: Bytes of a body that one step reads at most: zlib copies what it has not read yet.
STEP_BYTES = 16 * 1024
#: Members of one gzip body; each costs a new decompressor, however short it is.
MEMBERS_MOST = 1_000

_GZIP, _ZLIB, _RAW = 31, 15, -15


class UnknownCodingError(Exception):
    """A body has a coding that is not taken, or several."""


class BrokenCodingError(Exception):
    """A body is not what its coding says."""


def coding_of(fields: Sequence[str]) -> str:
    """Return the coding that the Content-Encoding fields name: `gzip`, `deflate`, or an empty text for none.

    Raises UnknownCodingError: for other codings, and for more than one, because nobody needs two.
    """
    named = [name for field in fields for each in field.split(",") if (name := each.strip(" \t").lower())]
    codings = [name.removeprefix("x-") if name == "x-gzip" else name for name in named if name != "identity"]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in ("gzip", "deflate"):
        raise UnknownCodingError
    return codings[0]


class Inflater:
    """Inflates one body, piece by piece."""

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding == "gzip"
        self._zlib = zlib.decompressobj(_GZIP) if self._is_gzip else None
        #: The first byte of `deflate`, until the second one shows what follows.
        self._held = b""
        self._members = 1
        self._began = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what some more bytes of the body inflate to, after each step; a piece may be empty.

        Raises BrokenCodingError.
        """
        for start in range(0, len(data), STEP_BYTES):
            yield from self._steps(data[start : start + STEP_BYTES])

    def finish(self) -> None:
        """Check that the body is complete. Raises BrokenCodingError. A body without any bytes is empty."""
        if (self._began or self._held) and (self._zlib is None or not self._zlib.eof):
            raise BrokenCodingError("it is cut short")

    def _steps(self, data: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            data = self._held = self._held + data
            if len(data) < 2:
                return
            self._zlib, self._held = zlib.decompressobj(_ZLIB if _is_zlib(data) else _RAW), b""
        self._began = True
        while data:
            if self._zlib.eof:
                self._next_member()
            try:
                yield self._zlib.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BrokenCodingError(_reason(error)) from None
            data = self._zlib.unconsumed_tail or self._zlib.unused_data

    def _next_member(self) -> None:
        # RFC 1952, section 2.2: members simply follow one another.
        if not self._is_gzip:
            raise BrokenCodingError("something follows its end")
        if self._members == MEMBERS_MOST:
            raise BrokenCodingError(f"it has more than {MEMBERS_MOST:,} members")
        self._members += 1
        self._zlib = zlib.decompressobj(_GZIP)


def _is_zlib(data: bytes) -> bool:
    """Whether a body begins as zlib does (RFC 1950, section 2.2); some clients send bare deflate instead."""
    return data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0


def _reason(error: zlib.error) -> str:
    # Before the colon, it is a number and what zlib was doing.
    return str(error).rpartition(": ")[2]
