"""The integrations that get an event: those that observe it, and whose filter matches if they have one."""

from collections.abc import Sequence

from worker.domain.content_filter import content_of
from worker.domain.matching import Snapshot
from worker.domain.stored_event import StoredEvent
from worker.event_loop.pacing import breathe

#: Filters that are checked before other tasks run; a usual one takes about a microsecond.
FILTERS_PER_STEP = 100


async def passing(snapshot: Snapshot, stored: StoredEvent) -> tuple[Sequence[str], int]:
    """Return the ids of the integrations that get an event, and how many observe it and do not get it."""
    matching = snapshot.matching(stored.event.type)
    filters = snapshot.filters
    if not filters or not any(each in filters for each in matching):
        return matching, 0
    content = content_of(stored)
    found: list[str] = []
    for first in range(0, len(matching), FILTERS_PER_STEP):
        if first:
            await breathe()
        found += [
            each
            for each in matching[first : first + FILTERS_PER_STEP]
            if each not in filters or filters[each].matches(content)
        ]
    return found, len(matching) - len(found)
