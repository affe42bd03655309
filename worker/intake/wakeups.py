"""Wake-ups for workers, sent by a thread of their own: an accepted event never waits for the broker, nor fails by it.

A wake-up may be dropped: the sweeps announce again whatever is overdue.
"""

import os
import threading
from collections.abc import Callable, Sequence
from time import monotonic

import structlog

from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.readiness import Presence, State

_log = structlog.get_logger("edw.intake")

#: Ids that wait to be sent; beyond that, new ones are dropped.
CAPACITY = 20_000
#: After a message the next one waits this long for company (seconds); the first after a pause goes at once.
LINGER_SECONDS = 0.01
#: After a broker's failure nothing is sent for so long (seconds).
BROKER_PAUSE_SECONDS = 1.0


class BrokerUnavailable(Exception):
    """The broker did not take a wake-up: it is away, silent or full, or refuses. It may have the message."""


#: Sends one message, (kind, ids), or raises `BrokerUnavailable`.
Send = Callable[[str, Sequence[str]], None]

EVENTS = "events"
LANES = "lanes"


class Wakeups:
    """Takes ids of events and lanes, and has them sent in as few messages as come together.

    `broker` is told whether the broker takes them.
    """

    def __init__(self, send: Send, broker: Presence | None = None) -> None:
        self._send = send
        self._broker = broker or Presence()
        self._waiting: dict[str, list[str]] = {EVENTS: [], LANES: []}
        self._changed = threading.Condition()
        self._closing = False
        self._sending = False
        self._thread: threading.Thread | None = None
        # Threads do not survive a fork, and its lock may have been held: a child starts with its own.
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._waiting = {EVENTS: [], LANES: []}
        self._changed = threading.Condition()
        self._sending = False
        self._thread = None

    def events(self, refs: Sequence[str]) -> None:
        """Announces events in the inbox."""
        self._put(EVENTS, refs)

    def lanes(self, ids: Sequence[str]) -> None:
        """Announces lanes that want service."""
        self._put(LANES, ids)

    def close(self, seconds: float = 1.0) -> None:
        """Lets what waits go out for at most so long, then forgets it."""
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
        """Start the thread; None where the process may have no more. The next wake-up then tries again."""
        # A daemon: a broker that is frozen must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="edw-wakeups", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if self._broker.away(f"{type(error).__name__}: {error}", State.DEGRADED):
                _log.error("wake-ups wait", why=str(error))
            return None
        return thread

    def _run(self) -> None:
        sent_at = -LINGER_SECONDS
        while True:
            with self._changed:
                if self._broker.check.status is State.OK:
                    self._changed.wait_for(lambda: self._closing or any(self._waiting.values()))
                pause = sent_at + LINGER_SECONDS - monotonic()
                if pause > 0 and not self._closing:
                    self._changed.wait_for(self._is_full, pause)
                batch = self._take()
                if not batch and not self._closing:
                    # Nobody waits for the broker that was away; a message about nothing shows whether it is back.
                    batch = [(EVENTS, [])]
                if not batch:
                    self._changed.notify_all()
                    return
                self._sending = True
            for kind, ids in batch:
                self._deliver(kind, ids)
            sent_at = monotonic()
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
            # Anybody may ask for /readyz, so the address is only in the log.
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log.warning("broker away", why=str(error))
            self._pause()
        except Exception:  # noqa: BLE001  (a bug, which must not end the thread: the sweeps announce the ids)
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log.exception("cannot send wake-ups")
            self._pause()
        else:
            if self._broker.there():
                _log.info("broker back")

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, BROKER_PAUSE_SECONDS)
