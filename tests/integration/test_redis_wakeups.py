"""Wake-ups straight to a Redis broker: workers take them, their queues have an end, and a broker may be away."""

import inspect
from collections.abc import AsyncIterator, Sequence

import pytest
from celery import Celery

from config.celery import EVENTS_QUEUE, celery_options
from config.settings import Settings
from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from worker.intake import wakeup_message
from worker.intake.redis_wakeups import AsyncRedisWakeupSender, RedisWakeupSender, speaks_redis
from worker.intake.wakeups import EVENTS, LANES, BrokerUnavailable

Sender = RedisWakeupSender | AsyncRedisWakeupSender


@pytest.fixture(params=[RedisWakeupSender, AsyncRedisWakeupSender], ids=["thread", "loop"])
async def sender(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Sender]:
    made: Sender = request.param(redis_server.url, "0", limit=3)
    yield made
    await closed(made)


async def send(sender: Sender, kind: str, ids: Sequence[str]) -> None:
    sent = sender(kind, ids)
    if inspect.isawaitable(sent):
        await sent


async def closed(sender: Sender) -> None:
    closing = sender.close()
    if inspect.isawaitable(closing):
        await closing


@pytest.fixture
def app(redis_server: RedisServer) -> Celery:
    made = Celery("test", set_as_current=False)
    made.conf.update(celery_options(Settings(), redis_server.url))
    return made


def taken(app: Celery) -> list[list[str]]:
    """The ids of each waiting message, as Celery's own client takes it from the queue."""
    found = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        while (message := channel.basic_get(EVENTS_QUEUE)) is not None:
            _, arguments, _ = message.decode()
            assert message.headers["task"] == "worker.tasks.observe"
            found.append(arguments["event_ids"])
            message.ack()
    return found


async def test_celery_takes_them(sender: Sender, app: Celery) -> None:
    await send(sender, EVENTS, ["a", "b"])
    await send(sender, EVENTS, ["c"])
    assert taken(app) == [["a", "b"], ["c"]]


async def test_a_queue_that_nobody_reads_is_added_to_again_once_it_is_read(
    sender: Sender, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup_message, "LOOK_SECONDS", 3600.0)
    for number in range(10):
        await send(sender, EVENTS, [f"e-{number}"])
    assert taken(app) == [["e-0"], ["e-1"], ["e-2"]]

    # It is not looked at before its time.
    await send(sender, EVENTS, ["withheld"])
    assert taken(app) == []

    monkeypatch.setattr(wakeup_message, "LOOK_SECONDS", 0.0)
    await send(sender, EVENTS, ["later"])
    assert taken(app) == [["later"]]


async def test_a_full_queue_does_not_hold_back_the_other(sender: Sender, redis_server: RedisServer) -> None:
    for number in range(5):
        await send(sender, EVENTS, [f"e-{number}"])
        await send(sender, LANES, [f"l-{number}"])
    assert (sender._levels[EVENTS].waiting, sender._levels[LANES].waiting) == (3, 3)


@pytest.mark.parametrize("kind", [RedisWakeupSender, AsyncRedisWakeupSender], ids=["thread", "loop"])
async def test_a_broker_that_is_away_is_unavailable(kind: type[Sender]) -> None:
    sender = kind(f"redis://127.0.0.1:{free_port()}/0", "0")
    with pytest.raises(BrokerUnavailable, match=r"Redis at 127\.0\.0\.1"):
        await send(sender, EVENTS, ["a"])
    await closed(sender)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("redis://h:6379/0", True),
        ("redis://user:word@h/0?db=3", True),
        ("rediss://h/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required", True),
        ("unix:///run/redis.sock?db=1", True),
        ("sentinel://a,b/0?service=mymaster", True),
        ("sentinel://a;sentinel://b?service=mymaster", True),
        # kombu's own forms, which redis-py does not know.
        ("redis+socket:///run/redis.sock?virtual_host=1", False),
        ("redis://a/0;redis://b/0", False),
        ("rediss://h/0?ssl_cert_reqs=CERT_REQUIRED", False),
        ("redis://h/0?visibility_timeout=5", False),
        ("amqp://h", False),
        ("amqps://h", False),
    ],
)
def test_which_brokers_are_sent_to_without_celery(url: str, answer: bool) -> None:
    assert speaks_redis(url) is answer
