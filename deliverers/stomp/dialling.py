"""From an address to a session by one deadline: resolve the name, dial an allowed address, TLS, login."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver

from deliverers.contract import Resource
from deliverers.egress import AddressNotAllowed, EgressPolicy, socket_factory
from deliverers.exhaustion import exhausted
from deliverers.reasons import dial_reason, refused, unresolved
from deliverers.stomp.connection import StompConnection
from deliverers.stomp.frames import Frame
from deliverers.stomp.stomp_answers import ConnectionLost, Declined
from deliverers.stomp.stomp_configuration import Account, Address
from deliverers.stomp.stomp_reasons import attempted, broker_error, handshake_reason, lost_reason_with_frame, no_answer
from deliverers.tls import client_context


@dataclass(frozen=True, slots=True)
class DialFailure:
    """No session could be opened. `frame` is the ERROR of a broker that refused it.

    `lack` is the resource that this process lacked, if that was the cause.
    """

    words: str
    frame: Frame | None = None
    lack: Resource | None = None
    #: The addresses that were dialled, for the operator's log.
    detail: str = ""


class Dialler:
    """The dialler of a whole process."""

    def __init__(
        self,
        egress: EgressPolicy,
        tls_ca_file: str | None,
        resolver: AbstractResolver,
        dialled: Callable[[], None] = lambda: None,
    ) -> None:
        self._egress = egress
        self._make_socket = socket_factory(egress, dialled)
        self._resolver = resolver
        self._tls = client_context(tls_ca_file)
        # The context offers HTTP by ALPN, which does not apply here.
        self._tls.set_alpn_protocols([])

    async def dial(
        self,
        address: Address,
        account: Account,
        seconds: float,
        ended: Callable[[StompConnection], None],
        doing: Callable[[str], None],
    ) -> StompConnection | DialFailure:
        """Open a session within `seconds`.

        `doing` is called with each step's description, to complete "no answer (…)".
        """
        if refusal := self._egress.scheme_refusal(address.scheme):
            return DialFailure(refusal)
        progress = f"connecting to {address.peer}"

        def note(words: str) -> None:
            nonlocal progress
            progress = words
            doing(words)

        note(progress)
        connections: list[StompConnection] = []
        try:
            async with asyncio.timeout(seconds):
                return await self._session(address, account, seconds, ended, note, connections)
        except TimeoutError:
            return DialFailure(no_answer(seconds, progress))
        finally:
            # Connections that were not handed over were given up, by this deadline or by a cancellation.
            for connection in connections:
                connection.abort("it was given up")

    async def _session(
        self,
        address: Address,
        account: Account,
        seconds: float,
        ended: Callable[[StompConnection], None],
        note: Callable[[str], None],
        opened: list[StompConnection],
    ) -> StompConnection | DialFailure:
        loop = asyncio.get_running_loop()
        found = await self._connected(address, loop.time() + seconds)
        if isinstance(found, DialFailure):
            return found
        if address.tls:
            note(f"in the TLS handshake with {address.peer}")
        try:
            _, connection = await loop.create_connection(
                lambda: StompConnection(address, ended),
                sock=found,
                ssl=self._tls if address.tls else None,
                # Like every client: a certificate names a host without the trailing dot of the DNS.
                server_hostname=address.host.removesuffix(".") if address.tls else None,
            )
        except OSError as error:
            return DialFailure(handshake_reason(error, address), lack=_lack(error))
        opened.append(connection)
        note(f"connected to {address.peer}, logging in")
        match await connection.log_in(account):
            case Declined(frame):
                return DialFailure(f"the broker refused the login: {broker_error(frame, account.secrets)}", frame)
            case ConnectionLost(words, last, lack):
                return DialFailure(lost_reason_with_frame(words, last, account.secrets), lack=lack)
        opened.clear()
        return connection

    async def _connected(self, address: Address, deadline: float) -> socket.socket | DialFailure:
        """Dial each of a host's addresses in turn, each with an equal share of the remaining time."""
        try:
            found = await self._resolve(address)
        except OSError as error:
            return DialFailure(unresolved(error, address.host), lack=_lack(error))
        loop = asyncio.get_running_loop()
        tried = attempted(address)
        forbidden, silent, detail = [], [], []
        failed: list[int | None] = []
        lack: Resource | None = None
        for turn, (family, ip) in enumerate(found):
            # The last address gets all that is left; the deadline around all of this ends it.
            left = len(found) - turn
            share = (deadline - loop.time()) / left if left > 1 else None
            try:
                return await self._dialled(family, (ip, address.port), share)
            except AddressNotAllowed as error:
                forbidden.append(refused(str(error), tried))
                detail.append(str(error))
            except OSError as error:
                if share is not None and isinstance(error, TimeoutError) and error.errno is None:
                    silent.append(no_answer(share, f"connecting to {address.peer}"))
                else:
                    failed.append(error.errno)
                    lack = lack or _lack(error)
                detail.append(f"{ip}: {os.strerror(error.errno) if error.errno else 'no answer'}")
        # A refusal by our policy comes first, because the receiver cannot fix it.
        reasons = dict.fromkeys((*forbidden, *silent))
        if failed:
            reasons[dial_reason(failed, tried)] = None
        words = "; ".join(reasons) or f"host name {address.host} does not resolve"
        return DialFailure(words, lack=lack, detail="; ".join(detail))

    async def _dialled(self, family: int, target: tuple[str, int], seconds: float | None) -> socket.socket:
        sock = self._make_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(sock, target)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _resolve(self, address: Address) -> list[tuple[int, str]]:
        try:
            literal = ip_address(address.host.partition("%")[0])
        except ValueError:
            results = await self._resolver.resolve(address.host, address.port, socket.AF_UNSPEC)
            return [(result["family"], result["host"]) for result in results]
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, address.host)]


def _lack(error: OSError) -> Resource | None:
    ours = exhausted(error)
    return ours.resource if ours else None
