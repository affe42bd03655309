"""The door for whole events in Celery messages: accepts the good ones, keeps the bad ones where somebody can look."""

import asyncio
from collections.abc import Sequence
from time import time
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import structlog

from worker.dispatch import Dispatch
from worker.events import Event, EventRules, Refusal, parse_event
from worker.ledger import Ledger, LedgerError
from worker.ledger.intake import REJECTED_KEEP_BYTES, rejection

_log = structlog.get_logger("edw.door")

#: While the ledger takes nothing, it is asked again after so many seconds. The message stays unacknowledged.
RETRY_SECONDS = 1.0


def event_id(task_id: str, index: int) -> str:
    """The id of an event that came without one: the same for a message that is delivered again."""
    try:
        namespace = UUID(task_id)
    except ValueError:
        # A producer may name its tasks as it likes.
        namespace = uuid5(NAMESPACE_OID, task_id)
    return str(uuid5(namespace, str(index)))


class DoorClosed(Exception):
    """This process stops before the ledger has taken what came; the broker still has it."""


class TaskDoor:
    """Takes what raw Celery messages bring."""

    def __init__(self, ledger: Ledger, dispatch: Dispatch, rules: EventRules) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._rules = rules
        self._closing = asyncio.Event()

    async def take(self, given: Sequence[Any], task_id: str) -> None:
        """Accepts and observes events, waiting for a ledger that is away or full; returns when it has them."""
        events: list[Event] = []
        bad: list[tuple[Refusal, Any]] = []
        for index, each in enumerate(given):
            parsed = parse_event(each, self._rules, event_id(task_id, index))
            if isinstance(parsed, Event):
                events.append(parsed)
            else:
                bad.append((parsed, each))
        if events:
            await self._until_taken(events)
        for refusal, each in bad:
            await self.reject(refusal, each, f"task {task_id}")
        if events:
            try:
                await self._dispatch.observe([event.ref for event in events])
            except LedgerError as error:
                # They are in the inbox; a sweep will see to them.
                _log.warning("observed later", events=len(events), why=str(error))

    async def reject(self, refusal: Refusal, given: Any, source: str) -> None:
        """Keeps what was refused in the ledger's rejected list, and says so."""
        _log.warning("event rejected", field=refusal.field, reason=refusal.reason, source=source)
        entry = rejection(refusal.field, refusal.reason, _as_bytes(given), round(time() * 1000), source)
        while True:
            try:
                return await self._ledger.intake.reject([entry])
            except LedgerError as error:
                await self._wait(error)

    async def _until_taken(self, events: Sequence[Event]) -> None:
        while True:
            try:
                await self._ledger.intake.accept(events)
            except LedgerError as error:
                await self._wait(error)
            else:
                return

    def close(self) -> None:
        """Whoever waits for the ledger waits no longer: the message goes back to the broker."""
        self._closing.set()

    async def _wait(self, error: LedgerError) -> None:
        """Raises DoorClosed where this process stops first."""
        _log.warning("waiting for the ledger", why=str(error))
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return
        raise DoorClosed


def _as_bytes(given: Any) -> bytes:
    """What came, to be looked at by people: JSON where it can be."""
    if isinstance(given, bytes):
        return given
    try:
        return msgspec.json.encode(given, enc_hook=repr)
    except (ValueError, RecursionError):
        # Such as half a surrogate pair.
        return repr(given)[:REJECTED_KEEP_BYTES].encode(errors="backslashreplace")
