"""Reads of integrations: those of one turn of the loop share a call, and none is lost with another."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from worker.delivery.integration_reads import IntegrationReads
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import LedgerUnavailable
from worker.ledger.policy import MAX_IDS_PER_MESSAGE


@dataclass
class Registry:
    """A registry that remembers its calls; it answers once `open` is set."""

    missing: set[str] = field(default_factory=set)
    calls: list[Sequence[str]] = field(default_factory=list)
    fault: Exception | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, ids: Sequence[str]) -> Sequence[Integration]:
        self.calls.append(ids)
        await self.open.wait()
        if self.fault:
            raise self.fault
        return [
            Integration(id=each, scope=Scope(), name="", integration_type="webhook", observes=(), configuration={})
            for each in ids
            if each not in self.missing
        ]


async def test_reads_of_one_turn_share_a_call() -> None:
    registry = Registry(missing={"gone"})
    registry.open.set()
    reads = IntegrationReads(registry.get)
    found = await asyncio.gather(*(reads.read(each) for each in ("a", "b", "a", "gone")))
    assert [each.id if each else None for each in found] == ["a", "b", "a", None]
    assert registry.calls == [["a", "b", "gone"]]


async def test_a_read_does_not_join_a_call_that_is_under_way_whose_answer_may_be_older() -> None:
    registry = Registry()
    reads = IntegrationReads(registry.get)
    first = asyncio.create_task(reads.read("a"))
    while not registry.calls:  # noqa: ASYNC110  (nothing else shows it)
        await asyncio.sleep(0)
    second = asyncio.create_task(reads.read("a"))
    registry.open.set()
    await asyncio.gather(first, second)
    assert registry.calls == [["a"], ["a"]]


async def test_a_call_has_one_message_of_ids_at_most() -> None:
    registry = Registry()
    registry.open.set()
    reads = IntegrationReads(registry.get)
    await asyncio.gather(*(reads.read(str(number)) for number in range(MAX_IDS_PER_MESSAGE + 1)))
    assert [len(each) for each in registry.calls] == [MAX_IDS_PER_MESSAGE, 1]


async def test_a_failure_reaches_each_reader_and_the_next_read_tries_again() -> None:
    registry = Registry(fault=LedgerUnavailable("away"))
    registry.open.set()
    reads = IntegrationReads(registry.get)
    found = await asyncio.gather(reads.read("a"), reads.read("b"), return_exceptions=True)
    assert list(found) == [registry.fault, registry.fault]
    registry.fault = None
    assert await reads.read("a")


async def test_a_cancelled_reader_takes_nothing_from_the_others() -> None:
    registry = Registry()
    reads = IntegrationReads(registry.get)
    first, second = (asyncio.create_task(reads.read("a")) for _ in range(2))
    while not registry.calls:  # noqa: ASYNC110  (nothing else shows it)
        await asyncio.sleep(0)
    first.cancel()
    registry.open.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
