"""From a host to a connected socket: resolve the name, and dial its allowed addresses, each at most once.

HTTP and STOMP dial here, so the egress policy applies at one place. An address that does not answer at once does not
hold up the next one (RFC 8305, "Happy Eyeballs"): the first that connects wins.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from deliverers.contract import Resource
from deliverers.egress import AddressNotAllowed, EgressPolicy, socket_factory
from deliverers.exhaustion import exhausted
from deliverers.reasons import AttemptedConnection, Phase, dial_reason, refused, unresolved

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Seconds after which the next address is dialled while the last one has not answered (RFC 8305, section 5).
STAGGER_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Undialled:
    """No address of a host could be dialled.

    Attributes:
        words: Why, without an address that the configuration does not name: the egress policy's refusals come first.
        detail: Each address with its failure, for the operator's log.
        lack: The resource that this process lacked, if that was the cause.
        silent: Whether the deadline passed; the words say nothing about it.
    """

    words: str
    detail: str = ""
    lack: Resource | None = None
    silent: bool = False


class AddressDialler:
    """The dialler of a process. Without a policy it refuses nothing: the address is then a proxy's."""

    def __init__(
        self, policy: EgressPolicy | None, resolver: AbstractResolver, dialled: Callable[[], None] = lambda: None
    ) -> None:
        self._make_socket = socket_factory(policy, dialled)
        self._resolver = resolver

    async def connect(
        self, attempted: AttemptedConnection, deadline: float, resolved: Callable[[], None] = lambda: None
    ) -> socket.socket | Undialled:
        """Return a connected, non-blocking socket.

        Args:
            attempted: The host and port.
            deadline: A time of the loop.
            resolved: Is called once the host's addresses are known.
        """
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._resolve(attempted.host, attempted.port)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                return Undialled("", silent=True)
            return Undialled(unresolved(error, attempted.name), lack=lack_of(error))
        resolved()
        calls = _Calls(replace(attempted, phase=Phase.CONNECTING))
        targets = [(family, (address, attempted.port)) for family, address in alternating(found)]
        connected = await self._first_of(targets, deadline, calls)
        return connected or calls.undialled()

    async def _first_of(
        self, targets: list[tuple[int, tuple[str, int]]], deadline: float, calls: _Calls
    ) -> socket.socket | None:
        loop = asyncio.get_running_loop()
        try:
            for turn, (family, target) in enumerate(targets, 1):
                calls.start(loop.create_task(self._dialled(family, target)), target[0])
                is_last = turn == len(targets)
                while calls.waiting and calls.winner is None and (left := deadline - loop.time()) > 0:
                    ended = await calls.next_ended(left if is_last else min(left, STAGGER_SECONDS))
                    if not is_last or not ended:
                        break
                if calls.winner is not None or loop.time() >= deadline:
                    break
        except BaseException:
            await calls.end()
            if calls.winner is not None:
                calls.winner.close()
            raise
        await calls.end()
        return calls.winner

    async def _dialled(self, family: int, target: tuple[str, int]) -> socket.socket:
        sock = self._make_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, target)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        try:
            literal = ip_address(host.partition("%")[0])
        except ValueError:
            results = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
            return list(dict.fromkeys((int(result["family"]), result["host"]) for result in results))
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, host)]


class _Calls:
    """The calls of one dialling, and what came of each."""

    def __init__(self, attempted: AttemptedConnection) -> None:
        self._attempted = attempted
        self._forbidden: list[str] = []
        self._failed: list[int | None] = []
        self._detail: list[str] = []
        self._lack: Resource | None = None
        self._silent = False
        self.waiting: dict[asyncio.Task[socket.socket], str] = {}
        self.winner: socket.socket | None = None

    def start(self, call: asyncio.Task[socket.socket], address: str) -> None:
        """Add a call to an address."""
        self.waiting[call] = address

    async def next_ended(self, seconds: float) -> bool:
        """Wait until a call ends, for so many seconds at most; return whether one has."""
        ended, _ = await asyncio.wait(self.waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self._take(ended)
        return bool(ended)

    async def end(self) -> None:
        """End the calls that are left. One that connects at the last moment is used, if none has won."""
        for call in self.waiting:
            call.cancel()
        if self.waiting:
            self._take((await asyncio.wait(self.waiting))[0])

    def _take(self, ended: Iterable[asyncio.Task[socket.socket]]) -> None:
        for call in ended:
            address = self.waiting.pop(call)
            if call.cancelled():
                self._silent = True
                self._detail.append(f"{address}: no answer")
            elif (error := call.exception()) is not None:
                self._note(address, error)
            elif self.winner is None:
                self.winner = call.result()
            else:
                call.result().close()

    def undialled(self) -> Undialled:
        """Return why there is no connection."""
        reasons = dict.fromkeys(self._forbidden)
        if self._failed:
            reasons[dial_reason(self._failed, self._attempted)] = None
        words = "; ".join(reasons)
        if not words and not self._silent:
            words = f"host name {self._attempted.name} does not resolve"
        return Undialled(words, "; ".join(self._detail), self._lack, self._silent)

    def _note(self, address: str, error: BaseException) -> None:
        if isinstance(error, AddressNotAllowed):
            self._forbidden.append(refused(str(error), self._attempted))
            self._detail.append(str(error))
        elif isinstance(error, OSError):
            self._failed.append(error.errno)
            self._detail.append(f"{address}: {os.strerror(error.errno) if error.errno else 'connecting failed'}")
            self._lack = self._lack or lack_of(error)
        else:
            raise error


def alternating(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return addresses so that their families take turns; the first one stays first (RFC 8305, section 4)."""
    first = [each for each in found if each[0] == found[0][0]]
    others = [each for each in found if each[0] != found[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


def lack_of(error: BaseException) -> Resource | None:
    """Return the resource of ours for lack of which a call failed; None for any other failure."""
    ours = exhausted(error)
    return ours.resource if ours else None
