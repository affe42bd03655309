"""`edw api`, the real process: how it starts, what it says while something it stands on is away, and how it ends."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.fleet.api_caller import ApiAnswer, Caller, caller_of
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import ApiProcess, StartApi, StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import surgery
from tests.samples import SCOPE, order_paid
from tests.waiting import PATIENCE, eventually
from worker.cli.supervision import RESTART_BACKOFF
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.ledger import Ledger

#: For so long an API waits for a receiver that does not answer, where nothing else ends that (seconds). No test waits
#: that long, so an API that ends has not waited for it.
LONG = 4 * PATIENCE


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # A connection for each request: it is the process that is under test, and it may be another one the next time.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        yield opened


@pytest.fixture
async def caller(session: aiohttp.ClientSession, ledger: Ledger) -> Caller:
    return await caller_of(session, ledger)


async def integration(caller: Caller, api: ApiProcess, receiver: Receiver) -> str:
    """A new one; answers its address."""
    attributes = {"name": "ERP", "observes": ["order.paid"], "configuration": {"url": receiver.url}}
    made = await caller.post(f"{api.url}/v2/integrations", {"data": attributes})
    assert made.status == 201, made.document
    return str(made.document["data"]["links"]["self"])


async def publish(caller: Caller, api: ApiProcess, **changes: Any) -> ApiAnswer:
    return await caller.post(f"{api.url}/v2/events", {"data": order_paid(**changes)})


async def refused(url: str) -> bool:
    """True where nobody listens.

    A reset counts too: a connection that waited to be accepted when the listener closed ends so.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    writer.close()
    return False


class TestEnding:
    async def test_what_is_under_way_is_finished_and_nothing_new_begun(
        self, start_api: StartApi, caller: Caller, receiver: Receiver
    ) -> None:
        api = await start_api().ready()
        hook = await integration(caller, api, receiver)
        receiver.hold = asyncio.Event()
        asking = asyncio.create_task(caller.post(f"{hook}/test"))
        await eventually(receiver.got(1), "the test is under way")

        api.signal()

        async def closed() -> bool:
            return await refused(api.url)

        await eventually(closed, "it listens no more")
        assert not asking.done()
        assert api.process.poll() is None
        receiver.hold.set()
        answer = await asking
        assert (answer.status, answer.document["data"]["succeeded"]) == (200, True)
        assert await api.ends() == 0
        assert '"api drained"' in api.output

    async def test_a_second_signal_hurries_it(self, start_api: StartApi, caller: Caller, receiver: Receiver) -> None:
        api = await start_api(EDW_WEBHOOK_TIMEOUT=f"{LONG}s", EDW_DRAIN_SECONDS=f"{LONG}s").ready()
        hook = await integration(caller, api, receiver)
        receiver.hold = asyncio.Event()
        asking = asyncio.create_task(caller.post(f"{hook}/test"))
        await eventually(receiver.got(1), "the test is under way")

        api.signal(signal.SIGINT)

        async def closed() -> bool:
            return await refused(api.url)

        await eventually(closed, "it drains")
        api.signal(signal.SIGINT)

        await api.ends()
        assert "Traceback" not in api.output
        # Whatever the answer, the caller is not left waiting.
        await asyncio.gather(asking, return_exceptions=True)

    async def test_a_drain_has_an_end(self, start_api: StartApi, caller: Caller, receiver: Receiver) -> None:
        api = await start_api(EDW_WEBHOOK_TIMEOUT=f"{LONG}s", EDW_DRAIN_SECONDS="1s").ready()
        hook = await integration(caller, api, receiver)
        receiver.hold = asyncio.Event()
        asking = asyncio.create_task(caller.post(f"{hook}/test"))
        await eventually(receiver.got(1), "the test is under way")

        assert await api.stop() == 0

        with pytest.raises(aiohttp.ClientError):
            await asking

    async def test_a_broker_that_says_nothing_keeps_nobody(
        self, start_api: StartApi, make_redis: Callable[..., RedisServer]
    ) -> None:
        broker = make_redis()
        broker.freeze()
        api = await start_api(EDW_BROKER_URL=broker.tcp_url).ready()

        assert await api.stop() == 0

        broker.thaw()


class TestStarting:
    @pytest.mark.parametrize("processes", ["1", "2"])
    async def test_a_port_that_is_taken_is_named_with_its_setting(self, start_api: StartApi, processes: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            api = start_api("--processes", processes, EDW_API_PORT=port)

            assert await api.ends() == 1

        assert f"EDW_API_PORT={port}" in api.output
        assert "in use" in api.output
        assert "Traceback" not in api.output

    @pytest.mark.parametrize("processes", ["1", "2"])
    async def test_without_a_redis_server_it_says_what_to_start(
        self, start_api: StartApi, tmp_path: Path, processes: str
    ) -> None:
        nowhere = {"EDW_REDIS_URL": "", "EDW_DATA_DIR": str(tmp_path / "nothing"), "EDW_API_PORT": str(free_port())}
        api = start_api("--processes", processes, **nowhere)

        assert await api.ends() == 3
        assert 'Start "edw dev"' in api.output

    async def test_another_versions_ledger_is_not_touched(self, start_api: StartApi, ledger: Ledger) -> None:
        await surgery.put_format(ledger, 99)

        api = start_api()

        assert await api.ends() == 1
        assert "format 99" in api.output
        assert "Traceback" not in api.output

    async def test_a_redis_server_that_is_away_is_waited_for(
        self, start_api: StartApi, caller: Caller, redis_server: RedisServer
    ) -> None:
        redis_server.stop()
        api = await start_api().ready()

        assert (await caller.get(f"{api.url}/healthz")).document["status"] == "ok"
        readiness = await caller.readiness(api)
        assert readiness["status"] == readiness["checks"]["ledger"]["status"] == "red"
        assert readiness["checks"]["ledger"]["why"]
        unanswered = await publish(caller, api)
        assert (unanswered.status, int(unanswered.headers["Retry-After"]) >= 1) == (503, True)

        redis_server.start()
        await caller.becomes(api, "degraded")
        assert (await publish(caller, api)).status == 202
        assert await api.stop() == 0


class TestTokens:
    async def test_every_process_takes_note_of_a_changed_and_of_a_revoked_token_that_it_knows(
        self, start_api: StartApi, session: aiohttp.ClientSession, ledger: Ledger
    ) -> None:
        apis = [await start_api().ready() for _ in range(2)]
        secret = make_secret()
        token = Token(new_id(), TokenKind.TOKEN, Role.PUBLISH, SCOPE, digest=digest_of(secret))
        await ledger.tokens.put(token)
        caller = Caller(session, written(token.id, secret))

        async def all_answer(*statuses: int) -> bool:
            return {(await publish(caller, api)).status for api in apis} <= set(statuses)

        assert await all_answer(202)
        await ledger.tokens.put(replace(token, role=Role.READ))
        await eventually(lambda: all_answer(403), "it may no longer publish")
        await ledger.tokens.revoke(token.id)
        # A process that answers 401 first limits further attempts.
        await eventually(lambda: all_answer(401, 429), "nobody knows it any more")


class TestReadiness:
    async def test_without_a_worker_it_is_degraded_and_with_one_it_is_well(
        self, start_api: StartApi, start_worker: StartWorker, caller: Caller, receiver: Receiver, ledger: Ledger
    ) -> None:
        api = await start_api().ready()
        await integration(caller, api, receiver)
        found = await caller.becomes(api, "degraded")
        assert {name: check["status"] for name, check in found["checks"].items()} == {
            "ledger": "ok",
            "broker": "ok",
            "workers": "degraded",
        }
        assert "edw worker" in found["checks"]["workers"]["why"]
        assert (await publish(caller, api)).status == 202

        await start_worker().ready()

        assert {check["status"] for check in (await caller.becomes(api, "ok"))["checks"].values()} == {"ok"}
        await eventually(receiver.got(1), "what was accepted before is delivered")

        async def settled() -> bool:
            return not (await ledger.status.read()).pending

        await eventually(settled, "it is settled")
        await balanced(ledger)

    async def test_without_its_broker_it_is_degraded_and_events_are_delivered_all_the_same(
        self, start_api: StartApi, start_worker: StartWorker, caller: Caller, receiver: Receiver
    ) -> None:
        api = await start_api(EDW_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0").ready()
        await start_worker().ready()
        await integration(caller, api, receiver)

        async def noticed() -> dict[str, Any] | None:
            found = await caller.readiness(api)
            return found if found["checks"]["broker"]["status"] == "degraded" else None

        found = await eventually(noticed, "the broker is seen to be away")
        assert (found["status"], found["checks"]["ledger"]["status"]) == ("degraded", "ok")
        assert "away" in found["checks"]["broker"]["why"]

        assert (await publish(caller, api)).status == 202
        await eventually(receiver.got(1), "it is delivered")
        assert await api.stop() == 0

    async def test_a_silent_redis_is_red_and_heals(
        self, start_api: StartApi, caller: Caller, redis_server: RedisServer
    ) -> None:
        api = await start_api().ready()
        await caller.becomes(api, "degraded")
        redis_server.freeze()

        # What was seen within the last second is what is said.
        found = await caller.becomes(api, "red")

        assert found["checks"]["ledger"]["status"] == "red"
        # It is Celery's broker, too.
        assert found["checks"]["broker"]["why"] == "unknown: it is the ledger's server"
        assert (await caller.get(f"{api.url}/healthz")).status == 200
        redis_server.thaw()
        await caller.becomes(api, "degraded")

    async def test_a_redis_server_at_its_memory_limit_is_red(
        self, start_api: StartApi, make_redis: Callable[..., RedisServer], session: aiohttp.ClientSession
    ) -> None:
        full = make_redis()
        ledger = Ledger(full.url)
        await ledger.open()
        caller = await caller_of(session, ledger)
        api = await start_api(EDW_REDIS_URL=full.url).ready()
        await caller.becomes(api, "degraded")

        full.limit_memory("1mb")

        found = await caller.becomes(api, "red")
        assert "memory" in found["checks"]["ledger"]["why"]
        assert (await publish(caller, api)).status == 503
        full.limit_memory(0)
        await caller.becomes(api, "degraded")

        async def taken() -> bool:
            return (await publish(caller, api)).status == 202

        await eventually(taken, "events are taken again")
        await ledger.close()


class TestSeveralProcesses:
    async def test_they_share_a_port_and_one_that_is_killed_is_started_again(
        self, start_api: StartApi, caller: Caller
    ) -> None:
        api = await start_api("--processes", "2", EDW_API_PORT=str(free_port())).ready()
        await eventually(lambda: api.output.count('"api ready"') >= 2, "both listen")
        first, second = api.children()

        first.kill()

        await eventually(lambda: "was killed by SIGKILL; it starts again" in api.output, "it is noticed")
        assert f"in {RESTART_BACKOFF.first:g} s" in api.output
        assert (await publish(caller, api)).status == 202
        await eventually(lambda: api.output.count('"api ready"') >= 3, "it is back")
        assert second.pid in {each.pid for each in api.children()}
        assert len(api.children()) == 2
        left = api.children()

        assert await api.stop() == 0
        assert not any(each.is_running() for each in left)
        assert await refused(api.url)

    async def test_they_need_a_port_of_their_own(self, start_api: StartApi) -> None:
        api = start_api("--processes", "2")

        assert await api.ends() == 2
        assert "EDW_API_PORT" in api.output
