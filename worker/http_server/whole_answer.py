"""Answers whose head and body are known at once, and are sent in one write.

aiohttp's own responses cost several times as much to make and to write. They remain for everything else, such as
answers to HEAD and over HTTP/1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from deliverers.quick_values import quickly_made

#: The Server field: the product without a version, which an attacker could look up.
PRODUCT = "edw"


@quickly_made
@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer; its headers are without those of the connection and of the body's length."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def keep_alive(self) -> bool:
        """An answer that is written by `written` leaves the connection open."""
        return True

    @property
    def is_empty(self) -> bool:
        """Whether an answer of this status has no body and no length (RFC 9110, sections 15.3.5 and 15.4.5)."""
        return self.status in (204, 304)

    def fits(self, request: web.BaseRequest) -> bool:
        """Return whether `written` is right for a request; otherwise `response` is."""
        return (
            request.version == HttpVersion11
            and request.method != hdrs.METH_HEAD
            and request.keep_alive
            and not self.is_empty
        )

    def written(self) -> bytes:
        """Return the whole answer, as a connection of HTTP/1.1 that stays open carries it."""
        head = _head(self.status, tuple(self.headers.items()))
        return b"%b%d\r\nDate: %b\r\n\r\n%b" % (head, len(self.body), rfc822_formatted_time().encode(), self.body)

    def response(self) -> web.Response:
        """Return the same answer as one of aiohttp's."""
        body = None if self.is_empty else self.body
        return web.Response(body=body, status=self.status, headers=self.headers)


@lru_cache(256)  # most answers have the same few heads
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return a head up to the value of Content-Length. Raises ValueError if a header could end its line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (*headers, (hdrs.SERVER, PRODUCT))]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise ValueError("a header of an answer has a line break or a NUL")
    return "\r\n".join([*lines, f"{hdrs.CONTENT_LENGTH}: "]).encode()
