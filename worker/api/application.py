"""The API as an aiohttp application: each request gets a Reply or an ErrorResponse, and one log line.

`worker.http_server` refuses requests that HTTP itself forbids, before they reach the application. `refused` makes
the answer to those.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import perf_counter
from types import MappingProxyType
from uuid import uuid4

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from worker.api.api_errors import ApiError, api_error, bad_parameter, retry_later
from worker.api.cors import cross_origin
from worker.api.filters import FILTER
from worker.api.operations import Operation
from worker.api.request_context import JSON, Reply, RequestContext
from worker.api.routes import OPERATIONS
from worker.api.services.api_services import ApiServices
from worker.domain.api_token import Token
from worker.domain.secrets_box import SecretsError
from worker.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from worker.http_server.whole_answer import WholeAnswer
from worker.ledger import LedgerError
from worker.telemetry import metrics

_log = structlog.get_logger("edw.api")

#: Retry-After while the ledger does not answer (seconds).
LEDGER_RETRY_SECONDS = 2.0
#: The error for a process that lacks the key to open or seal a secret.
SECRETS_AWAY = "secrets cannot be read or stored now"

_IN_PATH = re.compile(r"{(\w+)}")
_encode = msgspec.json.Encoder().encode
#: Headers of every answer: no cache may keep it, and no other page may embed it.
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}

Endpoint = Callable[[web.Request], Awaitable[WholeAnswer]]
Routed = Callable[[web.Request], Awaitable[web.StreamResponse]]
NO_PARTS: Mapping[str, Routed] = MappingProxyType({})


def application(services: ApiServices, parts: Mapping[str, Routed] = NO_PARTS) -> web.Application:
    """Return the application, with a route for each operation.

    `parts` answer everything under their paths, such as /console, in their own way.
    """
    origins = services.settings.api_cors_origins
    middlewares = [*([cross_origin(origins)] if origins else []), _for_the_rest(services)]
    app = web.Application(middlewares=middlewares, client_max_size=services.settings.api_body_limit)
    for operation in OPERATIONS:
        handler = _routed(_endpoint(operation, services))
        path = _pattern(operation.path)
        app.router.add_route(operation.method, path, handler)
        if operation.method == hdrs.METH_GET:
            app.router.add_route(hdrs.METH_HEAD, path, handler)
    for path, part in parts.items():
        app.router.add_route("*", path + "{rest:(?:/.*)?}", part)
    return app


def direct_endpoints(services: ApiServices) -> Mapping[tuple[str, str], Endpoint]:
    """Return the operations whose path has no parameter, by method and path, for requests that skip the router.

    There is none if pages of other origins may call the API: the router's middleware adds their headers.
    """
    if services.settings.api_cors_origins:
        return {}
    return {(each.method, each.path): _endpoint(each, services) for each in OPERATIONS if "{" not in each.path}


def _pattern(path: str) -> str:
    """Return an operation's path as aiohttp's router reads it.

    A variable segment excludes the words that another operation has in its place, such as `logs` for an integration's
    id. So a method that such a path does not allow is answered with the methods that it allows (405).
    """
    segments = path.split("/")
    for index, segment in enumerate(segments):
        if variable := _IN_PATH.fullmatch(segment):
            words = sorted({words[index] for words in map(_segments, OPERATIONS) if _is_beside(words, segments, index)})
            others = f"(?!(?:{'|'.join(map(re.escape, words))})$)" if words and index == len(segments) - 1 else ""
            # aiohttp's default pattern excludes braces, but an event's id may contain them.
            segments[index] = f"{{{variable[1]}:{others}[^/]+}}"
    return "/".join(segments)


def _segments(operation: Operation) -> list[str]:
    return operation.path.split("/")


def _is_beside(words: list[str], segments: list[str], index: int) -> bool:
    """Return whether a path has a fixed word where another one, of the same length, has a variable segment."""
    alike = len(words) == len(segments) and words[:index] == segments[:index]
    return alike and not _IN_PATH.fullmatch(words[index])


def _routed(endpoint: Endpoint) -> Routed:
    async def handle(request: web.Request) -> web.StreamResponse:
        return (await endpoint(request)).response()

    return handle


def _endpoint(operation: Operation, services: ApiServices) -> Endpoint:
    async def handle(request: web.Request) -> WholeAnswer:
        began = perf_counter()
        caller: Token | None = None
        why: str | None = None
        try:
            if operation.roles is not None:
                caller = await services.access.caller(request, basic=operation.basic)
                _check_role(operation, caller)
            _check_filter(operation, request)
            response = await _handled(operation, RequestContext(request, services, caller, _trace(request)))
        except Exception as error:  # noqa: BLE001  (for any error, the caller gets an answer in the API's shape)
            response = _failure(error, operation)
            # The answer explains the caller's mistakes. Faults of ours must be found in the log.
            known = isinstance(error, ApiError | LedgerError | SecretsError)
            why = _detail(error) if known and response.status >= 500 else None
        seconds = perf_counter() - began
        metrics.observe_request(operation.name, response.status, seconds)
        _log_request(request, operation, caller, response.status, seconds, why)
        return response

    return handle


async def _handled(operation: Operation, call: RequestContext) -> WholeAnswer:
    """Run an operation, in a span where this process traces. Raises what the operation raises."""
    traces = call.services.traces
    # Probes come every few seconds; tracing them is of no use.
    if traces is None or operation.roles is None:
        return _response(await operation.handler(call))
    with traces.request(operation.method, operation.path, call.trace) as span:
        try:
            response = _response(await operation.handler(replace(call, trace=span.trace or call.trace)))
        except Exception as error:
            span.answered(_status_of(error))
            raise
        span.answered(response.status)
    return response


def _status_of(error: Exception) -> int:
    match error:
        case ApiError() | web.HTTPException():
            return error.status
        case LedgerError() | SecretsError():
            return 503
    return 500


def _trace(request: web.Request) -> TraceContext | None:
    parents = request.headers.getall(TRACEPARENT, None)
    if parents is None:
        return None
    # Several traceparents are invalid, but the state may come in several headers (W3C Trace Context, 3.3.1).
    return TraceContext.of(parents[0], ",".join(request.headers.getall(TRACESTATE, ()))) if len(parents) == 1 else None


def _check_role(operation: Operation, caller: Token) -> None:
    roles = operation.roles or frozenset()
    if caller.platform and not operation.platform:
        raise api_error(403, "a token of the platform may only publish events: it acts for no store")
    if caller.role not in roles:
        wanted = " or ".join(sorted(roles))
        raise api_error(403, f'this token has the role "{caller.role}", and {wanted} is needed')


def _check_filter(operation: Operation, request: web.Request) -> None:
    """Refuse a filter where an operation has none, since ignoring it would return too much. Raises ApiError (400)."""
    if (
        "?" in request.raw_path
        and FILTER in request.query
        and all(each.name != FILTER for each in operation.parameters)
    ):
        raise bad_parameter(FILTER, "this operation has no filter")


def _response(reply: Reply) -> WholeAnswer:
    if reply.status in (204, 304):
        return WholeAnswer(reply.status, {**_ALWAYS, **reply.headers})
    content = reply.document if isinstance(reply.document, bytes) else _encode(reply.document)
    return WholeAnswer(reply.status, {**_ALWAYS, **reply.headers, hdrs.CONTENT_TYPE: reply.content_type}, content)


def _failure(error: Exception, operation: Operation | None = None) -> WholeAnswer:
    match error:
        case ApiError():
            refusal = error
        # The texts of the next two name our addresses and settings, so only the request's log line has them.
        case LedgerError():
            # The ledger may have done what was asked. Retrying is safe: nothing is done twice under one id.
            refusal = retry_later(503, error.public, LEDGER_RETRY_SECONDS)
        case SecretsError():
            # No Retry-After: a retry cannot succeed until an operator gives this process its keys.
            refusal = api_error(503, SECRETS_AWAY)
        case web.HTTPException():
            refusal = _foreign(error)
        case _:
            incident = str(uuid4())
            _log.error("internal error", incident=incident, operation=operation and operation.name, exc_info=error)
            refusal = api_error(500, f"an internal error has occurred; it is logged as incident {incident}")
    document = _encode(refusal.document)
    return WholeAnswer(refusal.status, {**_ALWAYS, **refusal.headers, hdrs.CONTENT_TYPE: JSON}, document)


def refused(status: int, detail: str) -> web.Response:
    """Return the answer to a request that HTTP itself forbids; no operation sees it."""
    return _failure(api_error(status, detail)).response()


def _detail(error: Exception) -> str:
    """Return an error's text for our log: its cause, if any, since an ApiError's own text is for the caller."""
    return str(error.__cause__ if isinstance(error, ApiError) and error.__cause__ else error)


def _foreign(error: web.HTTPException) -> ApiError:
    """Return a refusal of aiohttp's in the API's shape."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return api_error(405, f"{error.method} is not allowed here; allowed: {allowed}", {hdrs.ALLOW: allowed})
        case web.HTTPNotFound():
            return api_error(404, "there is nothing at this path")
        case web.HTTPRequestEntityTooLarge():
            return api_error(413, "the body is too large")
    return api_error(max(error.status, 400), error.reason)


def _for_the_rest(services: ApiServices) -> Middleware:
    """Return a middleware for requests that match no operation.

    It asks for a token first, so that strangers cannot find out which paths and methods exist.
    """

    @web.middleware
    async def in_shape(request: web.Request, handler: Routed) -> web.StreamResponse:
        if request.match_info.http_exception is None:
            return await handler(request)
        try:
            await services.access.caller(request)
            return await handler(request)
        except Exception as error:  # noqa: BLE001  (as above)
            answer = _failure(error)
            _log.info("request", method=request.method, path=request.path, status=answer.status)
            return answer.response()

    return in_shape


def _log_request(
    request: web.Request, operation: Operation, caller: Token | None, status: int, seconds: float, why: str | None
) -> None:
    # Probes come every few seconds, so a good one is only logged at level debug.
    log = _log.debug if operation.roles is None and status < 400 else _log.info
    log(
        "request",
        method=request.method,
        path=request.path,
        operation=operation.name,
        status=status,
        duration=round(seconds, 6),
        token=caller.id if caller else None,
        **({"why": why} if why else {}),
    )
