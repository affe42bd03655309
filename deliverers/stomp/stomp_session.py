"""The state of one connection: which receipt belongs to which message, what a frame settles, what is due when. No I/O.

Times are seconds of one monotonic clock, which the caller reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from deliverers.stomp.codec import codec
from deliverers.stomp.frames import Frame, NotStomp

#: Milliseconds between signs of life that we ask for, and offer.
HEART_BEAT_MS = 10_000
#: Intervals of silence after which a peer counts as dead.
SILENT_INTERVALS = 2
#: Consecutive messages without a receipt in time after which a connection is given up.
SUSPECT_AFTER = 3
#: Messages without a receipt at most. More would only wait in the broker.
MOST_PENDING = 1_000
#: Seconds without use after which a connection is closed.
IDLE_SECONDS = 60.0

VERSION = "1.2"
#: Intervals of more than a day count as none. A broker may send anything.
_LONGEST_INTERVAL_MS = 86_400_000

Waiter = TypeVar("Waiter")


@dataclass(frozen=True, slots=True)
class Accepted:
    """CONNECTED: the session may begin."""


@dataclass(frozen=True, slots=True)
class Confirmed(Generic[Waiter]):
    """The broker has a message, for good."""

    waiter: Waiter


@dataclass(frozen=True, slots=True)
class MessageRejected(Generic[Waiter]):
    """The broker refused one message; the others are not affected."""

    waiter: Waiter
    frame: Frame


@dataclass(frozen=True, slots=True)
class Ended:
    """The broker ended the session with an ERROR. If no session had begun, it refused the login."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Due(Generic[Waiter]):
    """What has to be done at this time."""

    #: Waiters whose deadline has passed. Receipts that still arrive for them are ignored.
    expired: tuple[Waiter, ...] = ()
    #: Whether to send a sign of life.
    beat: bool = False
    #: Whether the connection has been unused for long.
    idle: bool = False
    #: Why to give the connection up, in words; None to keep it.
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class HeartBeats:
    """Seconds between signs of life, as both sides agreed; infinite if one side gives or wants none."""

    ours: float = inf
    theirs: float = inf

    @classmethod
    def agreed(cls, offered: str) -> HeartBeats:
        """Return the agreement that follows from the broker's `heart-beat` header. Raises `NotStomp`."""
        they_give, comma, they_want = (part.strip(" \t") for part in offered.partition(","))
        if not comma or not all(each.isascii() and each.isdecimal() for each in (they_give, they_want)):
            raise NotStomp("a heart-beat header that is not two numbers")
        if len(they_give) > 18 or len(they_want) > 18:
            return cls()
        ours, theirs = codec().calculate_heartbeats((they_give, they_want), (HEART_BEAT_MS, HEART_BEAT_MS))
        return cls(_seconds(ours), _seconds(theirs))


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000 if 0 < milliseconds <= _LONGEST_INTERVAL_MS else inf


class StompSession(Generic[Waiter]):
    """The state of one connection from its CONNECT on. A waiter is the caller's own handle of a sender."""

    def __init__(self, now: float) -> None:
        self._beats: HeartBeats | None = None
        self._pending: dict[str, tuple[Waiter, float]] = {}
        self._issued = 0
        #: The receipt id for the next message.
        self.next_receipt = "1"
        self._missed = 0
        #: Frames that may still come about messages whose deadline has passed: a RECEIPT and an ERROR for each.
        self._late_frames = 0
        self._received_at = self._sent_at = self._used_at = now
        self.proven = False

    @property
    def pending(self) -> int:
        """Return how many messages have no receipt yet."""
        return len(self._pending)

    def sent(self, receipt: str, waiter: Waiter, deadline: float) -> None:
        """Note that a message was sent that asks for `receipt`, the next one."""
        self._pending[receipt] = (waiter, deadline)
        self._issued += 1
        self.next_receipt = str(self._issued + 1)

    def note_sent(self, now: float) -> None:
        """Note that bytes were sent."""
        self._sent_at = self._used_at = now

    def note_heart_beat(self, now: float) -> None:
        """Note that a sign of life was sent; it does not count as use."""
        self._sent_at = now

    def note_received(self, now: float) -> None:
        """Note that bytes were received."""
        self._received_at = now

    def confirmed(self, receipts: Iterable[str]) -> Iterator[Waiter]:
        """Yield whose receipts these are, but for late ones. Raises `NotStomp` at one that makes no sense."""
        if self._beats is None:
            raise NotStomp("RECEIPT before CONNECTED")
        pending = self._pending
        for receipt in receipts:
            if (found := pending.pop(receipt, None)) is None:
                self._check_late(receipt)
            else:
                self._missed, self.proven = 0, True
                yield found[0]

    def receive(self, frame: Frame) -> Accepted | Confirmed[Waiter] | MessageRejected[Waiter] | Ended | None:
        """Return what a frame settles, or None. Raises `NotStomp` for a frame that makes no sense."""
        if self._beats is None:
            return self._greeted(frame)
        if frame.command == "RECEIPT":
            receipt = frame.headers.get("receipt-id", "")
            if (waiter := self._settled(receipt)) is not None:
                return Confirmed(waiter)
            self._check_late(receipt)
            return None
        if frame.command == "ERROR":
            receipt = frame.headers.get("receipt-id", "")
            if (waiter := self._settled(receipt)) is not None:
                return MessageRejected(waiter, frame)
            if not self._is_ours(receipt):
                return Ended(frame)
            self._check_late(receipt)
            return None
        raise NotStomp(f"{frame.command}, which was not asked for")

    def due(self, now: float) -> Due[Waiter]:
        """Return what is due now, and forget the waiters whose deadline has passed."""
        expired = tuple(self._expire(now))
        beats = self._beats or HeartBeats()
        silence = now - self._received_at
        if silence >= beats.theirs * SILENT_INTERVALS:
            return Due(expired, verdict=f"no sign of life for {silence:.0f} s")
        if self._missed >= SUSPECT_AFTER:
            return Due(expired, verdict=f"no receipt for {self._missed} messages in a row")
        idle = not self._pending and now - self._used_at >= IDLE_SECONDS
        return Due(expired, beat=now - self._sent_at >= beats.ours / 2, idle=idle)

    def next_due(self) -> float:
        """Return when `due` has something to report next if nothing else happens."""
        beats = self._beats or HeartBeats()
        idle = self._used_at + IDLE_SECONDS
        # Deadlines are not in order: some messages waited long before they could be sent. There are few, and calls are
        # rare.
        first = min((deadline for _, deadline in self._pending.values()), default=idle)
        return min(first, self._sent_at + beats.ours / 2, self._received_at + beats.theirs * SILENT_INTERVALS)

    def end(self) -> tuple[Waiter, ...]:
        """End the session; return the waiters that will get no answer."""
        waiters = tuple(waiter for waiter, _ in self._pending.values())
        self._pending.clear()
        return waiters

    def _greeted(self, frame: Frame) -> Accepted | Ended:
        if frame.command == "ERROR":
            return Ended(frame)
        if frame.command != "CONNECTED":
            raise NotStomp(f"{frame.command} before CONNECTED")
        # Without the header it is 1.0 (STOMP 1.2, "Protocol Negotiation").
        if (version := frame.headers.get("version", "1.0")) != VERSION:
            raise NotStomp(f"CONNECTED for version {version[:10]!a}, and 1.2 is needed")
        self._beats = HeartBeats.agreed(frame.headers.get("heart-beat", "0,0"))
        return Accepted()

    def _settled(self, receipt: str) -> Waiter | None:
        pending = self._pending.pop(receipt, None)
        if pending is None:
            return None
        self._missed = 0
        self.proven = True
        return pending[0]

    def _check_late(self, receipt: str) -> None:
        """Pass over an answer that came too late. Raises `NotStomp` for one that was not asked for, or came before."""
        if not self._is_ours(receipt):
            raise NotStomp("a receipt that was not asked for")
        if not self._late_frames:
            raise NotStomp("a receipt for a second time")
        self._late_frames -= 1

    def _is_ours(self, receipt: str) -> bool:
        """Return whether this receipt was asked for once."""
        number = int(receipt) if receipt.isascii() and receipt.isdecimal() and len(receipt) < 19 else 0
        return 0 < number <= self._issued

    def _expire(self, now: float) -> list[Waiter]:
        passed = [receipt for receipt, (_, deadline) in self._pending.items() if deadline <= now]
        self._missed += len(passed)
        self._late_frames += 2 * len(passed)
        return [self._pending.pop(receipt)[0] for receipt in passed]
