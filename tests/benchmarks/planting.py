"""A backlog, made quickly: events and due jobs as the ledger's own scripts write them, many in a call."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any

from tests.benchmarks.order import OBSERVABLE_KEY
from worker.domain.event import Event, Ingress
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.ledger import Ledger
from worker.ledger.connection.scripts import assembled

#: What accepting, observing and opening do, by the functions that do it there: nobody else is served meanwhile.
_LUA = """-- needs: counters, event_acceptance, job_opening
for _, e in ipairs(A.events) do
  accept_event(e)
  open_job(e.job, e.ref, A.lane, nil, #e.raw)
  redis.call('ZREM', P .. 'inbox', e.ref)
  count('matched')
end
write_lanes()
write_counters()
"""
#: Events of a call, and calls under way.
_PORTION = 500
_AT_ONCE = 8
_LOOK_SECONDS = 0.1


async def plant(ledger: Ledger, integration: Integration, jobs: int) -> None:
    """Has `jobs` events accepted, of which each opened one job of the integration, due now."""
    planting = assembled("plant", _LUA)
    store, policy = ledger.redis, ledger.policy
    await store.client.script_load(planting.source)
    events = _events(integration, jobs)

    async def portions() -> None:
        while portion := list(islice(events, _PORTION)):
            arguments = store.packed(
                {
                    "lane": integration.id,
                    "events": portion,
                    "ingress": Ingress.PUBLISHER.value,
                    "grace": policy.announce,
                    "horizon": policy.job_deadline + policy.event_retention,
                    "deadline": policy.job_deadline,
                }
            )
            await store.client.evalsha(planting.digest, 1, store.prefix, arguments)

    await asyncio.gather(*(portions() for _ in range(_AT_ONCE)))


async def begin_file(ledger: Ledger) -> None:
    """Begins the store's append-only file, and waits until all that is in memory is in it."""
    client = ledger.redis.client
    await client.config_set("appendonly", "yes")
    while await _writes_file(client):  # noqa: ASYNC110  (the store tells nobody when it is done)
        await asyncio.sleep(_LOOK_SECONDS)


async def _writes_file(client: Any) -> bool:
    state = await client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def _events(integration: Integration, count: int) -> Iterator[dict[str, Any]]:
    scope, data = integration.scope, b'{"type":"order","id":"o-1"}'
    head = f'{{"type":"{OBSERVABLE_KEY}","org_id":"{scope.org_id}","store_id":"{scope.store_id}"'.encode()
    digest = Event("", OBSERVABLE_KEY, scope, b"", data, None, None, None).digest
    for number in range(count):
        name = f"backlog-{number}"
        raw = head + b',"id":"%b","data":%b}' % (name.encode(), data)
        ref = Event(name, OBSERVABLE_KEY, scope, raw, data, None, None, None).ref
        yield {
            "ref": ref,
            "id": name,
            "type": OBSERVABLE_KEY,
            "scope": scope.key,
            "raw": raw.decode(),
            "digest": digest,
            "job": job_id(ref, integration.id),
        }
