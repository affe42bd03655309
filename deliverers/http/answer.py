"""The answer to a request, as far as it was read."""

from __future__ import annotations

from msgspec import Struct

from deliverers.http.response import header_of, headers_of


class HttpAnswer(Struct, frozen=True):
    """An answer whose status and headers were read.

    Attributes:
        status: The status code.
        head: The status line and the headers.
        body: The body as it was sent, up to the read limit.
        broken: Why the answer is not complete, in words; empty if it is, or if it reached the limit.
    """

    status: int
    head: bytes
    body: bytes
    broken: str = ""

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx and the answer complete."""
        return 200 <= self.status < 300 and not self.broken

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by their names in lower case, several of one name joined by a comma."""
        return headers_of(self.head)

    def header(self, name: str) -> str | None:
        """Return a header's value, several of them joined by a comma; None if the answer has none."""
        return header_of(self.head, name)
