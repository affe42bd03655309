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
from worker.ledger.intake import rejection

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


class TaskDoor:
    """Takes what raw Celery messages bring."""

    def __init__(self, ledger: Ledger, dispatch: Dispatch, rules: EventRules) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._rules = rules

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
        for refusal, each in bad:
            await self.reject(refusal, each, f"task {task_id}")
        if events:
            await self._until_taken(events)
            try:
                await self._dispatch.observe([event.ref for event in events])
            except LedgerError as error:
                # They are in the inbox; a sweep will see to them.
                _log.warning("observed later", events=len(events), why=str(error))

    async def reject(self, refusal: Refusal, given: Any, source: str) -> None:
        """Keeps what was refused in the ledger's rejected list, and says so."""
        _log.warning("event rejected", field=refusal.field, reason=refusal.reason, source=source)
        raw = given if isinstance(given, bytes) else msgspec.json.encode(given, enc_hook=repr)
        entry = rejection(refusal.field, refusal.reason, raw, round(time() * 1000), source)
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

    @staticmethod
    async def _wait(error: LedgerError) -> None:
        _log.warning("waiting for the ledger", why=str(error))
        await asyncio.sleep(RETRY_SECONDS)
