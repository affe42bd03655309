"""The plain queue on Redis: a reader of the list `edw.intake` in the ledger's Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

import structlog

from worker.domain.event import Event, Ingress, Refusal
from worker.domain.event_parser import EventRules
from worker.event_loop.cancellation import end
from worker.event_loop.pacing import paced
from worker.intake.accept import AcceptService
from worker.intake.message_parser import entry_of, is_batch, log_refusal, needs_newer, parse_message_paced, split
from worker.ledger import Acceptance, LedgerError
from worker.ledger.connection.redis_connections import SOCKET_TIMEOUT
from worker.ledger.events.intake_list import MESSAGE_TRIES, MessageBatch
from worker.ledger.key_names import INTAKE_LIST
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.newer_versions import NEWER
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.intake")

#: Seconds between tries while the ledger is away or full. The queue keeps its messages.
RETRY_SECONDS = 1.0


#: The number of parsed messages, their events, and the refusals with what was refused.
ParsedBatch = tuple[int, list[Event], list[tuple[Refusal, Any]]]


class PlainQueue(Protocol):
    """The part of the ledger that holds the plain queue (worker.ledger.events.intake_list)."""

    async def take(self) -> MessageBatch: ...
    async def accept(
        self, batch: MessageBatch, done: int, events: Sequence[Event], entries: Sequence[str]
    ) -> list[Acceptance] | None: ...
    async def leave(self, batch: MessageBatch) -> bool: ...
    async def give_back(self) -> int: ...
    async def wait(self) -> None: ...


class RedisListReader:
    """Reads the plain queue until the process stops taking work."""

    def __init__(
        self,
        queue: PlainQueue,
        observe: Callable[[Sequence[str]], Awaitable[None]],
        rules: EventRules,
        traces: Traces | None = None,
    ) -> None:
        self._queue = queue
        self._observe = observe
        self._rules = rules
        self._service = AcceptService(lambda: traces)
        self._closing = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        #: Whether this process may hold messages that it has taken and not finished.
        self._holds = False
        self._waits = False

    def open(self) -> None:
        """Start reading on the running loop."""
        self._reader = asyncio.create_task(self._read())

    def stop(self) -> None:
        """Take no more messages; finish those that are being accepted."""
        self._closing.set()

    async def close(self) -> None:
        """End reading, and give back messages that were taken and are not accepted."""
        self.stop()
        if self._reader is not None:
            # Cancelling the reader in the middle is safe, but letting it finish is better.
            await asyncio.wait((self._reader,), timeout=SOCKET_TIMEOUT)
            await end([self._reader])
        if self._holds:
            try:
                await self._queue.give_back()
            except LedgerError as error:
                _log.warning("messages not given back: another worker does it when the lease runs out", why=str(error))

    async def _read(self) -> None:
        while not self._closing.is_set():
            try:
                await self._step()
            except LedgerError as error:
                self._note_failure(error)
                await self._pause()
            except Exception:  # noqa: BLE001  (a reader that dies would strand the queue)
                _log.exception("cannot read the plain queue")
                await self._pause()

    async def _step(self) -> None:
        self._holds = True
        batch = await self._queue.take()
        self._holds = bool(batch.messages)
        if not batch.messages:
            self._note_answer()
            return await self._or_closing(self._queue.wait())
        left = len(batch.messages)
        while batch.messages and not self._closing.is_set():
            done, events, refusals = self._refuse_deadly(batch) or await self._parse_batch(batch.messages)
            if done == 0:
                if not await self._leave(batch):
                    break
                batch, left = batch.without(1), left - 1
                self._holds = bool(batch.messages)
                continue
            entries = [entry_of(refusal, given, INTAKE_LIST) for refusal, given in refusals]
            write = partial(self._accept, batch, done, entries)
            accepted = await self._service.accept(Ingress.QUEUE, events, write)
            if accepted.answers is None:
                _log.warning("messages were given back: this process counted as dead", messages=len(batch.messages))
                break
            self._note_answer()
            batch = batch.without(done)
            self._holds = bool(batch.messages)
            self._service.refuse(Ingress.QUEUE, len(refusals))
            for refusal, _ in refusals:
                log_refusal(refusal, INTAKE_LIST)
            await self._observe(accepted.new)
        if left == 0:
            # All of them wait for a newer process; without one, this bounds how often they are moved.
            await self._pause()
        return None

    async def _leave(self, batch: MessageBatch) -> bool:
        """Leave the first message of a batch to a newer process; return False if the batch was given back."""
        NEWER.left("message")
        return await self._queue.leave(batch)

    async def _accept(
        self, batch: MessageBatch, done: int, entries: Sequence[str], events: Sequence[Event]
    ) -> Sequence[Acceptance] | None:
        return await self._queue.accept(batch, done, events, entries)

    @staticmethod
    def _refuse_deadly(batch: MessageBatch) -> ParsedBatch | None:
        """Return the refusal of a message that kills its readers, so that no worker parses it again."""
        # An earlier call may have taken several messages; then it is unknown which of them is deadly.
        if batch.lost < MESSAGE_TRIES or len(batch.messages) > 1:
            return None
        refusal = Refusal("message", f"{batch.lost} workers were lost after they had taken it")
        return 1, [], [(refusal, batch.messages[0])]

    async def _parse_batch(self, messages: Sequence[bytes]) -> ParsedBatch:
        """Parse as many messages as one call accepts. An array has a call of its own.

        Returns no parsed message if the first one needs a newer process.
        """
        events: list[Event] = []
        refusals: list[tuple[Refusal, Any]] = []
        done = 0
        async for message in paced(messages):
            if done and (is_batch(message) or done >= MAX_IDS_PER_MESSAGE):
                return done, events, refusals
            good, bad = split(await parse_message_paced(message, self._rules))
            if needs_newer(bad):
                return done, events, refusals
            events += good
            refusals += bad
            if is_batch(message):
                return done + 1, events, refusals
            done += 1
        return done, events, refusals

    async def _or_closing(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Wait until `waiting` is done or the reader is to stop."""
        both = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._closing.wait())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if both[0].done():
                await both[0]
        finally:
            await end(both)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return

    def _note_failure(self, error: LedgerError) -> None:
        if not self._waits:
            self._waits = True
            _log.warning("the plain queue waits for the ledger", why=str(error))

    def _note_answer(self) -> None:
        if self._waits:
            self._waits = False
            _log.info("the plain queue is read again")
