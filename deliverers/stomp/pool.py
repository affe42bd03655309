"""Connections that deliveries share: one for each account, opened when needed and reopened after a loss.

A broker that ends a session with an ERROR punishes all its users for one message: RabbitMQ does so if a destination is
missing or forbidden. For a while after that, each destination of the account has its own connection, so that a bad
destination ends only its own session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import random

from deliverers.backoff import Backoff
from deliverers.stomp.connection import StompConnection
from deliverers.stomp.dialling import DialFailure, Dialler
from deliverers.stomp.stomp_configuration import Account
from deliverers.stomp.stomp_reasons import no_answer

#: Pauses before a connection is dialled again.
BACKOFF = Backoff(first=0.1, longest=2.0)
#: Seconds for which an account's destinations are kept apart after an ERROR.
SEPARATE_SECONDS = 600.0
#: Accounts for which the pool remembers which address worked and when to try again.
MOST_REMEMBERED = 1_000
#: Seconds that a broker has to read what was sent when this process ends.
_CLOSE_SECONDS = 1.0

_STOPPED = DialFailure("this worker stopped")


def pause_after(failures: int, jitter: float) -> float:
    """Return the seconds before the next try, after so many consecutive failures.

    `jitter`, from 0 to 1, spreads the tries of a fleet by ±20 %.
    """
    return BACKOFF.pause(failures) * (0.8 + 0.4 * jitter)


class Endpoint:
    """One account's connection, open or not. `on_broker_error` is called when a broker ends it with an ERROR."""

    def __init__(
        self, account: Account, dialler: Dialler, timeout: float, on_broker_error: Callable[[], None], first: int = 0
    ) -> None:
        self.account = account
        self.connection: StompConnection | None = None
        self._dialler = dialler
        self._timeout = timeout
        self._on_broker_error = on_broker_error
        self._opening: asyncio.Task[StompConnection | DialFailure] | None = None
        #: Index of the address that is tried first: the last one that worked.
        self.first = first
        self._failures = 0
        self._not_before = 0.0
        self._failed: list[str] = []
        self._doing = ""
        self._closing = False

    @property
    def is_idle(self) -> bool:
        """Return whether this may be dropped: no connection is open or being opened."""
        return self.connection is None and (self._opening is None or self._opening.done())

    async def ready(self) -> StompConnection | DialFailure:
        """Wait for a connection with capacity. The caller has the deadline."""
        while not self._closing:
            if self.connection is None:
                if self._opening is None or self._opening.done():
                    self._opening = asyncio.create_task(self._open())
                # All callers share this task: one that stops waiting must not cancel it for the others.
                opened = await asyncio.shield(self._opening)
                if isinstance(opened, DialFailure):
                    return opened
            elif self.connection.has_capacity:
                return self.connection
            else:
                await self.connection.wait_for_capacity()
        return _STOPPED

    def waited(self, seconds: float) -> str:
        """Return the reason for a caller whose deadline passed in `ready`."""
        if self.connection is not None:
            return no_answer(seconds, f"{self.connection.address.peer} takes no more; nothing was sent")
        return no_answer(seconds, self._doing, self._failed)

    async def close(self) -> None:
        """Close the connection once the sent messages are written."""
        self._closing = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self.connection is not None:
            await self.connection.close(_CLOSE_SECONDS)

    async def _open(self) -> StompConnection | DialFailure:
        try:
            return await self._try_all()
        except asyncio.CancelledError:
            # Only `close` cancels this task; its waiting callers were not cancelled, and get a result.
            return _STOPPED

    async def _try_all(self) -> StompConnection | DialFailure:
        loop, addresses = asyncio.get_running_loop(), self.account.addresses
        if (pause := self._not_before - loop.time()) > 0:
            self._doing = "waiting to connect again"
            await asyncio.sleep(pause)
        self._failed = []
        details = []
        frame, lack, deadline = None, None, loop.time() + self._timeout
        for turn in range(len(addresses)):
            index = (self.first + turn) % len(addresses)
            share = (deadline - loop.time()) / (len(addresses) - turn)
            found = await self._dialler.dial(addresses[index], self.account, share, self._over, self._note)
            if isinstance(found, StompConnection):
                self.first, self.connection = index, found
                return found
            self._failed.append(found.words if len(addresses) == 1 else f"{addresses[index].peer}: {found.words}")
            details += [found.detail] if found.detail else []
            frame, lack = frame or found.frame, lack or found.lack
        if lack is None:
            # If this process lacked a resource, it pauses as a whole.
            self._back_off()
        return DialFailure("; ".join(self._failed), frame, lack, "; ".join(details))

    def _over(self, connection: StompConnection) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        if connection.was_ended_by_broker:
            self._on_broker_error()
        if connection.was_of_use:
            self._failures = 0
        else:
            # This address accepts connections but no messages; another may do better.
            self.first = (self.first + 1) % len(self.account.addresses)
            self._back_off()

    def _back_off(self) -> None:
        self._failures += 1
        self._not_before = asyncio.get_running_loop().time() + pause_after(self._failures, random())  # noqa: S311 (no secret)

    def _note(self, doing: str) -> None:
        self._doing = doing


class Pool:
    """The endpoints of all accounts."""

    def __init__(self, dialler: Dialler, timeout: float) -> None:
        self._dialler = dialler
        self._timeout = timeout
        # Keys: an account, or an account and a destination while destinations are kept apart.
        self._endpoints: dict[Account | tuple[Account, str], Endpoint] = {}
        self._separate_until: dict[Account, float] = {}

    def endpoint(self, account: Account, destination: str) -> Endpoint:
        """Return the endpoint for a destination; create it if needed."""
        key = (account, destination) if self._separate_until and self._is_separate(account) else account
        found = self._endpoints.get(key)
        if found is None:
            if len(self._endpoints) >= MOST_REMEMBERED:
                self._forget_one()
            shared = self._endpoints.get(account)
            found = Endpoint(
                account, self._dialler, self._timeout, lambda: self._separate(account), shared.first if shared else 0
            )
            self._endpoints[key] = found
        return found

    async def close(self) -> None:
        """Close every connection."""
        endpoints = tuple(self._endpoints.values())
        self._endpoints.clear()
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints))

    def _is_separate(self, account: Account) -> bool:
        return self._separate_until.get(account, 0.0) > asyncio.get_running_loop().time()

    def _separate(self, account: Account) -> None:
        now = asyncio.get_running_loop().time()
        self._separate_until = {each: until for each, until in self._separate_until.items() if until > now}
        self._separate_until[account] = now + SEPARATE_SECONDS

    def _forget_one(self) -> None:
        for key, endpoint in self._endpoints.items():
            if endpoint.is_idle:
                del self._endpoints[key]
                return
