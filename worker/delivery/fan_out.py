"""The fan-out of events: their matches, in chunks that one call of the ledger opens."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import JOBS_PER_CALL


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """An event and the integrations that observe it."""

    stored: StoredEvent
    integration_ids: Sequence[str]


Chunk = list[tuple[StoredEvent, list[Opening], bool]]


def chunks(matches: Iterable[MatchedEvent], size: int = JOBS_PER_CALL) -> Iterator[Chunk]:
    """Split matches into chunks of at most `size` jobs and events; the last part of an event is marked as last."""
    chunk: Chunk = []
    room = size
    for match in matches:
        ids = list(match.integration_ids)
        while True:
            taken, ids = ids[:room], ids[room:]
            openings = [Opening(job_id(match.stored.ref, each), each) for each in taken]
            chunk.append((match.stored, openings, not ids))
            room -= max(1, len(taken))
            if room <= 0:
                yield chunk
                chunk, room = [], size
            if not ids:
                break
    if chunk:
        yield chunk
