"""From a producer to the receiver and its logs, through a real Celery worker.

With both brokers: the way once, and what comes as a Celery message, which each of them carries in its own manner. The
rest happens between a worker, the ledger and a receiver.
"""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, counted, succeeded
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.producers import ForeignProducer
from tests.fleet.scene import Register
from tests.fleet.variants import on_both_brokers
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import JobState
from worker.ledger import Ledger
from worker.ledger.inspection.ledger_status import LedgerStatus
from worker.ledger.policy import MAX_JOBS_PER_CALL
from worker.publisher import Publisher

Found = TypeVar("Found")


@on_both_brokers
async def test_a_refused_event_is_delivered_by_the_second_attempt_and_leaves_two_logs(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    integration = await register(description="informs the ERP")
    receiver.answers = [503]
    await start_worker().ready()
    raw = b'{"type":"order.paid","id":"e-1","store_id":"store-1","org_id":"org-1","data":{"id":"o-1","total":10.00}}'

    async with Publisher(settings) as publisher:
        receipt = await publisher.apublish(raw)
    await eventually(receiver.got(2), "both attempts arrive")
    logs = await eventually(lambda: _when(_logs(ledger, integration.id), 2), "both attempts are logged")

    assert receipt.id == "e-1"
    assert [(log.attempt, log.succeeded, log.status_code) for log in logs] == [(2, True, 200), (1, False, 503)]
    assert "503" in logs[1].error_detail
    assert logs[1].body == "try again"
    first, second = receiver.received
    assert (first.body["attempt"], second.body["attempt"]) == (1, 2)
    assert first.body["id"] == second.body["id"] == "e-1"
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == logs[0].job_id
    assert b'"total":10.00' in second.raw
    assert json.loads(second.body["resources"]) == second.body["payload"]
    assert second.body["integration"]["description"] == "informs the ERP"
    job = (await ledger.jobs.get([logs[0].job_id]))[0]
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)
    await balanced(ledger)


async def test_the_same_event_twice_happens_once(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    await register()
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        answers = await publisher.apublish_many([order_paid(id="e-1"), order_paid(id="e-1"), order_paid(id="e-2")])
        again = await publisher.apublish(order_paid(id="e-1", data={"id": "another"}))
    await eventually(receiver.got(2), "both events arrive")
    await eventually(lambda: succeeded(ledger, 2), "both are settled")
    assert [answer.duplicate for answer in answers if not hasattr(answer, "reason")] == [False, True, False]
    assert (again.duplicate, again.differs) == (True, True)
    assert sorted(each.body["id"] for each in receiver.received) == ["e-1", "e-2"]
    await balanced(ledger)


@on_both_brokers
async def test_a_producer_that_only_speaks_celery_is_understood_and_its_bad_events_are_kept(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, producer: ForeignProducer
) -> None:
    await register()
    worker = await start_worker().ready()
    events = [order_paid(), order_paid(id="mine"), {"type": "order.payed", "data": {}}, "not an event", {"data": {}}]
    task_id = producer.send(kwargs={"events": events})
    producer.send(args=[{"nonsense": True}])

    await eventually(receiver.got(2), "the good events arrive")
    rejected = await eventually(lambda: _when(ledger.inbox.rejected(10), 4), "the bad ones are kept")

    ids = {each.body["id"] for each in receiver.received}
    assert ids == {"mine", str(uuid5(UUID(task_id), "0"))}
    assert {each.field for each in rejected} == {"type", "", "events"}
    assert any("order.paid" in each.reason for each in rejected), rejected
    assert (await ledger.status.read()).counter("rejected") == 4
    attempts = await eventually(lambda: attempt_lines(worker, 2), "both attempts have their line")
    # The first one is begun by the task itself, the other as soon as the lane has a free slot.
    assert task_id in {line.get("task") for line in attempts}, "its line names the Celery task it came of"


async def test_a_message_that_is_no_task_of_ours_is_kept_and_not_read_in_circles(
    start_worker: StartWorker, ledger: Ledger, producer: ForeignProducer
) -> None:
    worker = await start_worker().ready()
    producer.send("somebody.elses", kwargs={"order": 7})
    producer.send(kwargs={"events": []}, serializer="pickle")
    rejected = await eventually(lambda: _when(ledger.inbox.rejected(10), 2), "both are kept")
    assert all(each.field == "message" for each in rejected)
    assert not worker.said("unpickl")


async def test_one_bad_event_takes_none_of_its_neighbours_with_it(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, producer: ForeignProducer
) -> None:
    await register()
    await start_worker().ready()
    half_a_pair = order_paid(id="half", data={"name": "\ud83d"})
    events = [order_paid(id="before"), half_a_pair, order_paid(id="after")]
    producer.send(kwargs={"events": events})
    await eventually(receiver.got(2), "the good ones arrive")
    (rejected,) = await eventually(lambda: _when(ledger.inbox.rejected(10), 1), "the bad one is kept")
    assert "half" in rejected.given


@on_both_brokers
async def test_messages_that_celery_would_choke_on_or_drop_are_kept_or_taken(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, producer: ForeignProducer
) -> None:
    await register()
    worker = await start_worker().ready()
    with producer.app.producer_or_acquire() as raw:
        body = [[], {"events": [order_paid()]}, {}]
        # Without the task's id, which Celery looks up outside of any guard.
        raw.publish(body, routing_key="edw.events", headers={"task": "worker.tasks.observe"}, serializer="json")
    producer.send(kwargs={"events": [order_paid(id="late")]}, expires=0.000001)
    await eventually(receiver.got(1), "an event that is late is still an event")
    (rejected,) = await eventually(lambda: _when(ledger.inbox.rejected(10), 1), "the one without an id is kept")
    assert "id" in rejected.reason
    assert not worker.said("Connection to broker lost")


async def test_a_disabled_integration_gets_nothing_and_another_store_sees_nothing(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    await register(enabled=False)
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish_many([order_paid(), order_paid(store_id="store-2")])
    status = await eventually(lambda: _unmatched(ledger, 2), "both events are observed")
    assert status.counter("opened") == 0
    assert receiver.received == []
    await balanced(ledger)


async def test_410_ends_the_job_and_disables_the_integration_with_the_reason(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    integration = await register()
    receiver.answers = [410]
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(lambda: counted(ledger, "failed", 1), "the job ends")
    found = (await ledger.integrations.get([integration.id]))[0]
    assert not found.enabled
    assert "410" in found.disabled_reason
    (job,) = (await ledger.jobs.of_integration(integration.id, 0, 5)).items
    assert (job.state, job.reason) == (JobState.FAILED, "gone")


async def test_a_job_ends_when_its_schedule_does(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    integration = await register()
    receiver.answers = [500] * 10
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(lambda: counted(ledger, "failed", 1), "the job ends")
    logs = (await ledger.logs.of_integration(integration.id, 0, 10)).items
    assert [log.attempt for log in logs] == [4, 3, 2, 1]
    job = (await ledger.jobs.get([logs[0].job_id]))[0]
    assert (job.state, job.reason) == (JobState.FAILED, "exhausted")
    assert [each.attempt for each in (await ledger.logs.failures(SCOPE, 0, 10)).items] == [4, 3, 2, 1]


async def test_ten_thousand_integrations_of_one_event_are_opened_in_chunks_and_all_delivered(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    redis_server: RedisServer,
    settings: Settings,
) -> None:
    for _ in range(20):
        await asyncio.gather(*(register() for _ in range(500)))
    with redis_server.client() as client:
        client.config_resetstat()
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(lambda: succeeded(ledger, 10_000), "all are delivered", 600)
    with redis_server.client() as client:
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 10_000
    # No call opened or settled more than a chunk; what each may cost is counted in ledger/test_costs.py.
    assert calls >= 2 * 10_000 / MAX_JOBS_PER_CALL
    await balanced(ledger)


async def _logs(ledger: Ledger, integration_id: str) -> Sequence[IntegrationLog]:
    return (await ledger.logs.of_integration(integration_id, 0, 10)).items


async def _when(reading: Awaitable[Sequence[Found]], count: int) -> Sequence[Found] | None:
    found = await reading
    return found if len(found) >= count else None


async def _unmatched(ledger: Ledger, count: int) -> LedgerStatus | None:
    status = await ledger.status.read()
    return status if status.counter("unmatched") >= count else None


def attempt_lines(worker: WorkerProcess, least: int) -> list[dict[str, Any]]:
    """The canonical lines of a worker's attempts, once there are so many; a line may still be half written."""
    whole = worker.log.read_text(errors="replace").rpartition("\n")[0].splitlines()
    found = [json.loads(line) for line in whole if '"event":"attempt"' in line]
    return found if len(found) >= least else []
