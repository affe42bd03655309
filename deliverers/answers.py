"""A receiver's answer: decompressed with a limit, and made fit for a log."""

from __future__ import annotations

import codecs
import re
import zlib
from http import HTTPStatus

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOWS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _RAW)}  # RFC 9110, section 8.4.1

# Tabs and line ends are readable; NUL breaks databases, and the others can command a terminal.
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_REDACTED = b"********"


def decompressed(raw: bytes, coding: str, limit: int) -> bytes:
    """Undo a content coding up to `limit` bytes, so that a decompression bomb costs no more than an honest answer.

    Of a broken coding, what could be decoded is returned. For an unknown coding (we ask for none), or if nothing could
    be decoded, the result is a note with the number of bytes.
    """
    coding = coding.strip().lower()
    if not raw or coding in ("", "identity"):
        return raw
    for window in _WINDOWS.get(coding, ()):
        try:
            if text := _inflated(raw, window, limit):
                return text
        except zlib.error:
            continue
    return b"[%d bytes that cannot be decoded]" % len(raw)


def _inflated(raw: bytes, window: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window)
    text = bytearray()
    # Small steps, so that what precedes a broken place is kept.
    for start in range(0, len(raw), 1024):
        try:
            text += inflater.decompress(raw[start : start + 1024], limit - len(text))
        except zlib.error:
            if text:
                break
            raise
        if len(text) >= limit or inflater.eof:
            break
    return bytes(text)


def kept_text(raw: bytes, limit: int, secrets: tuple[bytes, ...] = ()) -> str:
    """Return text of at most `limit` bytes (as UTF-8), readable in a log and without the secrets.

    Some receivers echo the headers that they got, so secrets are replaced in the whole answer before it is cut.
    """
    for secret in secrets:
        # Much faster than `in`, which first takes the secret for a number.
        if raw.find(secret) >= 0:
            raw = raw.replace(secret, _REDACTED)
    cut = len(raw) > limit
    # Not final if the answer was cut: half a character at the end is dropped rather than replaced.
    text, _ = codecs.utf_8_decode(raw[:limit], "replace", not cut)
    if _UNREADABLE.search(text):
        text = _UNREADABLE.sub(_escaped, text)
    if not text.isascii() or len(text) > limit:
        encoded = text.encode()
        if len(encoded) > limit:
            text = encoded[:limit].decode("utf-8", "ignore")
    return text


def printable(text: str, most: int = 100) -> str:
    """Return a receiver's text fit for one line of a log: no control characters, at most `most` characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "…"


def status_phrase(status: int) -> str:
    """Return a status with its registered phrase, `404 Not Found` (RFC 9110, section 15).

    Receivers may send any other phrase.
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _escaped(match: re.Match[str]) -> str:
    return f"\\x{ord(match.group()):02x}"
