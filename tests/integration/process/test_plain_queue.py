"""The plain queue `edw.intake`, from a producer's bytes to a receiver: on Redis and on RabbitMQ."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from amqp.exceptions import NotFound
from kombu.connection import Connection

from config.celery import DELIVERY_LIMIT, INTAKE_QUEUE, intake_queues
from tests.counterparts.freezing import freeze, thaw
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, counted
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.producers import count_on_list, push_to_list
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.format_version import MINOR
from worker.ledger import Ledger
from worker.ledger.events.inbox import RejectedMessage

EXACT = '{"type":"order","id":"o-1","total":10.00,"n":123456789012345678901234567890}'
CLOUDEVENT = {
    "specversion": "1.0",
    "type": "order.paid",
    "source": "https://shop.example",
    "storeid": SCOPE.store_id,
    "orgid": SCOPE.org_id,
}


#: So that a message that is taken twice would be two events.
WITHOUT_ID = json.dumps(order_paid())
#: So many that a worker is in the middle of it for a while.
BACKLOG = 6_000


def plain(event_id: str) -> str:
    return json.dumps(order_paid(id=event_id))


def cloudevent(event_id: str) -> str:
    """With data that a number of a programming language would spoil."""
    return json.dumps(CLOUDEVENT | {"id": event_id})[:-1] + f', "data": {EXACT}}}'


@dataclass
class OnRedis:
    """A producer that speaks Redis."""

    server: RedisServer
    ledger: Ledger
    changes: dict[str, str]

    async def push(self, *messages: str | bytes) -> None:
        push_to_list(self.server.url, *messages)

    async def left(self) -> int:
        """Messages that are on the queue, or in somebody's hands."""
        return count_on_list(self.server.url) + await inspection.messages_in_hand(self.ledger)


@dataclass
class OnRabbit:
    """A producer that speaks AMQP, by the default exchange."""

    server: RabbitServer
    vhost: str
    #: What a worker is started with, so that it reads there.
    changes: dict[str, str]

    @contextmanager
    def channel(self) -> Iterator[Any]:
        with Connection(self.server.url(self.vhost), transport_options={"confirm_publish": True}) as connection:
            yield connection.channel()

    async def push(self, *messages: str | bytes, message_id: str = "", **properties: Any) -> None:
        self._await_queue()
        with self.channel() as channel:
            for body in messages:
                raw = body if isinstance(body, bytes) else body.encode()
                rest = {"delivery_mode": 2, **({"message_id": message_id} if message_id else {})}
                message = channel.prepare_message(raw, properties=rest, **properties)
                channel.basic_publish(message, exchange="", routing_key=INTAKE_QUEUE, mandatory=True)

    def _await_queue(self) -> None:
        """Declare the queue if there is none: a worker that is ready may not have declared it yet."""
        try:
            with self.channel() as channel:
                channel.queue_declare(INTAKE_QUEUE, passive=True)
        except NotFound:
            self.declare()

    def declare(self) -> None:
        """What a worker's first start does."""
        with self.channel() as channel:
            for queue in intake_queues("0"):
                queue(channel).queue_declare()

    async def left(self) -> int:
        """Messages that nobody has in hand, on the queue or on that of the dead ones."""
        with self.channel() as channel:
            queues = (INTAKE_QUEUE, f"{INTAKE_QUEUE}.dead")
            return sum(channel.queue_declare(name, passive=True).message_count for name in queues)

    async def unread(self) -> bool:
        """True once RabbitMQ knows that no worker reads any more: what was not acknowledged is back."""
        with self.channel() as channel:
            return bool(channel.queue_declare(INTAKE_QUEUE, passive=True).consumer_count == 0)


Producer = OnRedis | OnRabbit


@pytest.fixture
def on_redis(redis_server: RedisServer, ledger: Ledger) -> OnRedis:
    return OnRedis(redis_server, ledger, {})


@pytest.fixture
def on_rabbit(rabbit: RabbitServer, vhost: str) -> OnRabbit:
    return OnRabbit(rabbit, vhost, {"EDW_BROKER_URL": rabbit.url(vhost)})


@pytest.fixture(params=["on_redis", "on_rabbit"])
def producer(request: pytest.FixtureRequest) -> Producer:
    found: Producer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def full(redis_server: RedisServer) -> Iterator[Callable[[bool], None]]:
    """Has Redis at its memory limit, or not."""

    def put(is_full: bool) -> None:
        redis_server.limit_memory(redis_server.used_memory() if is_full else 0)

    yield put
    put(False)


@pytest.fixture
def accepting(redis_server: RedisServer) -> Iterator[Callable[[bool], None]]:
    """Lets messages be taken and not accepted, or both."""

    def put(may: bool) -> None:
        redis_server.permit("mget", may)

    yield put
    put(True)


async def rejected(ledger: Ledger, count: int) -> Sequence[RejectedMessage]:
    """The refusals, once there are so many."""

    async def found() -> Sequence[RejectedMessage] | None:
        entries = await ledger.inbox.rejected(1_000)
        return entries if len(entries) >= count else None

    entries: Sequence[RejectedMessage] = await eventually(found, f"{count} are rejected")
    return entries


async def accepted(ledger: Ledger, count: int) -> None:
    await eventually(lambda: counted(ledger, "accepted", count), f"{count} events are accepted")


async def left(producer: Producer) -> int:
    """Messages that are not done with, once the workers have stopped."""
    if isinstance(producer, OnRabbit):
        await eventually(producer.unread, "the workers have left")
    return await producer.left()


def ids(receiver: Receiver) -> list[str]:
    return sorted(each.body["id"] for each in receiver.received)


async def test_events_cloudevents_and_batches_arrive_and_what_is_bad_is_kept_once(
    producer: Producer, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    worker = await start_worker(**producer.changes, EDW_EVENT_MAX_BYTES="4KiB").ready()
    await producer.push(plain("plain"), cloudevent("cloud"), f"[{plain('first')}, {cloudevent('second')}]", "[]")
    bad: list[str | bytes] = [
        b"",
        "{",
        b"\xff\xfe",
        pickle.dumps({"type": "order.paid"}),
        json.dumps(order_paid(type="order.payed")),
        json.dumps(order_paid(id="large", data={"note": "x" * 5_000})),
        cloudevent("").replace('"id": ""', '"id": 5'),
        "[" + ",".join(["{}"] * 1_001) + "]",
        f'[{plain("neighbour")}, {{"data": {{}}}}]',
    ]
    await producer.push(*bad)

    await eventually(receiver.got(5), "the good ones arrive")
    entries = await rejected(ledger, len(bad))
    assert await worker.stop() == 0
    assert await left(producer) == 0
    assert ids(receiver) == ["cloud", "first", "neighbour", "plain", "second"]
    raws = {each.body["id"]: each.raw for each in receiver.received}
    assert all(EXACT.encode() in raws[each] for each in ("cloud", "second"))
    assert len(entries) == len(bad) == (await ledger.status.read()).counter("rejected")
    reasons = " | ".join(sorted(f"{each.field}: {each.reason}" for each in entries))
    for words in (
        "is not JSON",
        "is not UTF-8",
        "order.paid",
        "4,096",
        "id: expected a string",
        "more than 1,000 events",
        "type: is req",
    ):
        assert words in reasons
    assert {each.source for each in entries} == {INTAKE_QUEUE}
    await balanced(ledger)


async def test_a_message_without_an_end_holds_up_no_worker(
    producer: Producer, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    """Each of these took a worker's loop for a minute, and then the next worker's."""
    await register()
    worker = await start_worker(**producer.changes).ready()
    begins = b'{"type":"order.paid","data":{"a":' + b"[" * 101
    endless = b'"' + b'\\"' * 250_000
    attacks = [begins + endless, begins + b"\\" * 500_000, b'[{"a":' + b"[" * 90 + endless]
    await producer.push(*attacks, plain("behind"))

    await eventually(receiver.got(1), "the event behind them arrives")
    entries = await rejected(ledger, len(attacks))
    assert await worker.stop() == 0
    assert ids(receiver) == ["behind"]
    assert len(entries) == len(attacks)


async def test_messages_that_came_while_no_worker_ran_are_taken_when_one_starts(
    producer: Producer, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    if isinstance(producer, OnRabbit):
        producer.declare()
    await producer.push(*(plain(f"e-{n}") for n in range(500)))
    worker = await start_worker(**producer.changes).ready()
    await eventually(receiver.got(500), "all arrive")
    assert len(set(ids(receiver))) == 500
    assert await worker.stop() == 0
    assert await left(producer) == 0
    await balanced(ledger)


async def test_a_message_that_needs_a_newer_build_stays_in_the_queue_and_holds_up_no_other(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, producer: Producer
) -> None:
    await register()
    if isinstance(producer, OnRabbit):
        producer.declare()
    worker = await start_worker(**producer.changes).ready()
    newer = json.dumps(order_paid(id="newer", edw_minor=MINOR + 1))
    await producer.push(newer, f"[{plain('beside')},{newer}]", plain("known"))
    await eventually(receiver.got(1), "what it understands arrives")
    await eventually(lambda: worker.said('"left to a newer version"'), "it leaves the others")
    await producer.push(plain("behind"))
    await eventually(receiver.got(2), "others are not held up")
    assert await worker.stop() == 0
    assert await left(producer) == 2
    assert sorted(ids(receiver)) == ["behind", "known"]
    assert (await ledger.status.read()).rejected == 0


async def test_a_worker_that_has_nothing_to_read_is_woken_at_once(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, producer: Producer
) -> None:
    await register()
    await start_worker(**producer.changes).ready()
    for n in range(20):
        await producer.push(plain(f"e-{n}"))
        await eventually(receiver.got(n + 1), "it arrives")


async def test_kill_9_of_a_worker_that_has_taken_messages_loses_and_doubles_nothing(
    start_worker: StartWorker, ledger: Ledger, on_redis: OnRedis, accepting: Callable[[bool], None]
) -> None:
    workers = [start_worker() for _ in range(2)]
    for worker in workers:
        # A worker that may not accept from the start waits until it may.
        await worker.ready()
    accepting(False)
    await on_redis.push(*[WITHOUT_ID] * 500)
    for worker in workers:
        await eventually(lambda: inspection.list_readers(ledger), "one has taken messages")
        worker.kill()
        assert await on_redis.left() == 500
    accepting(True)
    await start_worker().ready()
    await eventually(lambda: counted(ledger, "unmatched", 500), "all are observed")
    assert await on_redis.left() == 0
    assert (await ledger.status.read()).counter("accepted") == 500
    await balanced(ledger)


async def test_one_that_was_frozen_for_longer_than_its_lease_takes_nothing_twice(
    start_worker: StartWorker, ledger: Ledger, on_redis: OnRedis, accepting: Callable[[bool], None]
) -> None:
    frozen = await start_worker().ready()
    accepting(False)
    await on_redis.push(*[WITHOUT_ID] * 500)
    await eventually(lambda: inspection.list_readers(ledger), "it has taken messages")
    freeze(frozen.pid)
    accepting(True)
    other = await start_worker().ready()
    await eventually(lambda: other.said("messages given back that a dead worker had taken"), "it is taken for dead")
    await accepted(ledger, 500)
    thaw(frozen.pid)
    await on_redis.push(WITHOUT_ID)
    await accepted(ledger, 501)
    assert await frozen.stop() == 0
    assert await on_redis.left() == 0
    assert (await ledger.status.read()).counter("accepted") == 501


async def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_taken(
    start_worker: StartWorker, ledger: Ledger, on_redis: OnRedis, accepting: Callable[[bool], None]
) -> None:
    worker = await start_worker().ready()
    accepting(False)
    await on_redis.push(*[WITHOUT_ID] * 500)
    await eventually(lambda: inspection.list_readers(ledger), "it has taken messages")
    assert await worker.stop() == 0
    assert count_on_list(on_redis.server.url) == 500
    assert (await ledger.status.read()).processes == 0


async def test_workers_killed_at_any_moment_double_nothing_of_a_list(
    start_worker: StartWorker, ledger: Ledger, on_redis: OnRedis
) -> None:
    await on_redis.push(*[WITHOUT_ID] * BACKLOG)
    for target in (1, 1_000, 2_500):
        worker = start_worker()
        await accepted(ledger, target)
        worker.kill()
    await start_worker().ready()
    await eventually(lambda: counted(ledger, "unmatched", BACKLOG), "all are observed")
    assert await on_redis.left() == 0
    assert (await ledger.status.read()).counter("accepted") == BACKLOG


async def test_workers_killed_at_any_moment_lose_nothing_of_a_rabbitmq(
    on_rabbit: OnRabbit, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    on_rabbit.declare()
    await on_rabbit.push(*(plain(f"e-{n}") for n in range(1_500)))
    for target in (1, 500):
        worker = await start_worker(**on_rabbit.changes).ready()
        await accepted(ledger, target)
        worker.kill()
    last = await start_worker(**on_rabbit.changes).ready()
    await accepted(ledger, 1_500)
    # With ids, those that were not acknowledged in time were duplicates.
    await eventually(lambda: len(set(ids(receiver))) == 1_500, "all arrive")
    assert await last.stop() == 0
    assert await left(on_rabbit) == 0
    assert (await ledger.status.read()).counter("accepted") == 1_500


async def test_a_worker_stops_although_the_ledger_is_full_and_the_queue_keeps_what_it_has(
    producer: Producer,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    full: Callable[[bool], None],
) -> None:
    await register()
    if isinstance(producer, OnRabbit):
        producer.declare()
    await producer.push(*(plain(f"e-{n}") for n in range(300)))
    full(True)
    worker = start_worker(**producer.changes, EDW_DRAIN_SECONDS="1s")
    # The list, by its reader; messages of RabbitMQ, by the consumer that has them.
    words = "waits for the ledger" if isinstance(producer, OnRedis) else "waiting for the ledger"
    await eventually(lambda: worker.said(words), "it waits")
    assert await worker.stop() == 0
    assert await left(producer) == 300

    full(False)
    worker = await start_worker(**producer.changes).ready()
    await eventually(receiver.got(300), "another worker takes them")
    assert await worker.stop() == 0
    assert await left(producer) == 0
    assert (await ledger.status.read()).counter("accepted") == 300


async def test_sigterm_with_a_ledger_that_says_nothing_keeps_messages_on_rabbitmq(
    on_rabbit: OnRabbit,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    redis_server: RedisServer,
) -> None:
    await register()
    worker = await start_worker(**on_rabbit.changes, EDW_DRAIN_SECONDS="1s").ready()
    redis_server.freeze()
    await on_rabbit.push(*(plain(f"e-{n}") for n in range(300)))
    await eventually(lambda: _is_read(on_rabbit), "the worker has some of them")
    assert await worker.stop() == 0
    assert await left(on_rabbit) == 300
    redis_server.thaw()
    worker = await start_worker(**on_rabbit.changes).ready()
    await eventually(lambda: len(set(ids(receiver))) == 300, "another worker takes them")
    assert await worker.stop() == 0
    assert await left(on_rabbit) == 0
    assert (await ledger.status.read()).counter("accepted") == 300


async def test_sigterm_while_messages_are_taken_finishes_or_gives_back(
    start_worker: StartWorker, ledger: Ledger, on_redis: OnRedis
) -> None:
    await on_redis.push(*[WITHOUT_ID] * BACKLOG)
    worker = start_worker()
    await accepted(ledger, 1)
    assert await worker.stop() == 0
    status = await ledger.status.read()
    waiting = count_on_list(on_redis.server.url)
    assert status.counter("accepted") + waiting == BACKLOG
    assert status.processes == 0
    assert await on_redis.left() == waiting


async def test_a_rabbitmq_that_comes_later_is_read_and_one_that_goes_is_read_again(
    on_rabbit: OnRabbit, on_redis: OnRedis, start_worker: StartWorker, receiver: Receiver, register: Register
) -> None:
    await register()
    on_rabbit.declare()
    on_rabbit.server.stop()
    worker = start_worker(**on_rabbit.changes)
    await eventually(lambda: worker.said("the plain queue's broker is away"), "it says that it waits")
    # Meanwhile the other queue is read.
    await on_redis.push(plain("by redis"))
    await eventually(receiver.got(1), "by Redis")
    on_rabbit.server.start()
    await on_rabbit.push(plain("later"))
    await eventually(receiver.got(2), "it is read when it comes")
    on_rabbit.server.kill()
    await eventually(lambda: _times(worker, "broker is away") == 2, "it is away again")
    # The connection was lost first, and is refused now.
    await eventually(lambda: worker.said("the plain queue is still not read"), "it says what else it meets")
    on_rabbit.server.start()
    await on_rabbit.push(plain("again"))
    await eventually(receiver.got(3), "it is read again")
    assert ids(receiver) == ["again", "by redis", "later"]
    assert (_times(worker, "broker is away"), _times(worker, "broker is back")) == (2, 2)
    assert await worker.stop() == 0


async def test_a_worker_starts_and_stops_beside_a_rabbitmq_that_says_nothing(
    on_rabbit: OnRabbit, on_redis: OnRedis, start_worker: StartWorker, receiver: Receiver, register: Register
) -> None:
    await register()
    on_rabbit.server.freeze()
    worker = start_worker(**on_rabbit.changes, EDW_DRAIN_SECONDS="1s")
    await eventually(lambda: worker.said("the plain queue's broker is away"), "it says that it waits")
    await on_redis.push(plain("by redis"))
    await eventually(receiver.got(1), "by Redis")
    assert await worker.stop() == 0


async def test_a_cloudevent_in_binary_mode_has_its_attributes_in_the_properties(
    on_rabbit: OnRabbit, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    await start_worker(**on_rabbit.changes).ready()
    headers = {f"cloudEvents:{name}": value for name, value in (CLOUDEVENT | {"id": "binary"}).items()}
    await on_rabbit.push(EXACT, content_type="application/json", headers=headers)
    await on_rabbit.push("<xml/>", content_type="text/xml", headers=headers)
    await on_rabbit.push(cloudevent("structured"), content_type="application/cloudevents+json", headers=headers)
    await eventually(receiver.got(2), "both arrive")
    assert ids(receiver) == ["binary", "structured"]
    (entry,) = await rejected(ledger, 1)
    assert entry.field == "datacontenttype"


async def test_an_event_without_an_id_has_its_messages(
    on_rabbit: OnRabbit, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    await start_worker(**on_rabbit.changes).ready()
    event = json.dumps(order_paid())
    for _ in range(2):
        await on_rabbit.push(event, message_id="m-1")
        await on_rabbit.push(f"[{event}, {event}]", message_id="m-2")
    await on_rabbit.push(event)
    await eventually(receiver.got(4), "four events of five messages")
    await eventually(lambda: counted(ledger, "duplicates", 3), "those that came again are duplicates")
    assert "m-1" in ids(receiver)


async def test_a_queue_that_a_producer_declared_otherwise_is_read_as_it_is(
    on_rabbit: OnRabbit, start_worker: StartWorker, receiver: Receiver, register: Register
) -> None:
    await register()
    with on_rabbit.channel() as channel:
        channel.queue_declare(INTAKE_QUEUE, durable=True, auto_delete=False)
    await on_rabbit.push(plain("classic"))
    worker = await start_worker(**on_rabbit.changes).ready()
    await eventually(receiver.got(1), "it arrives")
    assert worker.said("cannot declare the plain queue; reading it as it is")


async def test_a_message_whose_readers_die_again_and_again_is_set_aside_and_not_lost(on_rabbit: OnRabbit) -> None:
    on_rabbit.declare()
    await on_rabbit.push(plain("deadly"))
    with on_rabbit.channel() as channel:
        for _ in range(DELIVERY_LIMIT + 1):
            message = await eventually(lambda: channel.basic_get(INTAKE_QUEUE), "it is delivered")
            channel.basic_reject(message.delivery_tag, requeue=True)
        dead = await eventually(lambda: channel.basic_get(f"{INTAKE_QUEUE}.dead"), "it is set aside")
        assert dead.body == plain("deadly").encode()
        assert channel.basic_get(INTAKE_QUEUE) is None


async def test_a_message_with_a_foreign_encoding_or_compression_is_kept(
    on_rabbit: OnRabbit, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger
) -> None:
    await register()
    await start_worker(**on_rabbit.changes).ready()
    await on_rabbit.push(plain("as text"), content_encoding="utf-8", content_type="text/plain")
    await on_rabbit.push(plain("ignored").encode("utf-16"), content_encoding="utf-16")
    await on_rabbit.push(b"\x1f\x8b\x08", content_encoding="gzip", headers={"compression": "application/x-gzip"})
    await eventually(receiver.got(1), "the text arrives")
    assert len(await rejected(ledger, 2)) == 2


async def _is_read(producer: OnRabbit) -> bool:
    return await producer.left() < 300


def _times(worker: WorkerProcess, text: str) -> int:
    return worker.log.read_text(errors="replace").count(text)
