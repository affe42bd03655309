"""Workers, PostgreSQL and Redis die at random under load: in the end each event, job and log is in the history once."""

import json
from random import Random
from typing import Any

import psycopg
import pytest

from config.settings import Settings, load_settings
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, an_integration, order_paid
from tests.waiting import eventually
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.compact_id import compact_uuid
from worker.ledger import Ledger, LedgerError
from worker.ledger.events.wire_event import stored_of
from worker.publisher import Publisher

#: Events of one round, in which something is killed.
EVENTS = 40
BY = Actor("", "somebody")


@pytest.fixture
def environment(environment: dict[str, str], postgres: PostgresServer, database_name: str) -> dict[str, str]:
    """Processes with a history whose ledger forgets what is archived after a second."""
    return environment | {"EDW_HISTORY_URL": postgres.url(database_name), "EDW_LEDGER_WINDOW": "1s"}


async def test_whatever_is_killed_everything_is_archived_once_and_forgotten(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    postgres: PostgresServer,
    database_name: str,
    redis_server: RedisServer,
    pytestconfig: pytest.Config,
) -> None:
    assert load_settings().history_url is not None
    await register()
    chosen = Random(22)
    workers = [await start_worker().ready() for _ in range(2)]
    sent: dict[str, dict[str, Any]] = {}
    changes: list[str] = []
    for turn in range(pytestconfig.getoption("--history-kills")):
        events = [order_paid(id=f"e-{turn}-{n}") for n in range(EVENTS)]
        sent |= {event["id"]: event for event in events}
        async with Publisher(settings) as publisher:
            await publisher.apublish_many(events)
        change = Change(
            Actor("", "x"), ChangeAction.INTEGRATION_UPDATED, SCOPE.key, "integration", "i", {}, {"n": turn}
        )
        await ledger.integrations.put(an_integration("i", enabled=False), change=change)
        changes.append(change.id)
        await _kill(("a worker", "postgresql", "a worker", "redis")[turn % 4], chosen, workers, postgres, redis_server)
        alive = [worker for worker in workers if worker.process.poll() is None]
        workers = [*alive, *[await start_worker().ready() for _ in range(2 - len(alive))]]

    async def all_is_over() -> bool:
        try:
            status = await ledger.status.read()
        except LedgerError:
            return False
        waiting = await ledger.outbox.lag()
        return status.counter("succeeded") >= len(sent) and waiting.waiting + waiting.kept == 0

    await eventually(all_is_over, "everything is delivered, archived and forgotten")
    status = await ledger.status.read()
    assert (status.events_balance, status.jobs_balance) == (0, 0)
    with psycopg.connect(postgres.url(database_name)) as connection:
        archived = connection.execute("SELECT ref, head, payload FROM edw.events JOIN edw.payloads USING (ref, day)")
        found = [stored_of(compact_uuid(ref), head + payload) for ref, head, payload in archived.fetchall()]
        jobs = connection.execute("SELECT id, state, attempts FROM edw.jobs").fetchall()
        logs = connection.execute("SELECT job, attempt FROM edw.logs ORDER BY job, attempt").fetchall()
        audited = connection.execute("SELECT id::text FROM edw.changes ORDER BY at").fetchall()
    assert audited == [(each,) for each in changes]
    assert sorted(each.event.id for each in found if each) == sorted(sent)
    assert all(json.loads(each.event.raw) == sent[each.event.id] for each in found if each)
    assert {state for _, state, _ in jobs} == {"succeeded"}
    assert len({job for job, _, _ in jobs}) == len(jobs) == len(sent)
    expected = [(job, attempt) for job, _, attempts in jobs for attempt in range(1, attempts + 1)]
    assert logs == sorted(expected)


async def _kill(
    what: str, chosen: Random, workers: list[WorkerProcess], postgres: PostgresServer, redis_server: RedisServer
) -> None:
    match what:
        case "a worker":
            chosen.choice(workers).kill()
        case "postgresql":
            postgres.restart()
        case "redis":
            redis_server.restart()
