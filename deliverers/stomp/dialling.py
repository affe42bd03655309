"""From an address to a session by one deadline: resolve the name, dial an allowed address, TLS, login."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deliverers.contract import Resource
from deliverers.dial import AddressDialler, Undialled, lack_of
from deliverers.egress import EgressPolicy
from deliverers.stomp.connection import StompConnection
from deliverers.stomp.frames import Frame
from deliverers.stomp.stomp_answers import ConnectionLost, Declined
from deliverers.stomp.stomp_configuration import Account, Address
from deliverers.stomp.stomp_reasons import attempted, broker_error, handshake_reason, lost_reason_with_frame, no_answer
from deliverers.tls import client_context

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Share of the time for dialling that is left to name the addresses which did not answer.
_NAMING_MARGIN = 0.02


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
        self._addresses = AddressDialler(egress, resolver, dialled)
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
            return DialFailure(handshake_reason(error, address), lack=lack_of(error))
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
        """Dial a host's addresses, each once; this ends a little before the deadline, so that they can be named."""
        now = asyncio.get_running_loop().time()
        seconds = deadline - now
        found = await self._addresses.connect(attempted(address), now + seconds * (1 - _NAMING_MARGIN))
        if not isinstance(found, Undialled):
            return found
        silence = no_answer(seconds, f"connecting to {address.peer}") if found.silent else ""
        return DialFailure("; ".join(filter(None, (found.words, silence))), lack=found.lack, detail=found.detail)
