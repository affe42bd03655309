"""Cross-origin requests of pages in browsers (https://fetch.spec.whatwg.org/, section "CORS protocol").

A page may call the API only if the deployment names its origin. Tokens travel in a header, so requests never need a
browser's own credentials, and answers never allow them.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

#: An origin that stands for every one.
ANY = "*"
#: Seconds for which a browser may remember a preflight's answer.
MAX_AGE_SECONDS = 600
#: Characters of Access-Control-Request-Headers at most.
REQUEST_HEADERS_CHARS = 4096

_METHODS = "GET, HEAD, POST, PUT, DELETE"
#: Headers that a page may read, beside those that every page may.
_EXPOSED = "ETag, Location, Retry-After, WWW-Authenticate"
_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z, ]+")
_VARY_PREFLIGHT = f"{hdrs.ORIGIN}, {hdrs.ACCESS_CONTROL_REQUEST_METHOD}, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS}"


def cross_origin(origins: Sequence[str]) -> Middleware:
    """Return a middleware that answers preflights, which need no token, and lets pages of `origins` read answers."""

    @web.middleware
    async def allow(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN, "")
        allowed = bool(origin) and (ANY in origins or origin in origins)
        if allowed and request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return web.Response(status=204, headers=_preflight(request, origin))
        answer = await handler(request)
        # A cache must not give one origin the answer for another, so this holds for refused origins too.
        answer.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if allowed:
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            answer.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
        return answer

    return allow


def _preflight(request: web.Request, origin: str) -> dict[str, str]:
    """Return the headers of a preflight's answer. It is the same for each path: it reveals none."""
    headers: dict[str, str] = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_SECONDS),
        hdrs.VARY: _VARY_PREFLIGHT,
        hdrs.CACHE_CONTROL: "no-store",
    }
    # The platform's clients send many headers of their own, which the API ignores.
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    if len(wanted) <= REQUEST_HEADERS_CHARS and _NAMES.fullmatch(wanted):
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
    return headers
