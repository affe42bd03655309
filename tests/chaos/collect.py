"""Reads everything that a run has left: the journals, the ledger's keys, and what the broker holds."""

import base64
from typing import Any

import msgspec

from tests.chaos.receiver import CROWD_TYPE, OBSERVES
from tests.chaos.records import JobRow, Killed, LogRow, Records, read_offers, read_requests
from tests.chaos.stage import Stage
from tests.ledger.audit import LedgerContents

#: Where kombu keeps what was taken over Redis and is not acknowledged (config.celery).
UNACKED = "edw.unacked"


async def collect(stage: Stage, killed: list[Killed], accidents: list[str]) -> Records:
    """The records of a run that is over."""
    contents = await LedgerContents.read(stage.ledger)
    status = await stage.ledger.status.read()
    events = contents.event_ids
    jobs = [
        JobRow(
            id_, events[row["event"]], stage.names[row["lane"]], row["state"], int(row["attempts"]), int(row["lost"])
        )
        for id_, row in contents.jobs.items()
    ]
    return Records(
        lossy=frozenset({"celery"} if stage.rabbit is None else ()),
        observers=_observers(stage),
        offers=[offer for ingress in stage.producers for offer in read_offers(stage.offers(ingress), ingress)],
        requests=read_requests(stage.requests),
        events=frozenset(events.values()),
        jobs=jobs,
        logs=[LogRow(log.job_id, log.attempt, log.succeeded, log.error_detail) for log in contents.logs],
        killed=killed,
        held=await _held(stage),
        events_balance=status.events_balance,
        jobs_balance=status.jobs_balance,
        counters=status.counters,
        audit=contents.problems(),
        accidents=accidents,
    )


def _observers(stage: Stage) -> dict[str, frozenset[str]]:
    types = {type_ for observed in OBSERVES.values() for type_ in observed}
    crowd = frozenset(stage.names.values()) - set(OBSERVES)
    return {type_: frozenset(n for n, all_ in OBSERVES.items() if type_ in all_) for type_ in types} | {
        CROWD_TYPE: crowd
    }


async def _held(stage: Stage) -> frozenset[str]:
    """Ids of events in raw messages that were taken over Redis by a worker that died before it acknowledged them."""
    if stage.rabbit is not None:
        return frozenset()
    with stage.redis_server.client() as client:
        raws = client.hvals(UNACKED)
    return frozenset(id_ for raw in raws for id_ in _events_of(msgspec.json.decode(raw)[0]))


def _events_of(message: dict[str, Any]) -> list[str]:
    _, kwargs, _ = msgspec.json.decode(base64.b64decode(message["body"]))
    return [event["id"] for event in kwargs.get("events", ())]
