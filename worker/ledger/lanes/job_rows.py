"""Jobs as the API shows them, decoded from replies of scripts."""

import msgspec

from worker.domain.job import Job, JobState
from worker.ledger.pages import Page


class JobRow(msgspec.Struct):
    """A job in a script's reply, with its event's id and type; `due` is when it is due (ms), -1 if it is not."""

    id: str
    row: dict[str, str]
    event_id: str
    event_type: str
    due: float

    def job(self) -> Job:
        """Return the job as a domain value."""
        event = {"id": self.event_id, "type": self.event_type}
        return _job(self.id, self.row, event, self.due if self.due >= 0 else None)


class _Rows(msgspec.Struct):
    records: list[JobRow]
    total: int = 0
    scope: str = ""


_rows = msgspec.msgpack.Decoder(_Rows)


def jobs_of(reply: bytes) -> Page[Job]:
    """Decode a page of jobs, with their total and their scope."""
    found = _rows.decode(reply)
    return Page([each.job() for each in found.records], found.total, found.scope)


def _job(job: str, row: dict[str, str], event: dict[str, str], due: float | None) -> Job:
    return Job(
        id=job,
        event_ref=row["event"],
        integration_id=row["lane"],
        state=JobState(row["state"]),
        reason=row.get("reason", ""),
        attempts=int(row["attempts"]),
        epoch=int(row.get("epoch", 0)),
        lost=int(row.get("lost", 0)),
        opened_at=int(row["opened_at"]),
        ended_at=int(row["ended_at"]) if "ended_at" in row else None,
        due_at=int(due) if due is not None else None,
        event_id=event.get("id", ""),
        event_type=event.get("type", ""),
    )
