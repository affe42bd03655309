"""Backlogs, made quickly: what the ledger's own scripts would write, many in a call."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from tests.ledger import raw
from worker.domain.event import Event, Ingress
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.ledger import Ledger
from worker.ledger.connection.scripts import assembled

#: What accepting, observing and opening do, by the functions that do it there: nobody else is served meanwhile.
_LUA = """-- needs: counters, event_acceptance, job_opening
for _, e in ipairs(A.events) do
  accept_event(e)
  open_job(e.job, e.ref, e.lane, nil, #e.raw)
  redis.call('ZREM', P .. 'inbox', e.ref)
  count('matched')
end
write_lanes()
write_counters()
"""
_OBSERVABLE_KEY = "order.paid"
#: Events of a call, and calls under way.
_PORTION = 500
_AT_ONCE = 8
_LOOK_SECONDS = 0.1


async def plant(ledger: Ledger, integration: Integration, jobs: int) -> None:
    """Has `jobs` events accepted, of which each opened one job of the integration, due now."""
    await plant_across(ledger, [integration], jobs)


async def plant_across(ledger: Ledger, integrations: Sequence[Integration], jobs: int) -> None:
    """Plant `jobs` events, each with one job that is due now, of each of the integrations in turn."""
    planting = assembled("plant", _LUA)
    connection, policy = raw.connection(ledger), ledger.policy
    await connection.client.script_load(planting.source)
    events = _events(integrations, jobs)

    async def portions() -> None:
        while portion := list(islice(events, _PORTION)):
            arguments = connection.packed(
                {
                    "events": portion,
                    "ingress": Ingress.PUBLISHER.value,
                    "grace": policy.announce,
                    "horizon": policy.job_deadline + policy.event_retention,
                    "deadline": policy.job_deadline,
                }
            )
            await connection.client.evalsha(planting.digest, 1, connection.prefix, arguments)

    await asyncio.gather(*(portions() for _ in range(_AT_ONCE)))


async def plant_future_jobs(ledger: Ledger, lanes: int, jobs: int) -> None:
    """Plant lanes with jobs that are all due in an hour, as the scripts would write them."""
    client = raw.client(ledger)
    due = await raw.now(ledger) + 3_600_000
    for start in range(0, lanes, _PORTION):
        pipe = client.pipeline(transaction=False)
        for lane in (f"later {n}" for n in range(start, min(lanes, start + _PORTION))):
            values = {"scope": "s", "revision": 1, "hold": ""}
            pipe.hset(raw.key(ledger, f"lane:{lane}"), mapping=values)
            pipe.zadd(raw.key(ledger, "lanes"), {lane: due})
            names = [f"{lane} {n}" for n in range(jobs)]
            pipe.zadd(raw.key(ledger, f"lane:{lane}:due"), dict.fromkeys(names, due))
            pipe.zadd(raw.key(ledger, "pending"), dict.fromkeys(names, due * 2))
        await pipe.execute()


async def begin_file(ledger: Ledger) -> None:
    """Begins the append-only file of Redis, and waits until all that is in memory is in it."""
    client = raw.client(ledger)
    await client.config_set("appendonly", "yes")
    while await _writes_file(client):  # noqa: ASYNC110  (Redis tells nobody when it is done)
        await asyncio.sleep(_LOOK_SECONDS)


async def _writes_file(client: Any) -> bool:
    state = await client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def _events(integrations: Sequence[Integration], count: int) -> Iterator[dict[str, Any]]:
    data = b'{"type":"order","id":"o-1"}'
    digest = Event("", _OBSERVABLE_KEY, integrations[0].scope, b"", data, None, None, None).digest
    for number, integration in zip(range(count), cycle(integrations), strict=False):
        scope, name = integration.scope, f"backlog-{number}"
        head = f'{{"type":"{_OBSERVABLE_KEY}","org_id":"{scope.org_id}","store_id":"{scope.store_id}"'.encode()
        raw = head + b',"id":"%b","data":%b}' % (name.encode(), data)
        ref = Event(name, _OBSERVABLE_KEY, scope, raw, data, None, None, None).ref
        yield {
            "ref": ref,
            "id": name,
            "type": _OBSERVABLE_KEY,
            "scope": scope.key,
            "raw": raw.decode(),
            "digest": digest,
            "job": job_id(ref, integration.id),
            "lane": integration.id,
        }
