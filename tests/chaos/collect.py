"""Reads everything that a run has left: the journals, the ledger's keys, and what the broker holds."""

import base64
from typing import Any

import msgspec

from tests.chaos.receiver import OBSERVES
from tests.chaos.records import JobRow, Killed, LogRow, Records, read_offers, read_requests
from tests.chaos.stage import Stage
from tests.integration.ledger.audit import Books
from worker.ledger.lanes.log_records import decoded_log

#: Where kombu keeps what was taken over Redis and is not acknowledged (config.celery).
UNACKED = "edw.unacked"


async def collect(stage: Stage, killed: list[Killed], accidents: list[str]) -> Records:
    """The records of a run that is over."""
    books = await Books.read(stage.ledger)
    status = await stage.ledger.status.read()
    events = {name.removeprefix("event:"): row["id"] for name, row in books.hashes.items() if _is_event(name)}
    jobs = [
        JobRow(
            id_, events[row["event"]], stage.names[row["lane"]], row["state"], int(row["attempts"]), int(row["lost"])
        )
        for id_, row in books.jobs.items()
    ]
    logs = [
        decoded_log(name.removeprefix("log:"), raw) for name, raw in books.strings.items() if name.startswith("log:")
    ]
    return Records(
        lossy=frozenset({"celery"} if stage.rabbit is None else ()),
        observers={type_: frozenset(n for n, all_ in OBSERVES.items() if type_ in all_) for type_ in _types()},
        offers=[offer for door in stage.producers for offer in read_offers(stage.offers(door), door)],
        requests=read_requests(stage.requests),
        events=frozenset(events.values()),
        jobs=jobs,
        logs=[LogRow(log.job_id, log.attempt, log.succeeded, log.error_detail) for log in logs],
        killed=killed,
        held=await _held(stage),
        events_balance=status.events_balance,
        jobs_balance=status.jobs_balance,
        counters=status.counters,
        audit=books.problems(),
        accidents=accidents,
    )


def _is_event(name: str) -> bool:
    return name.startswith("event:") and not name.endswith(":jobs")


def _types() -> set[str]:
    return {type_ for observed in OBSERVES.values() for type_ in observed}


async def _held(stage: Stage) -> frozenset[str]:
    """Ids of events in raw messages that were taken over Redis by a worker that died before it acknowledged them."""
    if stage.rabbit is not None:
        return frozenset()
    raws = await stage.ledger.redis.client.execute_command("HVALS", UNACKED)
    return frozenset(id_ for raw in raws for id_ in _events_of(msgspec.json.decode(raw)[0]))


def _events_of(message: dict[str, Any]) -> list[str]:
    _, kwargs, _ = msgspec.json.decode(base64.b64decode(message["body"]))
    return [event["id"] for event in kwargs.get("events", ())]
