"""An HTTP server for an aiohttp application, with the limits of this package."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from worker.event_loop.cancellation import end
from worker.http_server.connections import Connections, Limit
from worker.http_server.hosts import host_problem
from worker.http_server.limits import BACKLOG, HttpLimits
from worker.http_server.protocol import BoundedHandler, Refuse, protocol_of, reason_of
from worker.http_server.whole_answer import WholeAnswer

_log = structlog.get_logger("edw.http")

Observe = Callable[[str, int, Iterable[tuple[Limit, int]]], None]
#: Answers a request without the application.
Direct = Callable[[web.Request], Awaitable[WholeAnswer]]

#: Seconds between two checks of the connections.
LOOK_SECONDS = 0.5
#: Seconds at least between two log lines about connections that limits closed.
REPORT_SECONDS = 10.0


class HttpSite:
    """An HTTP server whose clients are limited.

    Args:
        name: The server's label in logs and metrics.
        app: The application.
        limits: The limits of the clients.
        refuse: Makes the answer to a request that the server refuses, from a status and a reason.
        observe: Called with the name, the number of open connections, and how many each limit closed since the
            last call.
        shutdown_seconds: Seconds that requests under way may take after `close()`.
        direct: Handlers by method and target. A request for exactly that target goes to its handler, past the
            application's router and middlewares.
    """

    def __init__(
        self,
        name: str,
        app: web.Application,
        limits: HttpLimits,
        refuse: Refuse,
        observe: Observe = lambda *_: None,
        *,
        shutdown_seconds: float = 60.0,
        direct: Mapping[tuple[str, str], Direct] | None = None,
    ) -> None:
        self._name = name
        self._limits = limits
        self._refuse = refuse
        self._observe = observe
        self._direct = direct or {}
        self.connections = Connections(limits.connections)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=shutdown_seconds)
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Prepare the application, without listening yet."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101  (setup() has made it)
        server.request_handler = self._checked(server.request_handler)
        self._watching = asyncio.create_task(self._watch())

    async def listen(self, host: str, port: int, *, shared_port: bool = False) -> None:
        """Listen at an address; with `shared_port`, other processes may listen there too. Raises OSError."""
        await _Site(self, self._runner, host, port, reuse_port=shared_port or None, backlog=BACKLOG).start()

    @property
    def addresses(self) -> Sequence[Any]:
        """Addresses at which the server listens, as sockets report them, such as (host, port)."""
        return self._runner.addresses

    async def close(self) -> None:
        """Stop listening, finish the requests under way, and close."""
        await self._runner.cleanup()
        if self._watching is not None:
            await end([self._watching])

    def connection(self) -> BoundedHandler:
        """Return the protocol of a new connection."""
        server = self._runner.server
        assert server is not None  # noqa: S101  (it listens, so it is set up)
        logger: Any = _ServerLog(logging.getLogger("edw.http"), {})
        loop = asyncio.get_running_loop()
        return BoundedHandler(server, self.connections, self._limits, self._refuse, loop=loop, logger=logger)

    def _checked(self, handler: Any) -> Any:
        """Wrap the application, to refuse requests that HTTP forbids before the application sees them."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            headers = request.headers
            expected = headers.get(hdrs.EXPECT)
            protocol = protocol_of(request)
            if protocol is not None:
                waits = expected is not None and expected.lower() == "100-continue" and request.version >= HttpVersion11
                protocol.begin(awaits_continue=waits)
            if problem := host_problem(request.version, headers.getall(hdrs.HOST, []), request.raw_path):
                _log.info("request refused", server=self._name, remote=request.remote, why=problem)
                answer = self._refuse(400, problem)
                answer.force_close()
                return answer
            if expected is not None:
                # aiohttp would ask for the body before the caller is authenticated. Other expectations may be ignored.
                rest = CIMultiDict(headers)
                rest.popall(hdrs.EXPECT)
                request = request.clone(headers=rest)
            # BoundedHandler takes a WholeAnswer too, but aiohttp's types do not know it.
            direct: Any = self._direct.get((request.method, request.raw_path))
            answered: web.StreamResponse = await (direct or handler)(request)
            return answered

        return handle

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        closed: Counter[Limit] = Counter()
        reported_at = -REPORT_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            self.connections.close_overdue(now)
            taken = self.connections.take_cut()
            self._observe(self._name, len(self.connections), taken.items())
            # Closing idle connections is normal, so it is not reported.
            closed += Counter({limit: count for limit, count in taken.items() if limit is not Limit.IDLE})
            if closed and now - reported_at >= REPORT_SECONDS:
                counts = {str(limit): count for limit, count in closed.items()}
                _log.warning("connections closed by limits", server=self._name, **counts)
                closed.clear()
                reported_at = now


class _Site(web.TCPSite):
    """A listening socket that makes BoundedHandler connections."""

    def __init__(self, site: HttpSite, runner: web.AppRunner, host: str, port: int, **options: Any) -> None:
        super().__init__(runner, host, port, **options)
        self._bounded = site

    async def start(self) -> None:
        await web.BaseSite.start(self)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._bounded.connection, self._host, self._port, backlog=self._backlog, reuse_port=self._reuse_port
        )


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The logger for aiohttp itself.

    Bytes that are not HTTP, which anybody can send, get one line without a traceback.
    """

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            _log.info("malformed request", remote=args[0] if args else None, why=reason_of(exc_info.message))
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)
