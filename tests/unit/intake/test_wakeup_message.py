"""A wake-up as a message of Celery, without Celery."""

import json
from base64 import b64decode
from typing import Any

import pytest
from celery import Celery

from config.celery import celery_options
from config.settings import Settings
from worker.intake.wakeup_message import LOOK_SECONDS, QueueLevel, queue_of, redis_message
from worker.intake.wakeup_sender import WakeupSender
from worker.intake.wakeups import EVENTS, LANES

URL = "redis://127.0.0.1:1/0"


@pytest.fixture
def app() -> Celery:
    """As our producers have it, with a broker in memory: it keeps messages in the envelope that Redis keeps."""
    made = Celery("test", set_as_current=False)
    options = {**celery_options(Settings(), URL), "broker_url": "memory://", "broker_transport_options": {}}
    made.conf.update(options)
    return made


def body(message: dict[str, Any]) -> Any:
    return json.loads(b64decode(message["body"]))


@pytest.mark.parametrize("kind", [EVENTS, LANES])
@pytest.mark.parametrize("shard", ["0", "eu-1"])
def test_it_says_what_celerys_own_says(app: Celery, kind: str, shard: str) -> None:
    app.conf.update(celery_options(Settings(shard=shard), URL), broker_url="memory://", broker_transport_options={})
    queue = queue_of(kind, shard)
    WakeupSender(app, shard)(kind, ["é-1", "e-2"])
    with app.connection_for_read() as connection:
        theirs = connection.default_channel._get(queue)
    ours = json.loads(redis_message(kind, ["é-1", "e-2"], shard, 0))

    assert body(ours) == body(theirs)
    for name in ("content-encoding", "content-type"):
        assert ours[name] == theirs[name]
    # What is left out has the default that it has in Celery's message, or is a text for people.
    for name, value in ours["headers"].items():
        assert value == theirs["headers"][name] or name in ("id", "root_id"), name
    left_out = set(theirs["headers"]) - set(ours["headers"])
    assert left_out == {
        *("group_index", "argsrepr", "kwargsrepr", "origin", "replaced_task_nesting", "stamped_headers", "stamps")
    }
    own = ("correlation_id", "delivery_tag")
    for name, value in ours["properties"].items():
        assert value == theirs["properties"][name] or name in own, name
    # The address of replies, which no wake-up has.
    assert set(theirs["properties"]) - set(ours["properties"]) == {"reply_to"}


def test_no_two_have_one_id() -> None:
    messages = [json.loads(redis_message(EVENTS, ["a"], "0", 0)) for _ in range(100)]
    assert len({each["headers"]["id"] for each in messages}) == 100
    assert len({each["properties"]["delivery_tag"] for each in messages}) == 100
    for each in messages:
        assert each["headers"]["id"] == each["headers"]["root_id"] == each["properties"]["correlation_id"]


def test_a_queue_is_full_at_its_limit_and_looked_at_again_after_a_while() -> None:
    level = QueueLevel(limit=3)
    assert not level.is_full
    assert not level.note(2, now=10.0)
    assert level.note(3, now=11.0)
    assert level.is_full
    assert not level.is_old(11.0 + LOOK_SECONDS / 2)
    assert level.is_old(11.0 + LOOK_SECONDS)
    assert level.note(0, now=13.0)
    assert not level.is_full
