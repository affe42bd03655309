"""Backlogs, made quickly: what the ledger's own scripts would write, many in a call."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from itertools import cycle, islice
from typing import Any

import msgspec

from tests.ledger import raw
from tests.samples import an_integration
from tests.waiting import eventually
from worker.domain.event import Event, Ingress
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.ledger import Ledger
from worker.ledger.connection.scripts import assembled, script
from worker.ledger.events.inbox import acceptance

#: What accepting, observing and opening do, by the functions that do it there: nobody else is served meanwhile.
_LUA = """-- needs: counters, event_acceptance, job_opening
accept_events()
for i, e in ipairs(A.events) do
  list_of_lane(e.job, e.lane)
  list_of_event(e.ref, { e.job })
  open_job(e.job, { ref = e.ref, size = 8 + #ARGV[1 + i], minor = 0 }, e.lane, nil)
  redis.call('ZREM', P .. 'inbox', e.ref)
  count('matched')
end
write_lanes()
write_counters()
"""
#: The same for `A.each` lanes of one event, which the call also creates.
_LUA_LANES = """-- needs: counters, event_acceptance, job_opening
accept_events()
for i, e in ipairs(A.events) do
  for _, j in ipairs(e.jobs) do
    redis.call('HSET', P .. 'lane:' .. j.lane, 'scope', e.scope, 'revision', 1, 'hold', '')
    list_of_lane(j.id, j.lane)
    list_of_event(e.ref, { j.id })
    open_job(j.id, { ref = e.ref, size = 8 + #ARGV[1 + i], minor = 0 }, j.lane, nil)
  end
  redis.call('ZREM', P .. 'inbox', e.ref)
  count('matched')
end
write_lanes()
write_counters()
"""
_OBSERVABLE_KEY = "order.paid"
#: Events of a call, and calls under way.
_BATCH = 500
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
    events = zip(_events(integrations, jobs), cycle(integrations), strict=False)

    async def batches() -> None:
        while batch := list(islice(events, _BATCH)):
            given = acceptance([event for event, _ in batch], Ingress.PUBLISHER, policy)
            for event, (_, integration) in zip(given["events"], batch, strict=True):
                event |= {"job": job_id(event["ref"], integration.id), "lane": integration.id}
            given |= {"deadline": policy.job_deadline}
            await connection.client.evalsha(planting.digest, 1, connection.prefix, *connection.given(given))

    await asyncio.gather(*(batches() for _ in range(_AT_ONCE)))


async def plant_over_lanes(
    ledger: Ledger, jobs: int, lanes: int, name: Callable[[int], str] = "lane-{}".format
) -> None:
    """Plant due jobs, the same number on each of many lanes: `lane-0`, `lane-1` and so on, or as `name` says."""
    planting = assembled("plant_over_lanes", _LUA_LANES)
    connection, policy = raw.connection(ledger), ledger.policy
    await connection.client.script_load(planting.source)
    per_event = 10
    made = _events([an_integration(name(0))], -(-jobs // per_event))
    turn = cycle(range(lanes))
    while batch := list(islice(made, _BATCH // per_event)):
        given = acceptance(batch, Ingress.PUBLISHER, policy) | {"deadline": policy.job_deadline}
        for event in given["events"]:
            ways = [name(n) for n in islice(turn, per_event)]
            event["jobs"] = [{"id": job_id(event["ref"], lane), "lane": lane} for lane in ways]
        await connection.client.evalsha(planting.digest, 1, connection.prefix, *connection.given(given))


async def plant_future_jobs(ledger: Ledger, lanes: int, jobs: int) -> None:
    """Plant lanes with jobs that are all due in an hour, as the scripts would write them."""
    client = raw.client(ledger)
    due = await raw.now(ledger) + 3_600_000
    for start in range(0, lanes, _BATCH):
        pipe = client.pipeline(transaction=False)
        for lane in (f"later {n}" for n in range(start, min(lanes, start + _BATCH))):
            values = {"scope": "s", "revision": 1, "hold": ""}
            pipe.hset(raw.key(ledger, f"lane:{lane}"), mapping=values)
            pipe.zadd(raw.key(ledger, "lanes"), {lane: due})
            names = [f"{lane} {n}" for n in range(jobs)]
            pipe.zadd(raw.key(ledger, f"lane:{lane}:due"), dict.fromkeys(names, due))
            pipe.zadd(raw.key(ledger, "pending"), dict.fromkeys(names, due * 2))
        await pipe.execute()


async def load_scripts(ledger: Ledger) -> None:
    """Have Redis learn every script of the ledger."""
    for each in (files("worker.ledger") / "lua").iterdir():
        if each.is_file():
            await raw.client(ledger).script_load(script(each.name.removesuffix(".lua")).source)


async def begin_file(ledger: Ledger) -> None:
    """Begins the append-only file of Redis, and waits until all that is in memory is in it."""
    client = raw.client(ledger)
    await client.config_set("appendonly", "yes")

    async def is_written() -> bool:
        return not await _writes_file(client)

    await eventually(is_written, "Redis has written its append-only file")


async def _writes_file(client: Any) -> bool:
    state = await client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def _events(integrations: Sequence[Integration], count: int) -> Iterator[Event]:
    """Yield events of the integrations' stores, in turn."""
    data = b'{"type":"order","id":"o-1"}'
    for number, integration in zip(range(count), cycle(integrations), strict=False):
        scope, name = integration.scope, f"backlog-{number}"
        head = f'{{"type":"{_OBSERVABLE_KEY}","org_id":"{scope.org_id}","store_id":"{scope.store_id}"'.encode()
        raw = head + b',"id":"%b","data":%b}' % (name.encode(), data)
        yield Event(name, _OBSERVABLE_KEY, scope, raw, data, None, None, None)


async def plant_activity(ledger: Ledger, lane: str, hours: Sequence[tuple[int, int]], bucket: int = 0) -> None:
    """Has the last hours of a lane, up to the present one, count (attempts, failures) of about the same duration."""
    connection, now, succeeded = raw.connection(ledger), await raw.now(ledger), False
    for back, (attempts, failed) in enumerate(reversed(hours)):
        day, hour = divmod(now // 3_600_000 - back, 24)
        key, first = connection.key(f"activity:{lane}:{day}"), 64 + hour * 256
        for index, count in ((0, attempts), (1, failed), (2 + bucket, attempts)):
            await connection.client.execute_command("BITFIELD", key, "SET", "u32", first + 32 * index, count)
        if attempts > failed and not succeeded:
            succeeded = True
            await connection.client.execute_command("BITFIELD", key, "SET", "i64", 0, now - back * 3_600_000 - 60_000)


async def plant_pulse(ledger: Ledger, lines: Sequence[Sequence[int]]) -> None:
    """Has the last minutes, up to the present one, read (accepted, attempts, succeeded, inbox, pending)."""
    connection, minute = raw.connection(ledger), await raw.now(ledger) // 60_000
    first = minute - len(lines) + 1
    packed = [msgspec.json.encode([first + index, *line]) for index, line in enumerate(lines)]
    await connection.client.delete(connection.key("pulse"))
    await connection.client.rpush(connection.key("pulse"), *packed)
