"""The Publisher as a producer's program uses it."""

import asyncio
import gc
import multiprocessing

import pytest
import redis

from config.settings import Settings, load_settings
from tests.counterparts.redis_server import RedisServer
from tests.turns import counted_turns
from tests.waiting import wait_until
from worker import publisher as publisher_module
from worker.event_loop.pacing import STEP_PARTS
from worker.ledger import Ledger, LedgerUnavailable
from worker.publisher import EventRefused, Publisher, Receipt

EVENT = {"type": "order.paid", "data": {"type": "order", "id": "o-1"}}


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return load_settings(redis_url=redis_server.url)


def test_it_answers_for_each_event_in_its_order(settings: Settings) -> None:
    with Publisher(settings) as publisher:
        first, bad, again = publisher.publish_many([{**EVENT, "id": "a"}, {"type": "order.paid"}, {**EVENT, "id": "a"}])
    assert first == Receipt("a")
    assert str(bad).startswith("data: is required")
    assert again == Receipt("a", duplicate=True)


def test_a_bad_event_alone_raises_and_names_its_field(settings: Settings) -> None:
    with Publisher(settings) as publisher, pytest.raises(EventRefused, match="data: expected an object"):
        publisher.publish({"type": "order.paid", "data": "a string"})


@pytest.mark.parametrize("given", [EVENT, b"{}", "{}"])
def test_one_event_where_several_are_expected_is_a_mistake_that_is_reported(settings: Settings, given: object) -> None:
    with Publisher(settings) as publisher, pytest.raises(TypeError):
        publisher.publish_many(given)  # type: ignore[arg-type]


async def test_an_event_without_an_end_is_refused_at_once(settings: Settings) -> None:
    endless = b'{"type":"order.paid","data":{"a":' + b"[" * 101 + b'"' + b'\\"' * 250_000
    async with Publisher(settings) as publisher:
        bad, good = await publisher.apublish_many([endless, {**EVENT, "id": "a"}])
        assert publisher.publish_many([endless]) == [bad]
    assert "nested too deeply" in str(bad)
    assert good == Receipt("a")


async def test_many_events_are_parsed_in_steps(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Publisher(settings) as publisher, counted_turns() as turns:
        turns.count(monkeypatch, publisher_module, "parse_event")
        receipts = await publisher.apublish_many({**EVENT, "id": str(number)} for number in range(500))
    assert receipts == [Receipt(str(number)) for number in range(500)]
    assert turns.most <= STEP_PARTS


# The first loop was closed with its connections open, as asyncio.run() does.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_serves_one_event_loop_after_the_other(settings: Settings) -> None:
    publisher = Publisher(settings)
    receipts = [asyncio.run(publisher.apublish({**EVENT, "id": name})) for name in ("a", "b")]
    publisher.close()
    del publisher
    gc.collect()
    assert receipts == [Receipt("a"), Receipt("b")]


async def test_concurrent_calls_share_a_connection_pool(settings: Settings, ledger: Ledger) -> None:
    async with Publisher(settings) as publisher:
        await asyncio.gather(*(publisher.apublish({**EVENT, "id": f"e-{n}"}) for n in range(50)))
    assert (await ledger.status.read()).counter("accepted") == 50


def test_a_forked_child_announces_what_it_publishes(settings: Settings, redis_server: RedisServer) -> None:
    """As a prefork server does that made its publisher before it forked: threads do not come along."""
    with Publisher(settings) as publisher, redis.Redis.from_url(redis_server.url) as broker:
        publisher.publish({**EVENT, "id": "parent"})
        wait_until(lambda: broker.llen("edw.events") == 1, "the parent announces its event")
        child = multiprocessing.get_context("fork").Process(target=_publish_and_close, args=(publisher,))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert broker.llen("edw.events") == 2


def _publish_and_close(publisher: Publisher) -> None:
    assert publisher.publish({**EVENT, "id": "child"}) == Receipt("child")
    publisher.close()


def test_a_redis_server_that_is_away_is_said_with_its_address(make_redis: type[RedisServer]) -> None:
    redis_server = make_redis()
    settings = load_settings(redis_url=redis_server.tcp_url)
    redis_server.kill()
    with Publisher(settings) as publisher, pytest.raises(LedgerUnavailable, match=f"127.0.0.1:{redis_server.port}"):
        publisher.publish(EVENT)
