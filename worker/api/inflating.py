"""Content codings of request bodies (RFC 9110, section 8.4), inflated piece by piece."""

import zlib
from collections.abc import Iterator, Sequence

#: Accepted codings, in the form of Accept-Encoding.
ACCEPTED_CODINGS = "gzip, deflate"
#: Bytes that one step yields at most; a step takes less than a millisecond.
PIECE_BYTES = 64 * 1024
#: Bytes of a body that one step reads at most, because zlib copies its unread input at each step.
STEP_BYTES = 16 * 1024
#: Members of one gzip body at most; even a short one costs a new decompressor.
MEMBERS_MOST = 1_000

_GZIP, _ZLIB, _RAW = 31, 15, -15


class UnknownCodingError(Exception):
    """A body has an unsupported coding, or more than one."""


class BrokenCodingError(Exception):
    """A body does not follow its coding."""


def coding_of(fields: Sequence[str]) -> str:
    """Return the coding that the Content-Encoding fields name: `gzip`, `deflate`, or an empty text for none.

    Raises UnknownCodingError for other codings, and for more than one, which no client needs.
    """
    named = [name for field in fields for each in field.split(",") if (name := each.strip(" \t").lower())]
    codings = [name.removeprefix("x-") if name == "x-gzip" else name for name in named if name != "identity"]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in ("gzip", "deflate"):
        raise UnknownCodingError
    return codings[0]


class Inflater:
    """A decompressor of one body that works piece by piece."""

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding == "gzip"
        self._zlib = zlib.decompressobj(_GZIP) if self._is_gzip else None
        #: The first byte of `deflate`, until the second shows whether it is zlib or bare deflate.
        self._held = b""
        self._members = 1
        self._began = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Inflate the next bytes of the body; yield a piece, perhaps empty, after each step.

        Raises BrokenCodingError.
        """
        for start in range(0, len(data), STEP_BYTES):
            yield from self._steps(data[start : start + STEP_BYTES])

    def finish(self) -> None:
        """Check that the body is complete; a body without bytes is valid. Raises BrokenCodingError."""
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
        # Members of gzip follow one another directly (RFC 1952, section 2.2).
        if not self._is_gzip:
            raise BrokenCodingError("something follows its end")
        if self._members == MEMBERS_MOST:
            raise BrokenCodingError(f"it has more than {MEMBERS_MOST:,} members")
        self._members += 1
        self._zlib = zlib.decompressobj(_GZIP)


def _is_zlib(data: bytes) -> bool:
    """Return whether a body begins like zlib (RFC 1950, section 2.2); some clients send bare deflate instead."""
    return data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0


def _reason(error: zlib.error) -> str:
    # zlib's message names an error number and the failed call before the colon.
    return str(error).rpartition(": ")[2]
