"""Calls that share one connection: replies find their calls, no call is repeated, and a lost connection is replaced."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from tests.counterparts.certificates import ServerFiles
from tests.counterparts.proxy import TcpProxy
from tests.counterparts.redis_server import RedisServer
from worker.ledger.connection.handshake import open_connection
from worker.ledger.connection.pipelined_client import PipelinedClient
from worker.ledger.connection.pipelined_connection import PipelinedConnection
from worker.ledger.connection.redis_connections import aclose, async_client

#: Longer than any test waits (seconds).
PATIENT = 60.0


@asynccontextmanager
async def calling(url: str, timeout: float = PATIENT) -> AsyncIterator[PipelinedClient]:
    opener = async_client(url, 1)
    client = PipelinedClient(opener, timeout)
    try:
        yield client
    finally:
        await client.close()
        await aclose(opener)


@asynccontextmanager
async def connected(url: str, timeout: float = PATIENT) -> AsyncIterator[PipelinedConnection]:
    opener = async_client(url, 1)
    connection = PipelinedConnection(timeout)
    connection.opened(await open_connection(opener, connection))
    try:
        yield connection
    finally:
        await connection.close()
        await aclose(opener)


async def connections_of(client: PipelinedClient) -> int:
    """The connections that the server has of this test; each names itself by the library that opened it."""
    listed: bytes = await client.call("CLIENT", "LIST")
    return listed.count(b"lib-name=redis-py")


@pytest.mark.parametrize("way", ["url", "tcp_url"])
async def test_every_call_gets_its_own_reply_over_one_connection(redis_server: RedisServer, way: str) -> None:
    async with calling(getattr(redis_server, way)) as client:
        said = [f"{number}" * 1_000 for number in range(500)]
        answers = await asyncio.gather(*(client.call("ECHO", word) for word in said))
        assert [answer.decode() for answer in answers] == said
        assert await connections_of(client) == 1


async def test_a_refused_call_fails_alone(redis_server: RedisServer) -> None:
    async with calling(redis_server.url) as client:
        calls = [client.call("SET", "k", "v"), client.call("INCR", "k"), client.call("GET", "k")]
        kept, refused, read = await asyncio.gather(*calls, return_exceptions=True)
        assert (kept, type(refused), read) == (b"OK", ResponseError, b"v")


async def test_the_reply_of_a_cancelled_call_is_nobody_elses(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as connection:
        redis_server.freeze()
        cancelled, other = connection.send(("ECHO", "mine")), connection.send(("ECHO", "other"))
        cancelled.cancel()
        redis_server.thaw()
        assert await other == b"other"


async def test_a_call_that_timed_out_takes_no_other_with_it_and_is_made_once(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + ahead)
    async with connected(redis_server.url, timeout=1_000) as connection:
        redis_server.freeze()
        early = connection.send(("INCR", "calls"))
        ahead = 500
        late = connection.send(("INCR", "calls"))
        ahead = 1_000
        with pytest.raises(TimedOut, match="no reply within 1000 s"):
            await early
        assert not connection.usable
        assert not late.done()
        redis_server.thaw()
        assert await late == 2


async def test_calls_find_another_connection_after_one_timed_out(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + ahead)
    async with calling(redis_server.url, timeout=1_000) as client:
        first = await client.call("CLIENT", "ID")
        redis_server.freeze()
        call = asyncio.create_task(client.call("PING"))
        await asyncio.sleep(0)
        ahead = 1_000
        with pytest.raises(TimedOut):
            await call
        redis_server.thaw()
        assert await client.call("CLIENT", "ID") > first


async def test_calls_whose_server_dies_fail_at_once_and_are_not_repeated(redis_server: RedisServer) -> None:
    async with calling(redis_server.url) as client:
        assert await client.call("SET", "calls", 0) == b"OK"
        redis_server.freeze()
        calls = asyncio.gather(*(client.call("INCR", "calls") for _ in range(3)), return_exceptions=True)
        # They are sent: the next turn of the loop begins behind them.
        await asyncio.sleep(0)
        redis_server.kill()
        assert [type(each) for each in await calls] == [Disconnected] * 3
        redis_server.start()
        assert await client.call("GET", "calls") == b"0"


async def test_an_idle_connection_that_was_closed_costs_no_call(redis_server: RedisServer) -> None:
    async with calling(redis_server.url) as client:
        assert await client.call("PING") == b"PONG"
        # Without a turn of the loop, which would notice the end.
        redis_server.kill()
        redis_server.start()
        assert await client.call("PING") == b"PONG"


async def test_callers_that_wait_for_a_connection_share_one_try(redis_server: RedisServer) -> None:
    tries = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, calling(RedisServer.url_at(server.sockets[0].getsockname()[1])) as client:
        for _ in range(3):
            answers = await asyncio.gather(*(client.call("PING") for _ in range(50)), return_exceptions=True)
            assert all(isinstance(each, Disconnected) for each in answers)
    assert tries == 3


async def test_a_caller_that_gives_up_leaves_the_connection_to_the_others(redis_server: RedisServer) -> None:
    async with calling(redis_server.url) as client:
        calls = [asyncio.create_task(client.call("PING")) for _ in range(2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await calls[1] == b"PONG"


async def test_a_reply_that_nobody_asked_for_ends_the_connection_and_not_the_client(redis_server: RedisServer) -> None:
    async with TcpProxy(redis_server.port) as proxy, connected(RedisServer.url_at(proxy.port)) as connection:
        redis_server.freeze()
        call = connection.send(("ECHO", "mine"))
        connection.data_received(b"+mine?\r\n+whose?\r\n")
        assert await call == b"mine?"
        assert not connection.usable
        redis_server.thaw()


async def test_what_is_not_redis_ends_the_connection(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as connection:
        redis_server.freeze()
        call = connection.send(("PING",))
        connection.data_received(b"HTTP/1.1 400 Bad Request\r\n")
        with pytest.raises(Disconnected):
            await call
        redis_server.thaw()


async def test_a_wrong_password_is_named_and_a_right_one_works_after_it(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(requirepass="right-one")
    for password, right in (("wrong", False), ("right-one", True)):
        async with calling(f"redis://:{password}@127.0.0.1:{server.port}/3") as client:
            if right:
                assert b"db=3" in await client.call("CLIENT", "INFO")
            else:
                with pytest.raises(AuthenticationError):
                    await client.call("PING")


async def test_a_server_that_loads_its_data_is_away_until_it_has_it(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as connection:
        redis_server.freeze()
        call = connection.send(("PING",))
        connection.data_received(b"-LOADING Redis is loading the dataset in memory\r\n")
        with pytest.raises(BusyLoadingError):
            await call
        assert connection.usable
        redis_server.thaw()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_tls_is_spoken_and_the_certificate_is_checked(
    redis_server: RedisServer, tmp_path: Path, runner: Callable[..., None]
) -> None:
    files = ServerFiles.make(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)

    class TlsProxy(TcpProxy):
        async def __aenter__(self) -> "TlsProxy":
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
            return self

    async def play() -> None:
        async with TlsProxy(redis_server.port) as proxy:
            address = f"rediss://localhost:{proxy.port}/0"
            async with calling(f"{address}?ssl_ca_certs={files.ca}") as client:
                said = ["x" * 100_000, "y"]
                assert await asyncio.gather(*(client.call("ECHO", word) for word in said)) == [
                    word.encode() for word in said
                ]
            async with calling(address) as client:
                with pytest.raises(Disconnected, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.call("PING")

    runner(play())


def test_a_client_serves_one_loop_after_another(redis_server: RedisServer) -> None:
    opener = async_client(redis_server.url, 1)
    client = PipelinedClient(opener, PATIENT)

    async def call() -> bytes:
        answer: bytes = await client.call("PING")
        await client.close()
        await aclose(opener)
        return answer

    assert [asyncio.run(call()) for _ in range(2)] == [b"PONG"] * 2
