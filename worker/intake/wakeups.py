"""Wake-ups for workers, sent by a separate thread, so that accepting an event never depends on the broker.

A wake-up may be dropped, because the sweeps announce again everything that is overdue.
"""

import os
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.readiness import Presence, State


def _log() -> Any:
    # A producer's process hardly ever logs anything, and structlog takes a fifth of its import.
    import structlog

    return structlog.get_logger("edw.intake")


#: Most ids that wait to be sent; new ones beyond that are dropped.
CAPACITY = 20_000
#: Messages are at least this far apart on average (seconds); meanwhile the thread collects ids for the next one.
LINGER_SECONDS = 0.008
#: This many messages may be sent at once after a pause. So ids wait only while more ids come than messages may be sent,
#: and another store's event does not delay this one.
BURST = 10
#: Time after a broker's failure during which nothing is sent (seconds).
BROKER_PAUSE_SECONDS = 1.0


class BrokerUnavailable(Exception):
    """The broker is away, silent or full, or refuses a wake-up. It may nevertheless have the message."""


#: Sends one message from (kind, ids), or raises `BrokerUnavailable`.
Send = Callable[[str, Sequence[str]], None]

EVENTS = "events"
LANES = "lanes"


class Wakeups:
    """Collects ids of events and lanes, and sends the ids that arrive together in as few messages as possible.

    `broker` records whether the broker accepts them.
    """

    def __init__(self, send: Send, broker: Presence | None = None) -> None:
        self._send = send
        self._broker = broker or Presence()
        self._waiting: dict[str, list[str]] = {EVENTS: [], LANES: []}
        self._changed = threading.Condition()
        self._closing = False
        self._sending = False
        self._thread: threading.Thread | None = None
        # Threads do not survive a fork, and the lock may have been held during it: a child starts with its own.
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._waiting = {EVENTS: [], LANES: []}
        self._changed = threading.Condition()
        self._sending = False
        self._thread = None

    def events(self, refs: Sequence[str]) -> None:
        """Announce events in the inbox."""
        self._put(EVENTS, refs)

    def lanes(self, ids: Sequence[str]) -> None:
        """Announce lanes that have work for a worker."""
        self._put(LANES, ids)

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most `seconds` until all waiting ids are sent, then drop the rest."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._sending and not any(self._waiting.values()), seconds)

    def _put(self, kind: str, ids: Sequence[str]) -> None:
        if not ids:
            return
        with self._changed:
            if self._closing:
                return
            waiting = self._waiting[kind]
            waiting.extend(ids[: CAPACITY - len(waiting)])
            if self._thread is None:
                self._thread = self._started()
            self._changed.notify_all()

    def _started(self) -> threading.Thread | None:
        """Start the thread; return None if the process may start no more, so that the next wake-up tries again."""
        # A daemon thread, because a frozen broker must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="edw-wakeups", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if self._broker.away(f"{type(error).__name__}: {error}", State.DEGRADED):
                _log().error("cannot start the thread that sends wake-ups", why=str(error))
            return None
        return thread

    def _run(self) -> None:
        # As in GCRA: when the next message would be due if none were sent ahead of time.
        due_at = 0.0
        while True:
            with self._changed:
                if self._broker.check.status is State.OK:
                    self._changed.wait_for(lambda: self._closing or any(self._waiting.values()))
                pause = due_at - (BURST - 1) * LINGER_SECONDS - monotonic()
                if pause > 0 and not self._closing:
                    self._changed.wait_for(self._is_full, pause)
                batch = self._take()
                if not batch and not self._closing:
                    # The broker was away and no id waits; an empty message shows whether it is back.
                    batch = [(EVENTS, [])]
                if not batch:
                    self._changed.notify_all()
                    return
                self._sending = True
            for kind, ids in batch:
                self._deliver(kind, ids)
            due_at = max(due_at, monotonic()) + LINGER_SECONDS
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _is_full(self) -> bool:
        return self._closing or any(len(ids) >= MAX_IDS_PER_MESSAGE for ids in self._waiting.values())

    def _take(self) -> list[tuple[str, list[str]]]:
        batch = []
        for kind, waiting in self._waiting.items():
            if waiting:
                batch.append((kind, waiting[:MAX_IDS_PER_MESSAGE]))
                del waiting[:MAX_IDS_PER_MESSAGE]
        return batch

    def _deliver(self, kind: str, ids: Sequence[str]) -> None:
        try:
            self._send(kind, ids)
        except BrokerUnavailable as error:
            # Anybody may read /readyz, so only the log contains the address.
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log().warning("broker away", why=str(error))
            self._pause()
        except Exception:  # noqa: BLE001  (a bug must not end the thread; the sweeps announce the ids)
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log().exception("cannot send wake-ups")
            self._pause()
        else:
            if self._broker.there():
                _log().info("broker back")

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, BROKER_PAUSE_SECONDS)
