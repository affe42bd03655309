"""Lifecycle events from the fleet: who observes them is warned once, however many workers see it happen."""

from datetime import UTC, datetime, timedelta

import trustme

from tests.fleet.ledger_state import balanced
from tests.fleet.scene import FleetScene
from tests.samples import SCOPE
from tests.waiting import eventually
from worker.domain.job import JobState


async def test_people_are_warned_once_and_a_broken_receiver_of_warnings_warns_of_nothing(
    scene: FleetScene,
) -> None:
    scene.receiver.always = {"/broken": 500}
    broken = scene.receiver.url.replace("/hook", "/broken")
    erp = await scene.register(name="ERP", configuration={"url": broken})
    await scene.register(name="People", observes=("job.exhausted",), filter={"data": {"name": {"$startsWith": "ER"}}})
    await scene.register(name="Others", observes=("job.exhausted",), filter={"data": {"name": "WMS"}})
    deaf = await scene.register(name="Deaf", observes=("job.exhausted",), configuration={"url": broken})
    for _ in range(2):
        await scene.start_worker(EDW_RETRY_SCHEDULE="100ms", EDW_API_URL="https://edw.example").ready()
    await scene.publish(id="lost")

    async def deaf_has_failed() -> bool:
        jobs = (await scene.ledger.jobs.of_integration(deaf.id, 0, 10)).items
        return bool(jobs) and all(each.state is JobState.FAILED for each in jobs)

    await eventually(deaf_has_failed, "the warning was not delivered to who does not listen")
    await eventually(lambda: [each for each in scene.receiver.received if each.path == "/hook"], "people are warned")
    (warned,) = [each.body for each in scene.receiver.received if each.path == "/hook"]
    assert warned["triggered_by"] == "job.exhausted"
    data = warned["payload"]["data"]
    assert (data["id"], data["name"], data["count"]) == (erp.id, "ERP", 1)
    assert "500 Internal Server Error" in data["reason"]
    assert data["links"]["console"] == f"https://edw.example/console/integrations/{erp.id}?org=org-1&store=store-1"
    # Another sweep of both workers finds nothing more.
    for _ in range(2):
        found = await scene.ledger.fleet.sweep()
        assert (found.notices, found.exhausted) == ([], [])
    events = (await scene.ledger.events.page(SCOPE, 0, 100)).items
    assert sorted(each.type for each in events) == ["job.exhausted", "order.paid"]
    status = await scene.ledger.status.read()
    assert (status.counter("left_out"), status.counter("matched"), status.inbox) == (1, 2, 0)
    await balanced(scene.ledger)


async def test_people_learn_once_that_a_certificate_runs_out(scene: FleetScene) -> None:
    ends = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    authority = trustme.CA().issue_cert(common_name="shop", not_before=ends - timedelta(days=300), not_after=ends)
    # Nobody listens there.
    configuration = {
        "url": "https://127.0.0.1:9/hook",
        "ca_certificate": authority.cert_chain_pems[0].bytes().decode(),
    }
    erp = await scene.register(name="ERP", configuration=configuration)
    await scene.register(name="People", observes=("integration.certificate_ending",))
    for _ in range(2):
        await scene.start_worker(EDW_RETRY_SCHEDULE="100ms 100ms 100ms").ready()
    for number in range(4):
        await scene.publish(id=f"e-{number}")
    await eventually(scene.receiver.got(1), "people learn of it")

    async def is_over() -> bool:
        status = await scene.ledger.status.read()
        return status.inbox == status.pending == 0

    await eventually(is_over, "all attempts are over")
    (warned,) = [each.body for each in scene.receiver.received]
    assert warned["triggered_by"] == "integration.certificate_ending"
    data = warned["payload"]["data"]
    assert (data["id"], data["name"], data["field"]) == (erp.id, "ERP", "ca_certificate")
    assert datetime.fromisoformat(data["ends_at"]) == ends
    await balanced(scene.ledger)
