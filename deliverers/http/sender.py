"""The HTTP/1.1 sender: requests over kept connections, by one deadline each.

The choices that no specification makes:

- Connections are shared by the requests of one tenant only. What a receiver sends on an idle connection closes it; but
  bytes that arrive together with the next request look like its answer. So no tenant can forge the answer to
  another one's delivery.
- A request is never repeated: a kept connection is asked before it is used whether it was closed or has received
  anything. After that, the receiver may have read the request.
- Where there is a proxy, it judges the address that is dialled: see `EgressPolicy.proxied_refusal`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from deliverers.contract import DelivererOptions, NotAttempted, Unreachable
from deliverers.dial import AddressDialler, Undialled
from deliverers.exhaustion import not_attempted
from deliverers.http.answer import HttpAnswer
from deliverers.http.http_connection import ExchangeEnd, HttpConnection
from deliverers.http.idle_pool import IdlePool
from deliverers.http.names import resolver_of
from deliverers.http.progress import HttpProgress
from deliverers.http.proxy import HttpProxy
from deliverers.http.request import RequestHead, connect_request
from deliverers.http.response import Fault
from deliverers.http.target import HttpTarget
from deliverers.reasons import INTERRUPTED, AttemptedConnection, Phase, reason, unreached
from deliverers.tls import client_context, resuming
from deliverers.tls_identity import IdentityContexts, TlsIdentity

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Seconds for which an idle connection is kept. Just below the 5 s after which Node, Apache and uvicorn close theirs: a
#: request sent at that very moment is lost, and costs an attempt. Under load, connections are never idle for so long.
KEEP_ALIVE_SECONDS = 4.0
#: Share of the deadline that connecting may not use, so that the reason names connecting if an attempt ends there.
_CONNECT_MARGIN = 0.005
#: Seconds that a receiver has to take part in the end of a TLS session.
_TLS_CLOSE_SECONDS = 1.0
#: TLS sessions that are kept to be resumed; each takes a few KiB.
MOST_SESSIONS = 1_000
#: Turns of the loop after which an aborted connection is closed, at the latest.
_TURNS_TO_CLOSE = 4

Failure = Unreachable | NotAttempted
#: A tenant, and the key of a request's head.
SessionKey = tuple[Hashable, tuple[Hashable, ...]]
_UNTAKEN = "the receiver did not take the whole body"


class HttpSender:
    """A sender for one deliverer. It has no limit of its own: lanes limit what is in flight."""

    def __init__(
        self,
        options: DelivererOptions,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._options = options
        self._proxy = HttpProxy.of(options.proxy) if options.proxy else None
        self._keep_alive = keep_alive
        self._pool: IdlePool[HttpConnection] = IdlePool(keep_alive)
        #: The pool's key of each connection that is open.
        self._keys: dict[HttpConnection, Hashable] = {}
        self._dialling: set[asyncio.Timeout] = set()
        self._resolver = resolver
        self._dialler: AddressDialler | None = None
        self._tls: ssl.SSLContext | None = None
        # Least recently stored first.
        self._sessions: OrderedDict[SessionKey, ssl.SSLSession] = OrderedDict()
        self._contexts = IdentityContexts()
        self._sweep: asyncio.TimerHandle | None = None
        self._has_checks = bool(options.proxy or options.egress.schemes)

    @property
    def is_open(self) -> bool:
        """Return whether the sender is open."""
        return self._dialler is not None

    async def open(self) -> None:
        """Open the sender, on the running loop. Raises `OSError` if the file with extra authorities cannot be used."""
        options = self._options
        self._tls = client_context(options.tls_ca_file)
        self._loop = asyncio.get_running_loop()
        self._resolver = self._resolver or resolver_of(options)
        policy = None if self._proxy else options.egress
        self._dialler = AddressDialler(policy, self._resolver, options.dialled)

    async def close(self) -> None:
        """Close all connections; what is under way ends with an unknown outcome. Harmless when repeated."""
        self._dialler = None
        resolver, self._resolver = self._resolver, None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._pool.close()
        for dialling in self._dialling:
            dialling.reschedule(self._loop.time())
        for connection in tuple(self._keys):
            connection.interrupt()
        for _ in range(_TURNS_TO_CLOSE):
            if self._keys:
                await asyncio.sleep(0)
        if resolver is not None:
            await resolver.close()

    async def send(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        tenant: Hashable,
        timeout: float | None = None,
        progress: HttpProgress | None = None,
    ) -> HttpAnswer | Failure:
        """Send one request within a time limit.

        Redirects are not followed, and nothing is decompressed.

        Args:
            method: The method, such as `PUT`.
            url: An absolute URL. The receiver gets its path and query byte for byte.
            body: The body.
            headers: Further headers, such as `Content-Type`.
            tenant: Whose request it is: `delivery.tenant`. Connections are not shared between tenants.
            timeout: Seconds: `delivery.timeout`. None takes the options' timeout.
            progress: Is kept up to date; its `record` makes the outcome's `exchange`.

        Returns:
            The answer, or the outcome of an attempt without one.

        Raises:
            ValueError: The URL or a header cannot be sent.
            RuntimeError: The sender is not open.
        """
        head = RequestHead(method, HttpTarget.of(url), headers or {})
        return await self.exchange(head, {}, body, tenant=tenant, timeout=timeout, progress=progress)

    async def exchange(
        self,
        head: RequestHead,
        headers: Mapping[str, str],
        body: bytes,
        *,
        tenant: Hashable,
        limit: int | None = None,
        timeout: float | None = None,
        alias: str = "",
        progress: HttpProgress | None = None,
    ) -> HttpAnswer | Failure:
        """Send a request whose head is prepared.

        Args:
            head: The head.
            headers: Further headers of this request.
            body: The body.
            tenant: Whose request it is.
            limit: Bytes read of the answer's body, in place of the options'.
            timeout: Seconds, in place of the options'.
            alias: The name that reasons show for the host.
            progress: Is kept up to date.
        """
        options, proxy = self._options, self._proxy
        if self._dialler is None:
            raise RuntimeError("a request needs open() first")
        if self._has_checks and (refusal := self._refusal(head.target)):
            return Unreachable(refusal)
        is_absolute = proxy is not None and head.target.scheme == "http"
        data = head.encode(headers, len(body), proxy.lines if proxy is not None and is_absolute else None)
        timeout = options.timeout if timeout is None else timeout
        now = self._loop.time()
        key = (tenant, head.key)
        progress = progress or HttpProgress()
        progress.prepared(head.target, data, len(body), is_proxied=proxy is not None)
        connection = self._pool.take(key, now)
        if connection is None:
            progress.connecting(now)
            opened = await self._opened(key, head, now, timeout, alias, progress)
            if not isinstance(opened, HttpConnection):
                return opened
            connection = opened
            now_sent = self._loop.time()
        else:
            now_sent = now
        progress.sent(connection, now_sent)
        limit = options.read_limit if limit is None else limit
        waiter = connection.exchange(data, body, limit, now + timeout, bodiless=head.bodiless)
        try:
            ended = await waiter
        except asyncio.CancelledError:
            connection.abort()
            raise
        reader = connection.reader
        if ended is ExchangeEnd.ANSWERED and reader.fault is None and reader.status is not None:
            answer = HttpAnswer(reader.status, reader.head, reader.body)
            self._keep(key, connection)
            return answer
        return self._failed(ended, connection, head.target, timeout, alias)

    def _failed(
        self, ended: ExchangeEnd, connection: HttpConnection, target: HttpTarget, timeout: float, alias: str
    ) -> HttpAnswer | Failure:
        reader = connection.reader
        phase = Phase.READING if reader.has_head else Phase.WAITING
        attempted = AttemptedConnection(target.host, target.port, timeout, phase, alias)
        error: BaseException = connection.error or TimeoutError()
        if ended is ExchangeEnd.INTERRUPTED:
            return Unreachable(INTERRUPTED)
        if ended is ExchangeEnd.ANSWERED and reader.fault is not None:
            if reader.status is None or reader.fault is not Fault.CLOSED_IN_BODY:
                return Unreachable(reader.fault.value)
            why = reader.fault.value
        elif reader.status is None or not reader.has_head:
            return unreached(error, attempted)
        else:
            why = _UNTAKEN if ended is ExchangeEnd.UNSENT else reason(error, attempted)
        return HttpAnswer(reader.status, reader.head, reader.body, why)

    def _refusal(self, target: HttpTarget) -> str | None:
        """Return why a request is not made at all; sockets cannot check this."""
        egress = self._options.egress
        refusal = egress.scheme_refusal(target.scheme)
        if refusal is None and self._proxy is not None:
            refusal = egress.proxied_refusal(target.host, target.port)
        return refusal

    async def _opened(
        self, key: SessionKey, head: RequestHead, now: float, timeout: float, alias: str, progress: HttpProgress
    ) -> HttpConnection | Failure:
        """Open a connection, for one exchange and the next ones of its key."""
        target = head.target
        deadline = now + timeout * (1 - _CONNECT_MARGIN)
        attempted = AttemptedConnection(target.host, target.port, timeout, Phase.CONNECTING, alias)
        try:
            # Dialling has its own deadline, so that it can name each address; `close` ends it by this one.
            async with asyncio.timeout(None) as dialling:
                self._dialling.add(dialling)
                try:
                    tls = await self._context_of(head.identity)
                    with resuming(self._sessions.get(key)):
                        opened = await self._connected(target, tls, attempted, deadline, dialling, progress)
                finally:
                    self._dialling.discard(dialling)
        except TimeoutError as error:
            return unreached(error, attempted) if self.is_open else Unreachable(INTERRUPTED)
        except (OSError, ValueError) as error:
            # ValueError: a host that no certificate can name.
            return unreached(error, attempted)
        if isinstance(opened, HttpConnection):
            self._keys[opened] = key
        return opened

    async def _context_of(self, identity: TlsIdentity | None) -> ssl.SSLContext | None:
        """Return the context of an identity. It is made in a thread, because reading authorities takes long."""
        if identity is None:
            return self._tls
        if (known := self._contexts.get(identity)) is not None:
            return known
        made = await self._loop.run_in_executor(None, client_context, self._options.tls_ca_file, identity)
        if (known := self._contexts.get(identity)) is not None:
            return known  # another request may have been first
        if (dropped := self._contexts.keep(identity, made)) is not None:
            # A session belongs to its context.
            for key in [key for key in self._sessions if dropped in key[1]]:
                del self._sessions[key]
        return made

    async def _connected(
        self,
        target: HttpTarget,
        tls: ssl.SSLContext | None,
        attempted: AttemptedConnection,
        deadline: float,
        dialling: asyncio.Timeout,
        progress: HttpProgress,
    ) -> HttpConnection | Failure:
        dialler, proxy = self._dialler, self._proxy
        if dialler is None or tls is None:
            return Unreachable(INTERRUPTED)
        dialled = attempted
        if proxy is not None:
            dialled = AttemptedConnection(proxy.host, proxy.port, attempted.timeout, Phase.CONNECTING, "the proxy")
        found = await dialler.connect(dialled, deadline, lambda: progress.passed(1, self._loop.time()))
        if isinstance(found, Undialled):
            return self._undialled(found, attempted)
        progress.passed(2, self._loop.time())
        if self.is_open:
            dialling.reschedule(deadline)
        is_secure = target.scheme == "https"
        at_once = is_secure and proxy is None
        try:
            _, connection = await self._loop.create_connection(
                lambda: HttpConnection(found, self._lost),
                sock=found,
                ssl=tls if at_once else None,
                server_hostname=target.server_name if at_once else None,
                ssl_shutdown_timeout=_TLS_CLOSE_SECONDS if at_once else None,
            )
        except BaseException:
            found.close()
            raise
        if is_secure and proxy is not None:
            try:
                failure = await self._tunnelled(connection, target, tls, attempted, deadline)
            except BaseException:
                connection.abort()
                raise
            if failure is not None:
                connection.abort()
                return failure
        if not self.is_open:
            connection.abort()
            return Unreachable(INTERRUPTED)
        progress.passed(3, self._loop.time())
        return connection

    async def _tunnelled(
        self,
        connection: HttpConnection,
        target: HttpTarget,
        tls: ssl.SSLContext,
        attempted: AttemptedConnection,
        deadline: float,
    ) -> Failure | None:
        """Have the proxy open a tunnel, and secure it; return why it did not."""
        lines = self._proxy.lines if self._proxy is not None else ""
        ended = await connection.exchange(connect_request(target, lines), b"", 0, deadline, bodiless=True, tunnel=True)
        status = connection.reader.status if ended is ExchangeEnd.ANSWERED else None
        if ended is ExchangeEnd.TIMED_OUT:
            return unreached(TimeoutError(), attempted)
        if status is None or not 200 <= status < 300 or connection.reader.has_surplus:
            shown = "closed the connection" if status is None else f"status {status}"
            return Unreachable(f"the egress proxy refused to connect to {attempted.peer} ({shown})")
        secured = await self._loop.start_tls(
            connection.transport,
            connection,
            tls,
            server_hostname=target.server_name,
            ssl_shutdown_timeout=_TLS_CLOSE_SECONDS,
        )
        if secured is None:
            raise ConnectionResetError
        connection.secured(secured)
        return None

    def _undialled(self, found: Undialled, attempted: AttemptedConnection) -> Failure:
        if found.lack is not None:
            return not_attempted(found.lack)
        late = reason(TimeoutError(), attempted) if found.silent else ""
        if self._proxy is not None:
            return Unreachable(late or "the egress proxy cannot be reached", found.detail)
        return Unreachable("; ".join(filter(None, (found.words, late))), found.detail)

    def _note_session(self, key: SessionKey, connection: HttpConnection) -> None:
        """Keep the TLS session of a new connection, for the next one: its tickets came before the answer."""
        connection.has_answered = True
        secured: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
        if secured is not None and (session := secured.session) is not None and session.has_ticket:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)

    def _keep(self, key: SessionKey, connection: HttpConnection) -> None:
        """Keep what the next exchange can use: the connection, and its TLS session."""
        if not connection.has_answered:
            self._note_session(key, connection)
        if not connection.reader.reusable:
            return
        if not self.is_open:
            connection.close()
            return
        now = self._loop.time()
        self._pool.give(key, connection, now)
        if self._sweep is None:
            self._sweep = self._loop.call_at(now + self._keep_alive, self._expire)

    def _expire(self) -> None:
        again = self._pool.expire(self._loop.time())
        self._sweep = None if again is None else self._loop.call_at(again, self._expire)

    def _lost(self, connection: HttpConnection) -> None:
        """Forget a connection that has ended."""
        if connection in self._keys:
            self._pool.drop(self._keys.pop(connection), connection)
