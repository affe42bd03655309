"""Wake-ups that the loop sends: nobody waits for a broker, and few messages carry many ids."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from tests.waiting import PATIENCE, eventually
from worker.intake import loop_wakeups as module
from worker.intake.loop_wakeups import LoopWakeups
from worker.intake.wakeups import BURST, CAPACITY, EVENTS, LANES, BrokerUnavailable
from worker.ledger.policy import MAX_IDS_PER_MESSAGE


class Broker:
    """Keeps what is sent. While it is frozen, sending waits; while it is away, sending fails."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[str]]] = []
        self.tries = 0
        self.error: Exception | None = None
        self.thawed = asyncio.Event()
        self.thawed.set()

    async def __call__(self, kind: str, ids: Sequence[str]) -> None:
        self.tries += 1
        await self.thawed.wait()
        if self.error:
            raise self.error
        self.sent.append((kind, list(ids)))

    async def was_asked(self, times: int) -> None:
        await eventually(lambda: self.tries == times, f"it is asked {times} times")

    def ids(self, kind: str) -> list[str]:
        return [each for sent, ids in self.sent if sent == kind for each in ids]


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def wakeups(broker: Broker) -> AsyncIterator[LoopWakeups]:
    made = LoopWakeups(broker)
    yield made
    broker.thawed.set()
    await made.close(PATIENCE)


async def test_an_id_is_sent_at_once(broker: Broker, wakeups: LoopWakeups) -> None:
    wakeups.events(["a"])
    await eventually(lambda: broker.sent == [(EVENTS, ["a"])], "it is sent")
    wakeups.lanes(["b"])
    await eventually(lambda: broker.sent[1:] == [(LANES, ["b"])], "so is the next")


async def test_ids_that_come_meanwhile_share_a_message(broker: Broker, wakeups: LoopWakeups) -> None:
    broker.thawed.clear()
    wakeups.events(["first"])
    await eventually(lambda: broker.tries == 1, "the first is under way")
    for number in range(50):
        wakeups.events([f"e-{number}"])
        wakeups.lanes([f"l-{number}"])
    broker.thawed.set()
    await eventually(lambda: len(broker.sent) == 3, "all are sent")

    assert sorted(broker.sent[1:]) == [
        (EVENTS, [f"e-{number}" for number in range(50)]),
        (LANES, [f"l-{number}" for number in range(50)]),
    ]


async def test_a_stream_of_ids_is_collected_once_the_burst_is_used_up(
    broker: Broker, wakeups: LoopWakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A linger that nobody waits for: what is collected is sent when a message is full, or the process stops.
    monkeypatch.setattr(module, "LINGER_SECONDS", 3600.0)
    for number in range(BURST):
        wakeups.events([f"at once {number}"])
        await broker.was_asked(number + 1)
    for number in range(MAX_IDS_PER_MESSAGE - 1):
        wakeups.events([f"collected {number}"])
        await asyncio.sleep(0)
    assert len(broker.sent) == BURST

    wakeups.events(["the last that fits"])
    await eventually(lambda: len(broker.sent) == BURST + 1, "a full message is sent")
    assert len(broker.sent[-1][1]) == MAX_IDS_PER_MESSAGE

    wakeups.events(["left"])
    await wakeups.close(PATIENCE)
    assert broker.sent[-1] == (EVENTS, ["left"])


async def test_more_ids_than_a_message_holds_go_in_several(broker: Broker, wakeups: LoopWakeups) -> None:
    ids = [f"e-{number}" for number in range(2 * MAX_IDS_PER_MESSAGE + 1)]
    wakeups.events(ids)
    await eventually(lambda: broker.ids(EVENTS) == ids, "all are sent")
    assert [len(each) for _, each in broker.sent] == [MAX_IDS_PER_MESSAGE, MAX_IDS_PER_MESSAGE, 1]


@pytest.mark.parametrize("error", [BrokerUnavailable("no broker at 10.0.0.1"), RuntimeError("a bug")])
async def test_a_failure_is_logged_once_and_later_ids_are_sent(
    broker: Broker, wakeups: LoopWakeups, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(module, "BROKER_PAUSE_SECONDS", 0.0)
    broker.error = error
    with capture_logs() as logs:
        for number in range(3):
            wakeups.events([f"lost {number}"])
            await broker.was_asked(number + 1)
        broker.error = None
        wakeups.events(["later"])
        await eventually(lambda: broker.ids(EVENTS) == ["later"], "it is sent")

    assert [each["event"] for each in logs] == [
        "broker away" if isinstance(error, BrokerUnavailable) else "cannot send wake-ups",
        "broker back",
    ]


async def test_no_more_ids_wait_than_the_capacity(broker: Broker, wakeups: LoopWakeups) -> None:
    broker.thawed.clear()
    wakeups.events(["first"])
    await eventually(lambda: broker.tries == 1, "the first is under way")
    for _ in range(3):
        wakeups.events([f"e-{number}" for number in range(CAPACITY // 2)])
    broker.thawed.set()
    await wakeups.close(PATIENCE)
    assert len(broker.ids(EVENTS)) == CAPACITY + 1


async def test_closing_does_not_wait_for_a_frozen_broker(broker: Broker, wakeups: LoopWakeups) -> None:
    broker.thawed.clear()
    wakeups.events(["a"])
    await eventually(lambda: broker.tries == 1, "it is under way")
    await wakeups.close(0.0)
    wakeups.events(["b"])
    broker.thawed.set()
    assert broker.sent == []
