"""The connection: formats, lost scripts, absent servers, replicas, and what is said of them."""

import asyncio
from collections.abc import Callable

import pytest
import redis.asyncio
import uvloop

from tests.counterparts.ports import free_port
from tests.counterparts.proxy import TcpProxy
from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.scene import LedgerScene
from tests.samples import an_event, an_integration
from worker.domain.format_version import FORMAT
from worker.ledger import Ledger, LedgerError, LedgerFault, LedgerFormatError, LedgerPolicy, LedgerUnavailable
from worker.ledger.connection import redis_client as redis_client_module
from worker.ledger.connection.sync_redis_client import SyncRedisClient
from worker.ledger.events.inbox import Acceptance, SyncInbox


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        (FORMAT + 1, f"has format {FORMAT + 1}, and this version uses format {FORMAT}: update this process"),
        (
            1,
            f"has format 1, and this version uses format {FORMAT}; there is no migration: have the old version deliver",
        ),
    ],
)
async def test_a_ledger_of_another_format_is_refused_and_the_error_says_what_to_do(
    scene: LedgerScene, redis_server: RedisServer, written: int, advice: str
) -> None:
    await scene.key("HSET", "meta", "format", written)
    with pytest.raises(LedgerFormatError, match=advice):
        await scene.another()
    sync = SyncRedisClient(redis_server.url, "0", LedgerPolicy())
    with pytest.raises(LedgerFormatError, match=advice):
        sync.open()
    sync.close()
    await scene.key("HSET", "meta", "format", FORMAT)


async def test_every_call_refuses_a_ledger_whose_format_changed_meanwhile_and_changes_nothing(
    scene: LedgerScene, redis_server: RedisServer
) -> None:
    await scene.register("i")
    (job,) = await scene.owe("i", "e-1")
    sync = SyncRedisClient(redis_server.url, "0", LedgerPolicy())
    sync.open()
    await scene.key("HSET", "meta", "format", FORMAT + 1)
    fleet = scene.ledger.fleet
    for call in (fleet.sweep, fleet.seize, fleet.expire, fleet.renew, lambda: scene.claim("i")):
        with pytest.raises(LedgerFormatError, match="update this process"):
            await call()
    with pytest.raises(LedgerFormatError, match="update this process"):
        await scene.publish("e-2")
    with pytest.raises(LedgerFormatError, match="update this process"):
        SyncInbox(sync).accept([an_event("e-3")])
    sync.close()
    await scene.key("HSET", "meta", "format", FORMAT)
    assert [claim.job_id for claim in await scene.claim("i")] == [job]


async def test_a_new_ledger_is_marked_with_its_format(scene: LedgerScene, redis_server: RedisServer) -> None:
    assert await scene.key("HGET", "meta", "format") == str(FORMAT).encode()
    redis_server.clear()
    sync = SyncRedisClient(redis_server.url, "0", LedgerPolicy())
    sync.open()
    sync.close()
    assert await scene.key("HGET", "meta", "format") == str(FORMAT).encode()


async def test_a_redis_server_that_is_too_old_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client_module, "OLDEST_SERVER", (99, 0))
    with pytest.raises(LedgerFormatError, match=r"is version \d+\.\d+\.\d+; 7.0 or later is needed"):
        await ledger.open()


async def test_scripts_that_redis_forgot_are_sent_again(scene: LedgerScene) -> None:
    await scene.ledger.inbox.accept([an_event("e-1")])
    await raw.client(scene.ledger).script_flush()
    assert await scene.ledger.inbox.accept([an_event("e-2")]) == [Acceptance.NEW]


async def test_a_redis_server_that_is_away_is_unavailable_and_its_password_stays_secret() -> None:
    port = free_port()
    away = Ledger(f"redis://:s3cr3t@127.0.0.1:{port}/0")
    with pytest.raises(LedgerUnavailable, match=f"Redis at 127.0.0.1:{port} does not answer") as raised:
        await away.open()
    assert "s3cr3t" not in str(raised.value)
    assert away.address == f"127.0.0.1:{port}"
    await away.close()


async def test_a_redis_server_that_is_frozen_is_unavailable_within_its_deadline(
    scene: LedgerScene, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client_module, "SOCKET_TIMEOUT", 0.2)
    impatient = await scene.another()
    redis_server.freeze()
    try:
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            await impatient.fleet.renew()
    finally:
        redis_server.thaw()
    assert isinstance(await impatient.fleet.renew(), bool)


async def test_a_redis_server_that_was_killed_has_everything_when_it_is_back(
    scene: LedgerScene, redis_server: RedisServer
) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    await scene.claim("i-1", room=1)
    before = await scene.contents()
    redis_server.kill()
    with pytest.raises(LedgerUnavailable):
        await scene.ledger.inbox.accept([an_event("e-3")])
    redis_server.start()
    after = await scene.contents()
    assert (after.hashes, after.sets, after.scores) == (before.hashes, before.sets, before.scores)


async def test_an_answer_waits_for_the_replicas_that_the_settings_ask_for(
    make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client_module, "REPLICA_WAIT", 500)
    primary = make_redis()
    replica = make_redis(replicaof=f"127.0.0.1 {primary.port}")
    careful = Ledger(primary.tcp_url, LedgerPolicy(wait_replicas=1))
    await careful.open()
    sync = SyncRedisClient(primary.url, "0", careful.policy)
    # The replica joins in its own time. WAIT covers only the writes of its own connection.
    joining = raw.client(careful).pipeline(transaction=False)
    joining.execute_command("SET", "joined", 1)
    joining.execute_command("WAIT", 1, 20_000)
    await joining.execute()

    assert await careful.inbox.accept([an_event("e-1")]) == [Acceptance.NEW]
    assert (await careful.integrations.put(an_integration())).integration.revision == 1
    assert SyncInbox(sync).accept([an_event("e-2")]) == [Acceptance.NEW]
    reader = Ledger(replica.tcp_url)
    assert (await raw.connection(reader).call("zcard", "inbox")) == 2
    with pytest.raises(LedgerUnavailable, match="it is a replica now"):
        await reader.fleet.renew()
    await reader.close()

    replica.stop()
    with pytest.raises(LedgerUnavailable, match="only 0 of 1 replicas confirmed the write within"):
        await careful.inbox.accept([an_event("e-3")])
    with pytest.raises(LedgerUnavailable, match="only 0 of 1"):
        await careful.integrations.put(an_integration("i-2"))
    with pytest.raises(LedgerUnavailable, match="only 0 of 1"):
        SyncInbox(sync).accept([an_event("e-4")])
    sync.close()
    await careful.close()


async def test_a_master_that_was_demoted_is_left_for_the_server_that_its_address_leads_to_now(
    make_redis: Callable[..., RedisServer],
) -> None:
    old, new = make_redis(), make_redis()
    async with TcpProxy(old.port) as proxy:
        ledger = Ledger(f"redis://127.0.0.1:{proxy.port}/0")
        sync = SyncRedisClient(f"redis://127.0.0.1:{proxy.port}/0", "0", LedgerPolicy())
        await ledger.open()
        await asyncio.to_thread(sync.open)
        # As a managed service does: the name leads elsewhere, and open connections do not notice.
        proxy.to = new.port
        await _demote(old, new)
        with pytest.raises(LedgerUnavailable, match="it is a replica now"):
            await ledger.fleet.renew()
        with pytest.raises(LedgerUnavailable, match="it is a replica now"):
            await asyncio.to_thread(SyncInbox(sync).accept, [an_event("e-1")])

        assert not await ledger.fleet.renew()
        assert await asyncio.to_thread(SyncInbox(sync).accept, [an_event("e-1")]) == [Acceptance.NEW]
        await ledger.close()
        sync.close()


async def test_connections_that_are_reset_are_unavailable_on_the_loop_that_workers_have(
    redis_server: RedisServer,
) -> None:
    """uvloop raises a RuntimeError for a connection that was closed a moment ago: no loop of ours waits for that."""

    async def call(url: str) -> list[BaseException | bool]:
        ledger = Ledger(url)
        answers: list[BaseException | bool] = []
        while len(answers) < 1_000:
            answers += await asyncio.gather(*(ledger.fleet.renew() for _ in range(20)), return_exceptions=True)
        await ledger.close()
        return answers

    async with TcpProxy(redis_server.port) as proxy:
        calls = asyncio.create_task(asyncio.to_thread(uvloop.run, call(f"redis://127.0.0.1:{proxy.port}/0")))
        while not calls.done():
            proxy.reset()
            await asyncio.sleep(0.003)
        answers = await calls
    raised = [answer for answer in answers if isinstance(answer, BaseException)]
    assert raised
    assert {type(each) for each in raised} == {LedgerUnavailable}


async def _demote(old: RedisServer, new: RedisServer) -> None:
    client = redis.asyncio.Redis.from_url(old.tcp_url)
    await client.replicaof("127.0.0.1", new.port)
    await client.aclose()


async def test_an_event_that_the_replicas_had_no_time_for_may_be_offered_again(
    make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client_module, "REPLICA_WAIT", 50)
    primary = make_redis()
    careful = Ledger(primary.url, LedgerPolicy(wait_replicas=1))
    await careful.open()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="replicas"):
            await careful.inbox.accept([an_event()])
    assert (await careful.status.read()).inbox == 1
    await careful.close()


async def test_status_shows_the_balance_and_the_lanes_that_have_work(scene: LedgerScene) -> None:
    assert (await scene.ledger.status.read()).lanes == ()
    await scene.register("due", "held", "leased", "idle")
    await scene.owe("due", "e-1", "e-2")
    await scene.owe("held", "e-3")
    await scene.disable("held")
    await scene.owe("leased", "e-4", "e-5")
    await scene.claim("leased", room=1)
    await scene.publish("in the inbox")
    (late,) = await scene.publish("overdue")
    await scene.key("ZADD", "inbox", await raw.now(scene.ledger) - 5_000, late.ref)

    status = await scene.ledger.status.read()
    assert {each.integration_id: (each.due, each.leased, each.held) for each in status.lanes} == {
        "due": (2, 0, False),
        "held": (1, 0, True),
        "leased": (1, 1, False),
    }
    assert all(0 <= each.oldest_due_age < 60_000 for each in status.lanes)
    assert (status.inbox, status.pending, status.processes, status.lanes_total, status.rejected) == (2, 5, 1, 3, 0)
    assert (status.events_balance, status.jobs_balance) == (0, 0)
    assert 5_000 <= status.inbox_overdue < 60_000
    assert status.memory_used > 0
    assert status.counter("no such counter") == 0
    assert len((await scene.ledger.status.read(lanes=1)).lanes) == 1


async def test_status_shows_a_lane_of_which_all_is_in_flight(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register("busy", "due")
    await scene.owe("busy", "e-1", "e-2", "e-3")
    assert len([*await scene.claim("busy", room=1), *await scene.claim("busy", by=other)]) == 3
    await scene.owe("due", "e-4")

    status = await scene.ledger.status.read()
    assert [(each.integration_id, each.due, each.leased) for each in status.lanes] == [("due", 1, 0), ("busy", 0, 3)]
    assert (status.pending, status.leased, status.lanes_total) == (4, 3, 2)


async def test_a_balance_that_does_not_add_up_shows(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    await scene.key("HINCRBY", "counters", "accepted", 2)
    await scene.key("HINCRBY", "counters", "succeeded", 3)
    status = await scene.ledger.status.read()
    assert (status.events_balance, status.jobs_balance) == (2, -3)
    await scene.key("HINCRBY", "counters", "accepted", -2)
    await scene.key("HINCRBY", "counters", "succeeded", -3)


async def test_whatever_the_redis_servers_client_raises_is_an_error_of_the_ledger(
    scene: LedgerScene, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new exception of redis-py that is not mapped at the edge would end a loop that waits for a LedgerError."""
    from redis import exceptions

    from worker.ledger.ledger_errors import Server
    from worker.ledger.redis_errors import mapped

    here = Server("here")

    infrastructure = [
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, exceptions.ConnectionError | exceptions.TimeoutError)
    ]
    assert len(infrastructure) > 5
    for kind in infrastructure:
        with pytest.raises(LedgerError), mapped(here):
            raise kind.__new__(kind)
    for text in ("LOADING x", "MASTERDOWN x", "MISCONF x", "NOREPLICAS x", "UNBLOCKED x", "BUSY x", "CLUSTERDOWN x"):
        with pytest.raises(LedgerUnavailable), mapped(here):
            raise exceptions.ResponseError(text)
    with pytest.raises(LedgerFault), mapped(here):
        raise exceptions.ResponseError("WRONGTYPE is a bug, and must not look like weather")


async def test_every_call_of_a_script_is_reported_to_the_observer_and_a_failed_one_as_failed(
    make_redis: Callable[..., RedisServer],
) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def observed(self, script: str, seconds: float) -> None:
            self.calls.append(script)

        def failed(self, script: str) -> None:
            self.calls.append(f"failed {script}")

        def left_to_newer(self, count: int) -> None:
            assert count == 0

    server, recorder = make_redis(), Recorder()
    ledger = Ledger(server.url, LedgerPolicy(wait_replicas=1), observer=recorder)
    await ledger.open()
    opening = ["permitted", "attend"]
    assert recorder.calls == opening, "only scripts are reported"
    await ledger.fleet.renew()
    with pytest.raises(LedgerUnavailable, match="only 0 of 1 replicas"):
        await ledger.inbox.accept([an_event()])
    server.kill()
    with pytest.raises(LedgerUnavailable):
        await ledger.fleet.renew()
    assert recorder.calls[2:] == ["renew", "accept", "failed renew", "renew"]
    await ledger.close()
