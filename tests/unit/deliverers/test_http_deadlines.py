"""The deadlines of the exchanges of one connection, which share a timer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from deliverers.http.http_connection import ExchangeEnd, HttpConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Timer:
    """A timer that a test runs out."""

    def __init__(self, when: float, run: Callable[[], None]) -> None:
        self.when = when
        self.run = run
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """The part of a loop that a connection uses, without time."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []
        self.create_future = asyncio.get_running_loop().create_future

    @property
    def pending(self) -> list[float]:
        return [timer.when for timer in self.timers if not timer.is_cancelled]

    def time(self) -> float:
        return 0.0

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(when, lambda: callback(*arguments)))
        return self.timers[-1]

    def pass_to(self, when: float) -> None:
        """Run out what is due; a timer that is set meanwhile waits for the next call."""
        for timer in list(self.timers):
            if timer.when <= when and not timer.is_cancelled:
                self.timers.remove(timer)
                timer.run()


class Transport:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass

    close = abort

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def connection(clock: Clock) -> AsyncIterator[HttpConnection]:
    with socket.socket() as sock:
        made = HttpConnection(sock, lambda _: None)
        made._loop = cast("asyncio.AbstractEventLoop", clock)
        made.connection_made(cast("asyncio.BaseTransport", Transport()))
        yield made


def begin(connection: HttpConnection, deadline: float) -> asyncio.Future[ExchangeEnd]:
    return connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b"", 1_024, deadline)


def answered(connection: HttpConnection, deadline: float) -> None:
    waiter = begin(connection, deadline)
    connection.data_received(OK)
    assert waiter.result() is ExchangeEnd.ANSWERED


async def test_exchanges_in_a_row_share_a_timer_and_each_has_its_own_deadline(
    connection: HttpConnection, clock: Clock
) -> None:
    for deadline in (10.0, 11.0, 12.0):
        answered(connection, deadline)
    waiter = begin(connection, 13.0)
    assert clock.pending == [10.0]
    clock.pass_to(10.0)
    assert not waiter.done()
    assert clock.pending == [13.0]
    clock.pass_to(13.0)
    assert waiter.result() is ExchangeEnd.TIMED_OUT
    assert clock.pending == []


async def test_an_earlier_deadline_than_that_of_the_exchange_before_is_kept(
    connection: HttpConnection, clock: Clock
) -> None:
    answered(connection, 30.0)
    waiter = begin(connection, 5.0)
    assert clock.pending == [5.0]
    clock.pass_to(5.0)
    assert waiter.result() is ExchangeEnd.TIMED_OUT


async def test_a_timer_that_runs_out_while_nothing_is_under_way_ends_nothing(
    connection: HttpConnection, clock: Clock
) -> None:
    answered(connection, 10.0)
    clock.pass_to(10.0)
    assert clock.pending == []
    waiter = begin(connection, 20.0)
    clock.pass_to(19.0)
    assert not waiter.done()
    clock.pass_to(20.0)
    assert waiter.result() is ExchangeEnd.TIMED_OUT


@pytest.mark.parametrize(
    "end", [HttpConnection.close, HttpConnection.abort, HttpConnection.interrupt, lambda it: it.connection_lost(None)]
)
async def test_no_timer_outlives_its_connection(
    connection: HttpConnection, clock: Clock, end: Callable[[HttpConnection], None]
) -> None:
    answered(connection, 10.0)
    begin(connection, 20.0)
    end(connection)
    assert clock.pending == []
