"""One trace from a producer to the receiver, through the real API and a real worker, at a collector of OTLP."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from kombu.connection import Connection

from config.celery import intake_queues
from tests.counterparts.collector import Collector, Seen, collecting
from tests.fleet.api_caller import caller_of
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartApi
from tests.fleet.producers import ForeignProducer
from tests.fleet.scene import FleetScene
from tests.fleet.variants import on_rabbitmq
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as opened:
        yield opened


class TestTraced:
    @pytest.fixture
    def environment(self, environment: dict[str, str], collector: Collector) -> dict[str, str]:
        """The environment of processes that trace: to send what they have at once."""
        return environment | {
            "EDW_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    async def test_a_publish_over_http_and_all_attempts_are_one_trace_which_each_receiver_gets(
        self, scene: FleetScene, start_api: StartApi, collector: Collector
    ) -> None:
        integration = await scene.register(configuration={"url": f"{scene.receiver.url}?token=planted"})
        scene.receiver.answers = [503]
        api, worker = start_api(), scene.start_worker()
        await asyncio.gather(api.ready(), worker.ready())
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=t61rcWkgMzE"}

        async with aiohttp.ClientSession(headers=headers) as session:
            caller = await caller_of(session, scene.ledger)
            answer = await caller.post(
                f"{api.url}/v2/events", {"data": order_paid(id="e-1", data={"id": "o-1", "card": "4111"})}
            )
            assert answer.status == 202
            await eventually(lambda: len(collector.named("deliver order.paid")) == 2, "both attempts are traced")
            await eventually(lambda: len(collector.spans) == 5, "and all that came before")

        (request,) = collector.named("POST /v2/events")
        (publish,) = collector.named("publish order.paid")
        (observe,) = collector.named("observe order.paid")
        first, second = sorted(collector.named("deliver order.paid"), key=lambda span: span.attributes["edw.attempt"])
        assert {span.trace_id for span in collector.spans} == {TRACE}
        assert (request.parent_id, publish.parent_id, observe.parent_id) == (PARENT, request.span_id, publish.span_id)
        assert first.parent_id == second.parent_id == publish.span_id
        assert (first.links, second.links) == ((), ((TRACE, first.span_id),))
        assert (first.failed, second.failed) == (True, False)
        assert [span.service for span in (request, publish, observe, first)] == ["edw-api"] * 2 + ["edw-worker"] * 2
        assert [span.kind for span in (request, publish, observe, first)] == [
            "SERVER",
            "PRODUCER",
            "CONSUMER",
            "CLIENT",
        ]
        assert [each.headers["traceparent"] for each in scene.receiver.received] == [
            f"00-{TRACE}-{first.span_id}-01",
            f"00-{TRACE}-{second.span_id}-01",
        ]
        assert [each.headers["tracestate"] for each in scene.receiver.received] == ["shop=t61rcWkgMzE"] * 2
        _describes(first, integration.id, scene.receiver)
        assert publish.attributes["edw.acceptance"] == "new"
        assert observe.attributes["edw.matched"] == 1
        assert not [span for span in collector.spans if any(word in str(span) for word in ("planted", "4111"))]
        assert (await worker.stop(), await api.stop()) == (0, 0)
        # An attempt is logged after it was settled, which may be after its span and its answer were seen.
        assert f'"trace_id":"{TRACE}","span_id":"{second.span_id}"' in worker.log.read_text()
        await balanced(scene.ledger)

    async def test_an_attempt_that_died_with_its_worker_has_its_span_and_the_next_one_is_linked_to_it(
        self, scene: FleetScene, collector: Collector
    ) -> None:
        await scene.register()
        scene.receiver.hold = asyncio.Event()
        worker = await scene.start_worker().ready()
        await scene.put_in_intake(order_paid(id="e-1"))
        await eventually(scene.receiver.got(1), "the first attempt is under way")
        await eventually(lambda: collector.named("observe order.paid"), "the event is observed")

        worker.kill()
        scene.answer()
        other = await scene.start_worker().ready()

        await eventually(lambda: len(collector.named("deliver order.paid")) == 2, "both attempts are traced")
        first, second = sorted(collector.named("deliver order.paid"), key=lambda span: span.attributes["edw.attempt"])
        (publish,) = collector.named("publish order.paid")
        assert (first.attributes["edw.outcome"], first.failed) == ("lost", True)
        assert second.links == ((first.trace_id, first.span_id),)
        assert first.parent_id == second.parent_id == publish.span_id
        # The worker that died had sent its receiver the very span that the other one has now reported.
        reported = scene.receiver.received[0].headers["traceparent"]
        assert reported == f"00-{first.trace_id}-{first.span_id}-03"
        assert await other.stop() == 0

    async def test_a_collector_that_hangs_delays_no_delivery_and_not_the_end(
        self, scene: FleetScene, collector: Collector
    ) -> None:
        await scene.register()
        collector.hold = asyncio.Event()
        worker = await scene.start_worker().ready()
        await scene.put_in_intake(*(order_paid() for _ in range(50)))
        await eventually(scene.receiver.got(50), "all are delivered")
        await eventually(lambda: collector.asked, "the collector was asked")

        async with asyncio.timeout(30):
            assert await worker.stop() == 0

        assert worker.said("traces not sent")
        assert collector.spans == []
        await balanced(scene.ledger)


def _describes(span: Seen, integration_id: str, receiver: Receiver) -> None:
    found = span.attributes
    job, address = receiver.received[0].headers["webhook-id"], receiver.url.removeprefix("http://").partition("/")[0]
    assert (found["edw.job.id"], found["edw.integration.id"]) == (job, integration_id)
    assert (found["messaging.message.id"], found["edw.store.id"]) == ("e-1", SCOPE.store_id)
    assert (found["http.request.method"], found["http.response.status_code"], found["error.type"]) == (
        "POST",
        503,
        "503",
    )
    assert f"{found['server.address']}:{found['server.port']}" == address
    assert found["edw.retry_in"] > 0


@on_rabbitmq
async def test_where_nothing_is_traced_the_producers_context_is_handed_on_by_every_ingress(
    broker_url: str, scene: FleetScene, producer: ForeignProducer
) -> None:
    await scene.register()
    await scene.start_worker().ready()
    sent = {
        name: f"00-{TRACE}-{number:016x}-01" for number, name in enumerate(("redis", "rabbit", "binary", "celery"), 1)
    }
    cloudevent = {
        "specversion": "1.0",
        "id": "redis",
        "type": "order.paid",
        "source": "/shop",
        "storeid": SCOPE.store_id,
        "orgid": SCOPE.org_id,
        "data": {"id": "o-1"},
        "traceparent": sent["redis"],
        "tracestate": "shop=1",
    }

    await scene.put_in_intake(cloudevent)
    with Connection(broker_url) as connection:
        by_amqp = connection.Producer()
        plain = {"traceparent": sent["rabbit"], "tracestate": "shop=2"}
        by_amqp.publish(order_paid(id="rabbit"), routing_key="edw.intake", headers=plain, declare=intake_queues("0"))
        binary = {
            f"cloudEvents:{name}": str(value)
            for name, value in {**cloudevent, "id": "binary", "traceparent": sent["binary"]}.items()
            if name != "data"
        }
        # The event's own goes before its message's.
        by_amqp.publish({"id": "o-1"}, routing_key="edw.intake", headers={**binary, **plain})
    producer.send(
        kwargs={"events": [order_paid(id="celery"), order_paid(id="none", traceparent=7, tracestate=[])]},
        headers={"traceparent": sent["celery"], "tracestate": "shop=3"},
    )

    await eventually(scene.receiver.got(5), "all are delivered")
    reported = {each.body["id"]: each.headers for each in scene.receiver.received}
    assert {name: reported[name].get("traceparent") for name in sent} == sent
    assert {name: reported[name].get("tracestate") for name in sent} == {
        "redis": "shop=1",
        "rabbit": "shop=2",
        "binary": "shop=1",
        "celery": "shop=3",
    }
