from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from yarl import URL

from deliverers.aws_sqs import AwsSqsConfiguration
from deliverers.aws_sqs.clients import BotocoreMaker, Client, Clients, UnusableAccess
from deliverers.aws_sqs.sqs_configuration import SqsAccess
from deliverers.aws_sqs.transport import Transport
from deliverers.contract import DelivererOptions


def access(number: int = 0) -> SqsAccess:
    return SqsAccess("https://sqs.eu-west-1.amazonaws.com/", "eu-west-1", f"id-{number}", "planted-secret")


@dataclass
class Made:
    """A client that knows whether it was closed."""

    access: SqsAccess
    closed: int = 0

    async def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        raise NotImplementedError

    async def close(self) -> None:
        self.closed += 1


@dataclass
class Scene:
    """A maker and a clock."""

    made: list[Made] = field(default_factory=list)
    now: float = 0.0

    async def make(self, access: SqsAccess) -> Client:
        await asyncio.sleep(0)
        self.made.append(Made(access))
        return self.made[-1]

    def clients(self, most: int = 3) -> Clients:
        return Clients(self.make, most, idle=300.0, clock=lambda: self.now)


async def test_those_who_want_the_same_share_one() -> None:
    scene = Scene()
    clients = scene.clients()

    async def use() -> Client:
        async with clients.of(access()) as client:
            await asyncio.sleep(0)
            return client

    assert len(set(map(id, await asyncio.gather(*(use() for _ in range(5)))))) == 1
    assert len(scene.made) == 1


async def test_an_idle_one_is_closed_and_made_again() -> None:
    scene = Scene()
    clients = scene.clients()
    async with clients.of(access()):
        scene.now = 1000.0
    scene.now += 299.0
    await clients.close_idle()
    assert len(clients) == 1
    scene.now += 1.0
    await clients.close_idle()
    assert (len(clients), scene.made[0].closed) == (0, 1)
    async with clients.of(access()) as client:
        assert client is scene.made[1]


async def test_one_in_use_is_neither_idle_nor_too_many() -> None:
    scene = Scene()
    clients = scene.clients(most=2)
    async with clients.of(access(0)):
        for number in (1, 2, 3):
            async with clients.of(access(number)):
                pass
        scene.now = 10_000.0
        await clients.close_idle()
        assert [each.closed for each in scene.made] == [0, 1, 1, 1]
    assert len(clients) == 1


async def test_the_one_that_was_used_longest_ago_goes_first() -> None:
    scene = Scene()
    clients = scene.clients(most=2)
    for number in (0, 1, 0, 2):
        async with clients.of(access(number)):
            pass
    assert [each.closed for each in scene.made] == [0, 1, 0]


async def test_one_that_cannot_be_made_is_not_kept() -> None:
    async def refuse(_: SqsAccess) -> Client:
        raise UnusableAccess("no")

    clients = Clients(refuse)
    with pytest.raises(UnusableAccess):
        async with clients.of(access()):
            pass
    assert len(clients) == 0


async def test_closing_closes_all() -> None:
    scene = Scene()
    clients = scene.clients()
    for number in (0, 1):
        async with clients.of(access(number)):
            pass
    await clients.close()
    assert [each.closed for each in scene.made] == [1, 1]


def test_an_access_shows_no_key() -> None:
    assert "planted" not in repr(access())
    assert "id-0" not in str(access())


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "https://sqs.eu-west-1.amazonaws.com/"),
        ("https://sqs.eu-west-1.amazonaws.com:443/1/orders.fifo", "https://sqs.eu-west-1.amazonaws.com/"),
        ("http://localhost:4566/000000000000/orders", "http://localhost:4566/"),
        ("http://[::1]:4566/0/orders?x=y#z", "http://[::1]:4566/"),
        ("https://proxy.example/sqs/a%2Fb/1/orders", "https://proxy.example/sqs/a%2Fb"),
        ("https://queue.example/orders", "https://queue.example/"),
        ("https://bücher.example/1/orders", "https://xn--bcher-kva.example/"),
    ],
)
def test_the_endpoint_is_the_queues_url_without_account_and_name(url: str, endpoint: str) -> None:
    configuration = AwsSqsConfiguration.model_validate(
        {"url": url, "aws_access_key_id": "a", "aws_secret_access_key": "b", "region": "eu-west-1"}
    )
    assert str(configuration.endpoint) == endpoint
    assert configuration.access(URL("http://other:1")).endpoint == "http://other:1"
    assert configuration.is_fifo == url.endswith(".fifo")


class SlowMaker(BotocoreMaker):
    """Loads botocore once it may; raises `faults` first."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__(Transport(DelivererOptions()).session_class(), "tests")
        self.faults = list(faults)
        self.loads = 0
        self.may = threading.Event()

    def _load_now(self) -> tuple[Any, Any]:
        self.loads += 1
        self.may.wait()
        if self.faults:
            raise self.faults.pop()
        return super()._load_now()


async def test_what_was_loaded_for_one_who_could_not_wait_is_there_for_the_next() -> None:
    maker = SlowMaker()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(maker(access()), 0.01)
    maker.may.set()
    await (await maker(access())).close()
    assert maker.loads == 1


async def test_loading_that_failed_is_tried_again() -> None:
    maker = SlowMaker(OSError(errno.EMFILE, "Too many open files"))
    maker.may.set()
    with pytest.raises(OSError, match="Too many open files"):
        await maker(access())
    await (await maker(access())).close()
    assert maker.loads == 2


def test_a_process_without_sqs_does_not_load_botocore() -> None:
    code = (
        "import sys, deliverers.registry; print([m for m in sys.modules if m.partition('.')[0].endswith('botocore')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
