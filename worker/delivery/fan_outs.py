"""Fan-outs: events and the integrations that observe them, opened in chunks that the stores fill in turn."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from worker.domain.stored_event import StoredEvent
from worker.ledger.policy import JOBS_PER_CALL

#: Jobs that a store opens in one turn.
QUANTUM = 10
#: Lanes of a chunk. More take Redis and the event loop so long that other stores notice it, and find too few free slots
#: for their jobs to start at once.
LANES_PER_CHUNK = 20


@dataclass(eq=False, slots=True)
class FanOut:
    """An event, the integrations whose jobs are to be opened, and how many of these were put into chunks."""

    stored: StoredEvent
    integration_ids: Sequence[str]
    #: How many integrations observe the event: more than there are jobs to open if another observer was interrupted.
    matches: int
    taken: int = 0
    #: How many integrations observe the event and do not get it, because their filters do not match.
    filtered: int = 0
    #: The version of the integrations by which it was matched, to be checked; None if it was loaded with that version.
    version: int | None = None
    #: Whether these integrations have changed since, so that it must be loaded and matched again.
    outdated: bool = False
    #: The context of the observer, such as its Celery task, for the attempts of the jobs.
    context: Context = field(default_factory=copy_context)
    #: The event's scope (Scope.key).
    store: str = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.stored.event.scope.key

    @property
    def is_taken(self) -> bool:
        """Whether all its jobs were put into chunks."""
        return self.taken >= len(self.integration_ids)


@dataclass(slots=True)
class FanOutPart:
    """Jobs of one fan-out in one chunk; an event leaves the inbox with its last part."""

    fan_out: FanOut
    integration_ids: list[str] = field(default_factory=list)
    last: bool = False


class FanOutTurns:
    """The fan-outs that wait, for chunks that their stores fill in turn (deficit round robin).

    So the small fan-outs of many stores share a chunk, and a large one delays them by its store's turn only. A store
    that is alone fills whole chunks. A fan-out that is not done is taken out of the queue with each of its parts.
    The caller adds it again once that part is open, in the order of the parts: an event must not leave the inbox
    before all its jobs are open.
    """

    def __init__(self) -> None:
        #: The fan-outs of each store; the store whose turn it is comes first.
        self._stores: OrderedDict[str, deque[FanOut]] = OrderedDict()
        #: The store whose turn it is, and how many jobs it may still open in this turn.
        self._turn: tuple[str, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._stores)

    def __iter__(self) -> Iterator[FanOut]:
        return (fan_out for waiting in self._stores.values() for fan_out in waiting)

    def add(self, fan_out: FanOut) -> None:
        """Append a fan-out to those of its store."""
        self._stores.setdefault(fan_out.store, deque()).append(fan_out)
        if self._turn and self._turn[0] == fan_out.store:
            # The end of a chunk has interrupted its turn.
            self._stores.move_to_end(fan_out.store, last=False)

    def clear(self) -> None:
        """Forget all fan-outs."""
        self._stores.clear()
        self._turn = None

    def take(self, most: int = JOBS_PER_CALL) -> list[FanOutPart]:
        """Return the parts of the next chunk: at most `most` jobs and events, and LANES_PER_CHUNK lanes."""
        parts: dict[FanOut, FanOutPart] = {}
        lanes: set[str] = set()
        room = most
        while self._stores and (free := min(room, LANES_PER_CHUNK - len(lanes))) > 0:
            store, waiting = next(iter(self._stores.items()))
            fan_out, allowed = waiting[0], self._turn[1] if self._turn and self._turn[0] == store else QUANTUM
            part = parts.setdefault(fan_out, FanOutPart(fan_out))
            ids = fan_out.integration_ids[fan_out.taken : fan_out.taken + min(free, allowed)]
            lanes.update(ids)
            part.integration_ids += ids
            fan_out.taken += len(ids)
            part.last = fan_out.is_taken
            cost = max(1, len(ids))
            room, allowed = room - cost, allowed - cost
            self._turn = (store, allowed) if allowed > 0 else None
            if part.last:
                self._remove_first(store)
            if self._turn is None and store in self._stores:
                self._stores.move_to_end(store)
        done = [part for part in parts.values() if part.last]
        # In the order of their stores' turns, so that the caller adds them again in that order.
        firsts = [waiting[0] for waiting in self._stores.values() if waiting[0] in parts]
        for fan_out in firsts:
            self._remove_first(fan_out.store)
        return [*done, *(parts[fan_out] for fan_out in firsts)]

    def _remove_first(self, store: str) -> None:
        waiting = self._stores[store]
        waiting.popleft()
        if not waiting:
            del self._stores[store]
