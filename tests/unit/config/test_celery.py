import ssl
from typing import Any, cast

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS
from kombu.connection import Connection
from kombu.transport.redis import Channel, SentinelChannel

from config.celery import DELIVERY_LIMIT, INTAKE_QUEUE, broker_url_for, celery_options, intake_queues, is_rabbitmq
from config.settings import load_settings
from worker.ledger.key_names import intake_list

REDIS = "redis://localhost:6379/0"
RABBITMQ = "amqp://localhost//"
BROKERS = [REDIS, RABBITMQ]


def options(url: str, **overrides: Any) -> dict[str, Any]:
    return celery_options(load_settings(**overrides), url)


def app_of(url: str, **overrides: Any) -> Celery:
    app = Celery("test", set_as_current=False)
    app.conf.update(options(url, **overrides))
    return app


@pytest.mark.parametrize("url", BROKERS)
def test_every_option_is_one_that_celery_knows(url: str) -> None:
    assert set(options(url)) <= set(DEFAULTS)


def test_every_transport_option_is_one_that_kombu_knows() -> None:
    assert set(options(REDIS)["broker_transport_options"]) <= set(Channel.from_transport_options)
    assert options(RABBITMQ)["broker_transport_options"] == {"confirm_publish": True}


@pytest.mark.parametrize("url", BROKERS)
def test_messages_are_json_and_nothing_else(url: str) -> None:
    conf = app_of(url).conf
    assert conf.accept_content == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}


@pytest.mark.parametrize("url", BROKERS)
def test_a_task_is_acknowledged_late_and_leaves_no_result(url: str) -> None:
    conf = app_of(url).conf
    assert conf.task_acks_late
    assert conf.task_ignore_result
    assert conf.result_backend is None


@pytest.mark.parametrize("url", BROKERS)
@pytest.mark.parametrize(
    ("task", "queue"), [("worker.tasks.observe", "edw.events"), ("worker.tasks.deliver", "edw.deliveries")]
)
def test_a_task_goes_to_its_queue(url: str, task: str, queue: str) -> None:
    app = app_of(url)
    route = app.amqp.router.route({}, task)
    assert route["queue"].name == queue
    assert set(app.amqp.queues.consume_from) == {"edw.events", "edw.deliveries"}


@pytest.mark.parametrize("url", BROKERS)
def test_another_shard_has_queues_of_its_own(url: str) -> None:
    app = app_of(url, shard="eu-1")
    assert set(app.amqp.queues.consume_from) == {"edw.events.eu-1", "edw.deliveries.eu-1"}
    assert app.amqp.router.route({}, "worker.tasks.observe")["queue"].name == "edw.events.eu-1"
    assert app.conf.task_default_queue == "edw.events.eu-1"
    # What is unacknowledged is not restored by another shard's workers.
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    one, other = (options(REDIS, shard=shard)["broker_transport_options"] for shard in ("0", "eu-1"))
    assert not {one[name] for name in names} & {other[name] for name in names}


def test_a_queue_that_is_misspelt_is_an_error() -> None:
    with pytest.raises(Exception, match=r"edw\.event"):
        app_of(REDIS).amqp.router.route({"queue": "edw.event"}, "worker.tasks.observe")


def test_rabbitmq_has_quorum_queues_and_bounded_confirms() -> None:
    app = app_of(RABBITMQ)
    assert {queue.queue_arguments["x-queue-type"] for queue in app.amqp.queues.values()} == {"quorum"}
    events, deliveries = (app.amqp.queues[name].queue_arguments for name in ("edw.events", "edw.deliveries"))
    assert events["x-delivery-limit"] == deliveries["x-delivery-limit"] == DELIVERY_LIMIT
    assert events["x-dead-letter-routing-key"] == "edw.events.dead"
    route = app.amqp.router.route({}, "worker.tasks.deliver")
    assert (route["timeout"], route["confirm_timeout"]) == (5.0, 5.0)


def test_redis_has_plain_queues_and_no_options_that_it_does_not_know() -> None:
    app = app_of(REDIS)
    assert not any(queue.queue_arguments for queue in app.amqp.queues.values())
    assert set(app.amqp.router.route({}, "worker.tasks.deliver")) == {"queue"}


def test_the_pool_is_threads_as_many_as_the_settings_say() -> None:
    found = options(REDIS, celery_threads=7)
    assert (found["worker_pool"], found["worker_concurrency"], found["broker_pool_limit"]) == ("threads", 7, 8)


@pytest.mark.parametrize(
    ("ledger", "broker"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://localhost", "redis://localhost"),
        ("redis://:p%40ss@h:1/2?protocol=3&socket_timeout=5", "redis://:p%40ss@h:1/2"),
        ("redis://h:1?db=3", "redis://h:1/3"),
        ("redis://h:1/2?db=3", "redis://h:1/3"),
        ("rediss://h:1/0", "rediss://h:1/0?ssl_cert_reqs=required"),
        ("rediss://h:1/0?ssl_cert_reqs=none", "rediss://h:1/0?ssl_cert_reqs=none"),
        ("unix:///run/r.sock?db=0", "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix://me:p%40ss@/run/r.sock?db=2", "redis+socket://me:p%40ss@/run/r.sock?virtual_host=2"),
        ("unix:///run/r.sock?password=p%40ss", "redis+socket://:p%40ss@/run/r.sock?virtual_host=0"),
        ("redis+socket:///run/r.sock?virtual_host=0", "redis+socket:///run/r.sock?virtual_host=0"),
        ("amqp://user:p@h:5672//", "amqp://user:p@h:5672//"),
    ],
)
def test_a_redis_url_is_put_into_kombus_words(ledger: str, broker: str) -> None:
    assert broker_url_for(ledger) == broker
    assert broker_url_for(broker) == broker, "what kombu understands already stays"


def parameters(url: str) -> dict[str, Any]:
    """What kombu would open a connection to Redis with. Nothing is dialled."""
    found = options(url)
    connection = Connection(found["broker_url"], transport_options=found["broker_transport_options"])
    channel = Channel.__new__(Channel)
    channel.connection = connection.transport
    for name, value in found["broker_transport_options"].items():
        setattr(channel, name, value)
    parameters: dict[str, Any] = channel._connparams()
    return parameters


def test_kombu_dials_the_socket_that_redis_py_names() -> None:
    found = parameters("unix://me:p%40ss@/run/r.sock?db=2")
    assert (found["path"], int(found["db"]), found["username"], found["password"]) == ("/run/r.sock", 2, "me", "p@ss")
    assert found["socket_timeout"] == 5.0


def test_kombu_verifies_a_tls_server() -> None:
    assert parameters("rediss://h:1/0")["ssl_cert_reqs"] == ssl.CERT_REQUIRED


def test_kombu_gives_up_on_a_silent_redis() -> None:
    found = parameters(REDIS)
    assert (found["socket_timeout"], found["socket_connect_timeout"], found["socket_keepalive"]) == (5.0, 2.0, True)


def test_kombu_gets_each_sentinel_and_of_what_they_watch() -> None:
    found = options("sentinel://:p%40ss@a:26379,b/1?service=mymaster&sentinel_password=w")
    assert found["broker_url"] == "sentinel://:p%40ss@a:26379/1;sentinel://:p%40ss@b:26379/1"
    reported = found["broker_transport_options"]
    assert reported["master_name"] == "mymaster"
    assert (reported["sentinel_kwargs"]["password"], reported["socket_timeout"]) == ("w", 5.0)
    assert set(reported) <= set(SentinelChannel.from_transport_options)
    with Connection(found["broker_url"], transport_options=reported) as connection:
        assert connection.as_uri() == "sentinel://:**@a:26379/1"


@pytest.mark.parametrize(
    ("url", "answer"),
    [("amqp://h//", True), ("amqps://h", True), ("pyamqp://h", True), (REDIS, False), ("unix:///run/r.sock", False)],
)
def test_a_broker_is_rabbitmq_by_its_url(url: str, answer: bool) -> None:
    assert is_rabbitmq(url) is answer


def test_the_plain_queue_lasts_is_reached_by_its_name_and_sets_aside_what_kills_its_readers() -> None:
    # kombu's annotations do not know what they are made of.
    queue, dead = cast("tuple[Any, Any]", intake_queues("0"))
    assert (queue.name, dead.name) == ("edw.intake", "edw.intake.dead")
    assert [each.exchange.name for each in (queue, dead)] == ["", ""]
    assert all(each.durable and each.queue_arguments["x-queue-type"] == "quorum" for each in (queue, dead))
    assert queue.queue_arguments["x-dead-letter-routing-key"] == dead.name
    assert [each.name for each in intake_queues("eu-1")] == ["edw.intake.eu-1", "edw.intake.eu-1.dead"]


def test_the_plain_queue_is_called_the_same_on_both_brokers() -> None:
    assert all(intake_list(shard) == intake_queues(shard)[0].name for shard in ("0", "eu-1"))


def test_celery_does_not_read_the_plain_queue() -> None:
    assert INTAKE_QUEUE not in {queue.name for queue in options("amqp://h")["task_queues"]}
