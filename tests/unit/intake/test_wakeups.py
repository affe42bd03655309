"""Wake-ups: nobody waits for a broker, and few messages carry many ids."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from worker.intake import wakeups as wakeups_module
from worker.intake.wakeups import BURST, CAPACITY, EVENTS, LANES, BrokerUnavailable, Wakeups
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.readiness import Presence, State

#: Nothing here is expected to need so long (seconds).
PATIENCE = 30.0
#: A call that waited for the broker would take longer than this (seconds).


class Broker:
    """Keeps what is sent. While it is frozen, sending blocks; while it is away, sending fails."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[str]]] = []
        self.tries = 0
        self.away = False
        #: Whether it was frozen for longer than any test takes unless something waits for it.
        self.gave_up = False
        self.thawed = threading.Event()
        self.thawed.set()
        self._changed = threading.Condition()

    def __call__(self, kind: str, ids: Sequence[str]) -> None:
        with self._changed:
            self.tries += 1
            self._changed.notify_all()
        if not self.thawed.wait(PATIENCE):
            self.gave_up = True
            raise TimeoutError
        with self._changed:
            if not self.away:
                self.sent.append((kind, list(ids)))
            self._changed.notify_all()
        if self.away:
            raise BrokerUnavailable("no broker")

    def await_(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def ids(self, kind: str) -> list[str]:
        return [each for sent, ids in self.sent if sent == kind for each in ids]


@pytest.fixture
def broker() -> Iterator[Broker]:
    found = Broker()
    yield found
    found.thawed.set()


@pytest.fixture
def wakeups(broker: Broker) -> Iterator[Wakeups]:
    found = Wakeups(broker)
    yield found
    broker.thawed.set()
    found.close(PATIENCE)


def test_a_burst_after_a_pause_goes_at_once_and_what_follows_it_shares_a_message(
    broker: Broker, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "LINGER_SECONDS", PATIENCE)
    burst = [(EVENTS, [f"e-{number}"]) for number in range(BURST)]
    for number in range(BURST):
        wakeups.events([f"e-{number}"])
        broker.await_(lambda: broker.sent == burst[: number + 1])  # noqa: B023  (it is called in this turn of the loop)

    wakeups.events(["waits"])
    wakeups.events(["joins it"])
    wakeups.close(PATIENCE)
    assert broker.sent == [*burst, (EVENTS, ["waits", "joins it"])]


def test_a_broker_that_was_away_is_tried_although_nothing_waits_for_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "BROKER_PAUSE_SECONDS", 0.01)
    presence = Presence()
    broker.away = True
    wakeups = Wakeups(broker, presence)
    wakeups.events(["lost"])
    broker.await_(lambda: broker.tries > 2)
    assert (presence.check.status, presence.check.why) == (State.DEGRADED, "it does not take wake-ups")
    broker.away = False
    broker.await_(lambda: broker.sent == [(EVENTS, [])])
    wakeups.events(["e-1"])
    broker.await_(lambda: broker.sent == [(EVENTS, []), (EVENTS, ["e-1"])])
    assert presence.check.status is State.OK
    wakeups.close(PATIENCE)


def test_what_comes_while_a_message_is_under_way_shares_the_next(broker: Broker, wakeups: Wakeups) -> None:
    broker.thawed.clear()
    wakeups.events(["first"])
    broker.await_(lambda: broker.tries == 1)
    for n in range(50):
        wakeups.events([f"e-{n}"])
        wakeups.lanes([f"l-{n}"])
    broker.thawed.set()
    wakeups.close(PATIENCE)
    assert broker.sent == [
        (EVENTS, ["first"]),
        (EVENTS, [f"e-{n}" for n in range(50)]),
        (LANES, [f"l-{n}" for n in range(50)]),
    ]


def test_a_message_carries_so_many_ids_and_no_more(broker: Broker, wakeups: Wakeups) -> None:
    ids = [f"e-{n}" for n in range(2 * MAX_IDS_PER_MESSAGE + 50)]
    wakeups.events(ids)
    wakeups.close(PATIENCE)
    assert [len(sent) for _, sent in broker.sent] == [MAX_IDS_PER_MESSAGE, MAX_IDS_PER_MESSAGE, 50]
    assert broker.ids(EVENTS) == ids


def test_with_nothing_to_say_nothing_is_started(broker: Broker, wakeups: Wakeups) -> None:
    threads = threading.active_count()
    wakeups.events([])
    wakeups.lanes([])
    assert (threading.active_count(), broker.tries) == (threads, 0)
    wakeups.close()


def test_beyond_the_capacity_new_ids_are_dropped_and_nobody_waits(broker: Broker, wakeups: Wakeups) -> None:
    broker.thawed.clear()
    wakeups.events(["first"])
    broker.await_(lambda: broker.tries == 1)
    for start in range(0, CAPACITY + 5_000, 1_000):
        wakeups.events([f"e-{n}" for n in range(start, start + 1_000)])
    wakeups.events(["dropped"])
    wakeups.lanes(["of its own"])
    assert not broker.gave_up, "nobody waited for the frozen broker"

    broker.thawed.set()
    wakeups.close(PATIENCE)
    assert broker.ids(EVENTS) == ["first", *(f"e-{n}" for n in range(CAPACITY))]
    assert broker.ids(LANES) == ["of its own"]


def test_a_broker_that_blocks_for_ever_blocks_neither_callers_nor_the_end(broker: Broker, wakeups: Wakeups) -> None:
    broker.thawed.clear()
    for n in range(1_000):
        wakeups.events([f"e-{n}"])
    wakeups.close(0.05)
    assert not broker.gave_up, "nobody waited for the frozen broker"
    wakeups.events(["too late"])
    assert broker.sent == []
    # The thread does not keep the process from ending.
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "edw-wakeups")


def test_what_a_broker_refused_is_tried_again_by_nobody_and_the_next_goes_out(
    broker: Broker, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "BROKER_PAUSE_SECONDS", 0.01)
    broker.away = True
    wakeups.events(["refused"])
    broker.await_(lambda: broker.tries >= 1)
    # Without ids, the thread tries the broker again and again with empty messages.
    broker.await_(lambda: broker.tries >= 3)
    broker.away = False
    wakeups.events(["sent"])
    broker.await_(lambda: bool(broker.ids(EVENTS)))
    wakeups.close(PATIENCE)
    assert broker.ids(EVENTS) == ["sent"]


def test_after_a_failure_the_broker_is_left_alone_for_a_while_and_the_end_does_not_wait_for_that(
    broker: Broker, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "BROKER_PAUSE_SECONDS", 100 * PATIENCE)
    broker.away = True
    wakeups.events(["refused"])
    broker.await_(lambda: broker.tries == 1)
    wakeups.events(["waits"])
    broker.away = False
    wakeups.close(PATIENCE)
    assert broker.sent == [(EVENTS, ["waits"])]


def test_close_lets_out_what_waits(broker: Broker, wakeups: Wakeups) -> None:
    wakeups.events(["e-1"])
    wakeups.lanes(["l-1"])
    wakeups.close(PATIENCE)
    wakeups.close(PATIENCE)
    assert (broker.ids(EVENTS), broker.ids(LANES)) == (["e-1"], ["l-1"])
    wakeups.events(["after the end"])
    assert broker.ids(EVENTS) == ["e-1"]


def test_many_threads_may_speak_at_once(broker: Broker, wakeups: Wakeups) -> None:
    def speak(name: int) -> None:
        for n in range(200):
            wakeups.events([f"{name}-{n}"])

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wakeups.close(PATIENCE)
    assert sorted(broker.ids(EVENTS)) == sorted(f"{name}-{n}" for name in range(8) for n in range(200))


def test_a_bug_of_the_sender_is_logged_as_one_and_the_next_message_goes_out(
    wakeups: Wakeups, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "BROKER_PAUSE_SECONDS", 0.0)

    def wrong(kind: str, ids: Sequence[str]) -> None:
        if "e-1" in ids:
            raise KeyError("a queue that nobody declared")
        broker(kind, ids)

    monkeypatch.setattr(wakeups, "_send", wrong)
    with capture_logs() as lines:
        wakeups.events(["e-1"])
        broker.await_(lambda: broker.sent == [(EVENTS, [])])
        wakeups.events(["e-2"])
        broker.await_(lambda: broker.ids(EVENTS) == ["e-2"])
    assert [(each["event"], each["log_level"]) for each in lines][:1] == [("cannot send wake-ups", "error")]


def test_without_a_thread_to_spare_callers_go_on_and_the_ids_go_out_once_there_is_one(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence = Presence()
    wakeups = Wakeups(broker, presence)
    with monkeypatch.context() as exhausted:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        exhausted.setattr(threading.Thread, "start", refuse)
        wakeups.events(["early"])
        while_exhausted = presence.check
    wakeups.events(["late"])
    wakeups.close(PATIENCE)
    assert broker.ids(EVENTS) == ["early", "late"]
    assert (while_exhausted.status, presence.check.status) == (State.DEGRADED, State.OK)
