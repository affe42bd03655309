"""POST /v2/events: what is taken, what is answered when, and what holds it back."""

import asyncio
import gzip
import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr

from config.celery import EVENTS_QUEUE
from config.settings import Settings
from tests.api_client import Answer, Api, Client, Serve, accepted
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import StartWorker
from tests.fleet.producers import messages_on_list
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection, surgery
from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE
from tests.waiting import eventually
from worker.api.schemas import EVENTS_MOST
from worker.api.services import event_intake
from worker.domain.api_token import Role
from worker.domain.event import Event, Scope, event_ref
from worker.ledger.connection import redis_client as redis_client_module
from worker.ledger.events.inbox import Inbox

EVENTS = "/v2/events"
CLOUDEVENT = {"Content-Type": "application/cloudevents+json"}
CLOUDEVENTS = {"Content-Type": "application/cloudevents-batch+json"}
#: How long a ledger of these tests waits for a Redis that says nothing (seconds).
SILENCE = 0.5
#: Numbers and spaces that no decoder may touch.
EXACT = b'{ "type":"order", "id":"o-1", "total":10.00, "n": 123456789012345678901234567890 }'


def order(event_id: str = "e-1", **more: Any) -> dict[str, Any]:
    return {"id": event_id, "type": "order.paid", "data": {"type": "order", "id": "o-1"}} | more


def cloud(event_id: str = "e-1", **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "https://shop.example/",
        "type": "order.paid",
        "data": {"type": "order", "id": "o-1"},
    } | more


def binary(event_id: str = "e-1", **more: str) -> dict[str, str]:
    attributes = {"specversion": "1.0", "id": event_id, "source": "https://shop.example/", "type": "order.paid"}
    return {f"ce-{name}": value for name, value in (attributes | more).items()} | {"Content-Type": "application/json"}


async def kept(api: Api, event_id: str = "e-1", scope: Scope = SCOPE) -> Event:
    """The event as the ledger has it."""
    found = await api.ledger.events.show(event_ref(scope, event_id), 0, 1)
    assert found is not None
    return found.stored.event


def statuses(answer: Answer) -> list[int]:
    return [each["status"] for each in answer.data]


async def traces(api: Api, *event_ids: str) -> list[str | None]:
    """The trace contexts of events, as the ledger has them."""
    return await inspection.trace_contexts(api.ledger, [event_ref(SCOPE, each) for each in event_ids])


class TestTraces:
    TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    OWN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-00"

    async def test_the_context_of_a_request_is_that_of_its_events_but_for_those_that_name_their_own(
        self, api: Api, admin: Client
    ) -> None:
        headers = CIMultiDict({"traceparent": self.TRACEPARENT})
        headers.add("tracestate", "shop=1")
        headers.add("tracestate", "erp=2")
        events = [
            order("e-1"),
            order("e-2", traceparent=self.OWN),
            cloud("e-3", traceparent=self.OWN, tracestate="a=b"),
        ]

        assert (await admin.post(EVENTS, {"data": events}, headers)).status == 202
        assert (await admin.ask("POST", EVENTS, b"{}", headers=binary("e-4", traceparent=self.OWN))).status == 202

        assert await traces(api, "e-1", "e-2", "e-3", "e-4") == [
            f"{self.TRACEPARENT} shop=1,erp=2",
            self.OWN,
            f"{self.OWN} a=b",
            self.OWN,
        ]

    @pytest.mark.parametrize("malformed", [["nonsense"], [TRACEPARENT, OWN], [TRACEPARENT + "-more"], []])
    async def test_a_malformed_one_is_ignored(self, api: Api, admin: Client, malformed: list[str]) -> None:
        headers = CIMultiDict(("traceparent", each) for each in malformed)

        assert (await admin.post(EVENTS, {"data": order(traceparent=5, tracestate={})}, headers)).status == 202

        assert await traces(api, "e-1") == [None]

    async def test_the_same_event_of_another_trace_is_no_other_event(self, api: Api, admin: Client) -> None:
        await admin.post(EVENTS, {"data": order()}, {"traceparent": self.TRACEPARENT})
        answer = await admin.post(EVENTS, {"data": order()}, {"traceparent": self.OWN})

        assert (answer.data["duplicate"], answer.data["differs"]) == (True, False)
        assert await traces(api, "e-1") == [self.TRACEPARENT]


class TestOurOwnForm:
    async def test_an_event_is_accepted_with_its_id_and_where_to_ask_what_became_of_it(
        self, api: Api, admin: Client
    ) -> None:
        answer = await admin.post(EVENTS, {"data": order("a/b c")})

        assert answer.status == 202
        assert answer.data == {
            "type": "event",
            "status": 202,
            "id": "a/b c",
            "duplicate": False,
            "differs": False,
            "links": {"self": f"{api.url}/v2/events/{quote('a/b c', safe='')}"},
        }
        assert (await admin.ask("GET", answer.data["links"]["self"])).data["id"] == "a/b c"

    async def test_without_an_id_it_gets_one(self, api: Api, admin: Client) -> None:
        event = order()
        del event["id"]

        made = [(await admin.post(EVENTS, {"data": event})).data["id"] for _ in range(2)]

        assert len(set(made)) == 2
        assert (await kept(api, made[0])).type == "order.paid"

    async def test_what_it_says_beside_is_kept(self, api: Api, admin: Client) -> None:
        more: dict[str, Any] = {
            "time": "2026-11-24T07:00:00Z",
            "source": "https://shop.example/",
            "included": {"items": [{"id": "i"}]},
        }

        await admin.post(EVENTS, {"data": order(**more)})

        event = await kept(api)
        assert (event.time, event.source) == (more["time"], more["source"])
        assert json.loads(event.included or b"") == more["included"]
        shown = (await admin.get(f"{EVENTS}/e-1")).data
        assert (shown["state"], shown["time"], shown["source"]) == ("waiting", more["time"], more["source"])

    @pytest.mark.parametrize(
        "form",
        [
            b'{"data":{"id":"e-1","type":"order.paid","data":%s}}',
            b'{"data" : \n [ {"id":"e-1","type":"order.paid","data":%s} ] }',
        ],
    )
    async def test_the_bytes_are_kept_as_they_came(self, api: Api, admin: Client, form: bytes) -> None:
        assert (await admin.post(EVENTS, form % EXACT)).status == 202

        assert (await kept(api)).data == EXACT

    async def test_they_arrive_as_they_came(self, admin: Client, receiver: Receiver, start_worker: StartWorker) -> None:
        await admin.create(configuration={"url": receiver.url})
        await start_worker().ready()

        await admin.post(EVENTS, b'{"data":{"id":"e-1","type":"order.paid","data":%s}}' % EXACT)

        await eventually(receiver.got(1), "it arrives")
        assert EXACT in receiver.received[0].raw

    @pytest.mark.parametrize(
        "headers", [{"Content-Type": "application/vnd.api+json"}, {"Content-Type": "application/json; charset=UTF-8"}]
    )
    async def test_other_names_of_json_are_taken(self, admin: Client, headers: dict[str, str]) -> None:
        assert (await admin.post(EVENTS, {"data": order()}, headers)).status == 202

    async def test_a_compressed_body_is_taken(self, admin: Client) -> None:
        body = gzip.compress(json.dumps({"data": order()}).encode())

        assert (await admin.post(EVENTS, body, {"Content-Encoding": "gzip"})).status == 202

    @pytest.mark.parametrize(
        ("body", "pointer", "said"),
        [
            (order(), "/type", "wrap the event"),
            (cloud(), "/type", "wrap the event"),
            ({}, "/data", "is required"),
            ([], "", "expected an object"),
            ({"data": None}, "/data", "expected"),
            ({"data": "x"}, "/data", "expected"),
            ({"data": {}}, "/data/type", "is required"),
            ({"data": order(type="order.payd")}, "/data/type", "order.paid"),
            ({"data": order(data=[])}, "/data/data", "expected an object"),
            ({"data": order(time="yesterday")}, "/data/time", "RFC 3339"),
            ({"data": order("")}, "/data/id", "empty"),
            ({"data": order("x" * 129)}, "/data/id", "129 characters"),
            ({"data": order(included="x")}, "/data/included", "object or a list"),
        ],
    )
    async def test_what_is_wrong_is_named_by_its_place(self, admin: Client, body: Any, pointer: str, said: str) -> None:
        answer = await admin.post(EVENTS, body)

        assert answer.status == 422
        assert answer.pointers == [pointer]
        assert said in answer.errors[0]["detail"]

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"not json", b"{} {}"])
    async def test_what_is_no_json_is_400(self, admin: Client, body: bytes) -> None:
        assert (await admin.post(EVENTS, body)).status == 400

    async def test_another_type_is_415_and_says_which_are_taken(self, admin: Client) -> None:
        answer = await admin.post(EVENTS, b"<event/>", {"Content-Type": "text/xml"})

        assert answer.status == 415
        assert "application/cloudevents+json" in answer.errors[0]["detail"]

    async def test_a_missing_content_type_is_taken_for_json(self, api: Api, admin: Client) -> None:
        headers = {"Authorization": f"Bearer {admin.token}"}
        body = json.dumps({"data": order()}).encode()

        async with api.session.post(
            api.url + EVENTS, data=body, headers=headers, skip_auto_headers=["Content-Type"]
        ) as answer:
            assert answer.status == 202

    async def test_an_event_that_is_too_large_is_refused_with_both_sizes(self, serve: Serve) -> None:
        admin = await (await serve(event_max_bytes=300)).someone()

        answer = await admin.post(EVENTS, {"data": [order("e-1"), order("e-2", data={"text": "x" * 300})]})

        assert (answer.status, statuses(answer)) == (207, [202, 422])
        assert "at most 300" in answer.errors[0]["detail"]

    async def test_a_body_that_is_too_large_is_413_compressed_or_not(self, serve: Serve) -> None:
        admin = await (await serve(api_body_limit=1_000)).someone()
        body = json.dumps({"data": order(data={"text": "x" * 1_000})}).encode()

        for sent, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            answer = await admin.post(EVENTS, sent, headers)
            assert (answer.status, "1,000" in answer.errors[0]["detail"]) == (413, True)


class TestCloudEvents:
    async def test_structured(self, api: Api, admin: Client) -> None:
        answer = await admin.post(EVENTS, cloud(time="2026-11-24T07:00:00Z"), CLOUDEVENT)

        assert (answer.status, answer.data["id"]) == (202, "e-1")
        event = await kept(api)
        assert (event.source, event.time) == ("https://shop.example/", "2026-11-24T07:00:00Z")

    async def test_its_data_is_kept_as_it_came(self, api: Api, admin: Client) -> None:
        raw = b'{"specversion":"1.0","id":"e-1","source":"s","type":"order.paid","data":%s}' % EXACT

        assert (await admin.post(EVENTS, raw, CLOUDEVENT)).status == 202

        assert (await kept(api)).data == EXACT

    async def test_a_batch(self, api: Api, admin: Client) -> None:
        answer = await admin.post(EVENTS, [cloud("e-1"), cloud("e-2")], CLOUDEVENTS)

        assert (answer.status, [each["id"] for each in answer.data]) == (202, ["e-1", "e-2"])
        assert await accepted(api) == 2

    async def test_a_batch_with_a_bad_one(self, admin: Client) -> None:
        answer = await admin.post(EVENTS, [cloud("e-1"), cloud("e-2", specversion="0.3"), 5], CLOUDEVENTS)

        assert (answer.status, statuses(answer)) == (207, [202, 422, 422])
        assert answer.pointers == ["/1/specversion", "/2"]

    async def test_binary(self, api: Api, admin: Client) -> None:
        headers = binary("caf%C3%A9", time="2026-11-24T07:00:00Z", subject="ignored")

        answer = await admin.post(EVENTS, EXACT, headers)

        assert (answer.status, answer.data["id"]) == (202, "café")
        event = await kept(api, "café")
        assert (event.data, event.time) == (EXACT, "2026-11-24T07:00:00Z")

    async def test_wrapped_as_our_own(self, api: Api, admin: Client) -> None:
        answer = await admin.post(EVENTS, {"data": [cloud("e-1", storeid=SCOPE.store_id), order("e-2")]})

        assert (answer.status, statuses(answer)) == (202, [202, 202])
        assert (await kept(api)).source == "https://shop.example/"

    @pytest.mark.parametrize(
        ("headers", "body", "pointer"),
        [
            (CLOUDEVENT, cloud(id=""), "/id"),
            (CLOUDEVENT, cloud(datacontenttype="text/xml"), "/datacontenttype"),
            (CLOUDEVENT, cloud(store_id="store-1"), "/store_id"),
            (CLOUDEVENT, [cloud()], ""),
            (CLOUDEVENTS, cloud(), ""),
            (CLOUDEVENTS, [], ""),
            (binary(source=""), {"id": "o-1"}, "/source"),
            (binary(specversion="1.1"), {"id": "o-1"}, "/specversion"),
            (binary(), b"", "/data"),
        ],
    )
    async def test_what_is_wrong_is_named_by_its_place(
        self, admin: Client, headers: dict[str, str], body: Any, pointer: str
    ) -> None:
        answer = await admin.post(EVENTS, body, headers)

        assert (answer.status, answer.pointers) == (422, [pointer])

    async def test_another_stores_is_forbidden_in_every_form(self, admin: Client) -> None:
        other = str(ELSEWHERE.store_id)
        forms: list[tuple[Any, dict[str, str]]] = [
            (cloud(storeid=other), CLOUDEVENT),
            ([cloud(storeid=other)], CLOUDEVENTS),
            ({"id": "o-1"}, binary(storeid=other)),
        ]

        assert [(await admin.post(EVENTS, *form)).status for form in forms] == [403, 403, 403]


class TestBatches:
    async def test_the_good_are_accepted_and_the_bad_are_reported_by_their_index(self, api: Api, admin: Client) -> None:
        batch = [order("e-0"), {"type": "order.paid"}, order("e-2", store_id="store-2"), order("e-3"), "x"]

        answer = await admin.post(EVENTS, {"data": batch})

        assert answer.status == 207
        assert [(each["index"], each["status"], each.get("id")) for each in answer.data] == [
            (0, 202, "e-0"),
            (1, 422, None),
            (2, 403, None),
            (3, 202, "e-3"),
            (4, 422, None),
        ]
        assert answer.pointers == ["/data/1/data", "/data/2/store_id", "/data/4"]
        assert answer.data[1]["errors"] == [answer.errors[0]]
        assert await accepted(api) == 2

    async def test_all_good_is_202(self, admin: Client) -> None:
        answer = await admin.post(EVENTS, {"data": [order("e-0"), order("e-1")]})

        assert (answer.status, statuses(answer)) == (202, [202, 202])
        assert "errors" not in answer.document

    @pytest.mark.parametrize(
        ("batch", "status"),
        [
            ([{}, {"type": "order.paid"}], 422),
            ([order(store_id="store-2"), order(org_id="org-2")], 403),
            ([order(store_id="store-2"), {}], 422),
        ],
    )
    async def test_where_none_is_good_there_is_one_answer_with_an_error_for_each(
        self, api: Api, admin: Client, batch: list[Any], status: int
    ) -> None:
        answer = await admin.post(EVENTS, {"data": batch})

        assert (answer.status, len(answer.errors)) == (status, 2)
        assert [pointer.split("/")[2] for pointer in answer.pointers] == ["0", "1"]
        assert await accepted(api) == 0

    @pytest.mark.parametrize("count", [0, EVENTS_MOST + 1])
    async def test_none_and_too_many_are_refused_as_a_whole(self, api: Api, admin: Client, count: int) -> None:
        answer = await admin.post(EVENTS, {"data": [order(str(index)) for index in range(count)]})

        assert (answer.status, answer.pointers) == (422, ["/data"])
        assert await accepted(api) == 0

    async def test_as_many_as_may_be_are_taken_in_their_order(self, api: Api, admin: Client) -> None:
        answer = await admin.post(EVENTS, {"data": [order(str(index)) for index in range(EVENTS_MOST)]})

        assert answer.status == 202
        assert [each["id"] for each in answer.data] == [str(index) for index in range(EVENTS_MOST)]
        assert await accepted(api) == EVENTS_MOST


class TestDuplicates:
    async def test_the_same_id_again_is_reported_and_nothing_happens_twice(self, api: Api, admin: Client) -> None:
        await admin.post(EVENTS, {"data": order()})

        again = await admin.post(EVENTS, {"data": order()})
        other = await admin.post(EVENTS, {"data": order(data={"id": "o-2"})})

        assert (again.status, again.data["duplicate"], again.data["differs"]) == (202, True, False)
        assert (other.status, other.data["duplicate"], other.data["differs"]) == (202, True, True)
        assert json.loads((await kept(api)).data)["id"] == "o-1"
        assert await accepted(api) == 1

    async def test_within_a_batch_too(self, admin: Client) -> None:
        answer = await admin.post(EVENTS, {"data": [order(), order(), order("e-2")]})

        assert [each["duplicate"] for each in answer.data] == [False, True, False]

    async def test_another_stores_event_of_the_same_id_is_another_event(self, api: Api, admin: Client) -> None:
        other = await api.someone(scope=ELSEWHERE)
        await admin.post(EVENTS, {"data": order()})

        assert (await other.post(EVENTS, {"data": order()})).data["duplicate"] is False


class TestWhoMay:
    async def test_a_publisher_may_and_a_reader_may_not(self, api: Api) -> None:
        publisher, reader = await api.someone(Role.PUBLISH), await api.someone(Role.READ)

        assert (await publisher.post(EVENTS, {"data": order()})).status == 202
        assert (await reader.post(EVENTS, {"data": order()})).status == 403
        assert (await publisher.get(f"{EVENTS}/e-1")).status == 403

    @pytest.mark.parametrize(
        "names", [{"store_id": "store-2"}, {"org_id": "org-2"}, {"store_id": "store-1", "org_id": "org-2"}]
    )
    async def test_an_event_that_names_another_store_is_forbidden(
        self, api: Api, admin: Client, names: dict[str, str]
    ) -> None:
        answer = await admin.post(EVENTS, {"data": order(**names)})

        assert answer.status == 403
        assert await accepted(api) == 0

    async def test_one_that_names_its_own_or_none_is_its_own(self, api: Api, admin: Client) -> None:
        named = order("e-1", store_id=SCOPE.store_id, org_id=SCOPE.org_id)

        assert (await admin.post(EVENTS, {"data": [named, order("e-2")]})).status == 202

        assert (await kept(api, "e-1")).scope == (await kept(api, "e-2")).scope == SCOPE

    async def test_an_organisations_token_is_for_the_organisations_own_events(self, api: Api) -> None:
        organisation = Scope("org-1")
        somebody = await api.someone(scope=organisation)
        release = {"type": "catalog-release.created", "data": {"type": "catalog-release", "id": "r-1"}}

        assert (await somebody.post(EVENTS, {"data": release | {"id": "e-1"}})).status == 202
        assert (await somebody.post(EVENTS, {"data": release | {"store_id": "store-1"}})).status == 403
        wrong_level = await somebody.post(EVENTS, {"data": order()})

        assert (wrong_level.status, wrong_level.pointers) == (422, ["/data/type"])
        assert (await kept(api, "e-1", organisation)).scope == organisation

    async def test_the_only_stores_token_takes_no_event_of_a_named_one(self, api: Api) -> None:
        somebody = await api.someone(scope=Scope())

        assert (await somebody.post(EVENTS, {"data": order()})).status == 202
        assert (await somebody.post(EVENTS, {"data": order(store_id="store-1")})).status == 403


class TestThePlatform:
    async def test_its_events_are_of_the_store_that_they_name(self, api: Api) -> None:
        platform = await api.someone(Role.PUBLISH, platform=True)
        batch = [order("e-1", store_id=f"store-{n}", org_id=f"org-{n}") for n in (1, 2)]

        answer = await platform.post(EVENTS, {"data": batch})

        assert (answer.status, [each["duplicate"] for each in answer.data]) == (202, [False, False])
        assert (await kept(api, scope=Scope("org-2", "store-2"))).scope == Scope("org-2", "store-2")

    @pytest.mark.parametrize(
        ("names", "pointer"),
        [
            ({}, "/data/org_id"),
            ({"store_id": "store-1"}, "/data/org_id"),
            ({"org_id": "org-1", "type": "catalog-release.created"}, "/data/store_id"),
            # Without a store it would be the organisation's own, of which this type is none.
            ({"org_id": "org-1"}, "/data/type"),
            ({"org_id": "", "store_id": "store-1"}, "/data/org_id"),
            ({"org_id": None, "store_id": "store-1"}, "/data/org_id"),
        ],
    )
    async def test_one_that_does_not_is_refused(self, api: Api, names: dict[str, Any], pointer: str) -> None:
        platform = await api.someone(Role.PUBLISH, platform=True)

        answer = await platform.post(EVENTS, {"data": order(**names)})

        assert (answer.status, answer.pointers) == (422, [pointer])

    async def test_cloudevents_name_it_by_their_extensions(self, api: Api) -> None:
        platform = await api.someone(Role.PUBLISH, platform=True)

        assert (await platform.post(EVENTS, cloud(storeid="store-1", orgid="org-1"), CLOUDEVENT)).status == 202
        assert (await platform.post(EVENTS, {"id": "o"}, binary("e-2", storeid="store-1", orgid="org-1"))).status == 202
        assert (await platform.post(EVENTS, cloud("e-3", storeid="store-1"), CLOUDEVENT)).status == 422

    async def test_it_may_do_nothing_else(self, api: Api) -> None:
        platform = await api.someone(Role.PUBLISH, platform=True)

        for path in ("/v2/integrations", "/v2/integrations/logs", f"{EVENTS}/e-1"):
            answer = await platform.get(path)
            assert (answer.status, "platform" in answer.errors[0]["detail"]) == (403, True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger does not wait as long for Redis as it would."""
    monkeypatch.setattr(redis_client_module, "SOCKET_TIMEOUT", SILENCE)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger does not give Redis up before a test lets it go on, however slow the machine is."""
    monkeypatch.setattr(redis_client_module, "SOCKET_TIMEOUT", 60.0)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when events begin to be written; nothing else of a request asks Redis again."""
    begins = asyncio.Event()
    accept = Inbox.accept

    def accepting(inbox: Inbox, *arguments: Any, **named: Any) -> Any:
        begins.set()
        return accept(inbox, *arguments, **named)

    monkeypatch.setattr(Inbox, "accept", accepting)
    monkeypatch.setattr(event_intake, "SAMPLE_SECONDS", 3600.0)
    monkeypatch.setattr("worker.api.services.access.FRESH_SECONDS", 3600.0)
    return begins


@pytest.mark.usefixtures("patient")
async def test_while_redis_is_silent_there_is_no_answer(
    written: asyncio.Event, api: Api, admin: Client, redis_server: RedisServer
) -> None:
    await admin.post(EVENTS, {"data": order("before")})
    written.clear()
    redis_server.freeze()
    asking = asyncio.create_task(admin.post(EVENTS, {"data": order()}))

    await written.wait()
    # An answer that does not wait for Redis would be there before this one, which began later.
    assert (await api.client().get("/healthz")).status == 200
    assert not asking.done()
    redis_server.thaw()

    assert (await asking).status == 202


@pytest.mark.usefixtures("impatient")
class TestAnsweredOnceTheLedgerHasIt:
    async def test_then_it_is_503_and_offering_it_again_is_safe(
        self, api: Api, admin: Client, redis_server: RedisServer
    ) -> None:
        await admin.post(EVENTS, {"data": order("before")})
        redis_server.freeze()

        unanswered = await admin.post(EVENTS, {"data": order()})
        assert unanswered.status == 503
        assert int(unanswered.headers["Retry-After"]) >= 1
        redis_server.thaw()

        async def taken() -> Answer | None:
            answer = await admin.post(EVENTS, {"data": order()})
            return answer if answer.status == 202 else None

        await eventually(taken, "Redis is back")
        assert await accepted(api) == 2

    async def test_one_of_many_that_wait_finds_out_for_all(
        self, admin: Client, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, looks = 0.0, 0
        pressure = Inbox.pressure

        def looking(inbox: Inbox) -> Any:
            nonlocal looks
            looks += 1
            return pressure(inbox)

        monkeypatch.setattr(event_intake, "monotonic", lambda: now)
        monkeypatch.setattr(Inbox, "pressure", looking)
        await admin.post(EVENTS, {"data": order("before")})
        redis_server.freeze()
        # The first to ask once the second is over finds a ledger that does not answer, and so does everybody after it.
        now += event_intake.SAMPLE_SECONDS

        answers = await asyncio.gather(*(admin.post(EVENTS, {"data": order(str(n))}) for n in range(40)))

        assert {answer.status for answer in answers} == {503}
        assert looks == 2, "one before, and one of the forty"

    async def test_a_redis_server_that_is_gone_is_503_too_and_the_log_line_says_why(
        self, admin: Client, redis_server: RedisServer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        await admin.post(EVENTS, {"data": order("before")})
        redis_server.stop()

        assert (await admin.post(EVENTS, {"data": order()})).status == 503
        (line,) = [each for each in "".join(capfd.readouterr()).splitlines() if "status=503" in each]
        assert "why=" in line


def messages(redis_server: RedisServer) -> list[list[str]]:
    """The ids of each Celery message that waits on the broker."""
    found = messages_on_list(redis_server.url, EVENTS_QUEUE)
    # Celery's protocol 2: the body is [arguments, named arguments, options], in Base64 in kombu's envelope.
    return [json.loads(b64decode(json.loads(each)["body"]))[1]["event_ids"] for each in found]


class TestManyAtOnce:
    async def test_each_of_many_concurrent_requests_is_accepted_and_announced_once(
        self, redis_server: RedisServer, admin: Client
    ) -> None:
        # That they share calls and messages is shown where no machine is too slow for it: tests/unit/api and intake.
        count = 400

        answers = await asyncio.gather(*(admin.post(EVENTS, {"data": order(str(n))}) for n in range(count)))

        assert {answer.status for answer in answers} == {202}
        await eventually(lambda: sum(map(len, messages(redis_server))) >= count, "every event is announced")
        announced = [each for ids in messages(redis_server) for each in ids]
        assert sorted(announced) == sorted(event_ref(SCOPE, str(number)) for number in range(count))

    async def test_a_duplicate_is_announced_no_more(self, redis_server: RedisServer, admin: Client) -> None:
        for name in ("e-1", "e-1", "e-2"):
            await admin.post(EVENTS, {"data": order(name)})

        await eventually(lambda: sum(map(len, messages(redis_server))) >= 2, "both are announced")
        refs = {event_ref(SCOPE, name) for name in ("e-1", "e-2")}
        assert sorted(each for ids in messages(redis_server) for each in ids) == sorted(refs)


class TestBackPressure:
    async def test_a_full_inbox_refuses_until_it_is_observed(self, serve: Serve, scene: LedgerScene) -> None:
        admin = await (await serve(inbox_limit=1)).someone()
        stored = await scene.publish("a", "b")

        answer = await admin.post(EVENTS, {"data": order()})

        assert answer.status == 503
        assert "2 events wait" in answer.errors[0]["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        await scene.open(stored)

        async def taken() -> bool:
            return (await admin.post(EVENTS, {"data": order()})).status == 202

        await eventually(taken, "events are taken again")

    async def test_an_old_inbox_refuses(self, serve: Serve, scene: LedgerScene) -> None:
        admin = await (await serve(inbox_max_age=30.0)).someone()
        (stored,) = await scene.publish("a")
        await surgery.age_event(scene.ledger, stored.ref, 31_000)

        answer = await admin.post(EVENTS, {"data": order()})

        assert (answer.status, "worker running" in answer.errors[0]["detail"]) == (503, True)

    async def test_one_event_that_cannot_be_observed_refuses_nothing(self, serve: Serve, scene: LedgerScene) -> None:
        admin = await (await serve(inbox_max_age=30.0)).someone()
        stuck, _ = await scene.publish("stuck", "fresh")
        await surgery.age_event(scene.ledger, stuck.ref, 3_600_000)

        assert (await admin.post(EVENTS, {"data": order()})).status == 202

    async def test_due_jobs_refuse_nothing(self, serve: Serve, scene: LedgerScene) -> None:
        admin = await (await serve(inbox_limit=10, inbox_max_age=1.0)).someone()
        lanes = [f"i-{n}" for n in range(10)]
        await scene.register(*lanes)
        for batch in range(30):
            await scene.open(await scene.publish(*(f"{batch}-{n}" for n in range(10))), *lanes)
        assert (await scene.ledger.status.read()).pending == 3_000

        assert (await admin.post(EVENTS, {"data": order()})).status == 202

    async def test_the_redis_servers_memory_above_its_high_water_mark_refuses(
        self, serve: Serve, make_redis: Callable[..., RedisServer], settings: Settings
    ) -> None:
        full = make_redis(maxmemory="16mb")
        api = await serve(redis_url=SecretStr(full.url))
        admin = await api.someone()
        with full.client() as filling:
            while (await inspection.memory_share(api.ledger)) < 0.88:
                filling.rpush("filler", b"x" * 100_000)

        answer = await eventually_status(admin, 503)

        assert "memory is nearly full" in answer.errors[0]["detail"]
        ready = await api.client().get("/readyz")
        assert (ready.status, ready.document["status"], ready.document["checks"]["ledger"]["status"]) == (
            200,
            "degraded",
            "degraded",
        )
        with full.client() as emptying:
            emptying.delete("filler")
        await eventually_status(admin, 202)


async def eventually_status(somebody: Client, status: int) -> Answer:
    """Offers an event until it is answered so."""

    async def asked() -> Answer | None:
        answer = await somebody.post(EVENTS, {"data": order()})
        return answer if answer.status == status else None

    found: Answer = await eventually(asked, f"an answer of {status}")
    return found


class TestIntakeLimit:
    async def test_a_store_above_its_allowance_learns_when_to_come_again(self, serve: Serve) -> None:
        api = await serve(store_intake_limit=2)
        admin = await api.someone()
        assert (await admin.post(EVENTS, {"data": [order(str(n)) for n in range(8)]})).status == 202

        answer = await admin.post(EVENTS, {"data": order("more")})

        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
        assert "allowance" in answer.errors[0]["detail"]
        assert await accepted(api) == 8

    async def test_a_batch_of_it_is_refused_whole(self, serve: Serve) -> None:
        admin = await (await serve(store_intake_limit=1)).someone()
        await admin.post(EVENTS, {"data": [order(str(n)) for n in range(5)]})

        answer = await admin.post(EVENTS, {"data": [order("x"), order("y")]})

        assert (answer.status, answer.pointers) == (429, ["/data/0", "/data/1"])

    async def test_other_stores_and_other_processes_of_the_fleet(self, serve: Serve) -> None:
        one, other = await serve(store_intake_limit=1), await serve(store_intake_limit=1)
        token, elsewhere = await one.token(), await one.someone(scope=ELSEWHERE)
        await one.client(token).post(EVENTS, {"data": [order(str(n)) for n in range(5)]})

        assert (await other.client(token).post(EVENTS, {"data": order("x")})).status == 429
        assert (await elsewhere.post(EVENTS, {"data": order("x")})).status == 202

    async def test_of_a_mixed_batch_of_the_platforms_the_others_are_accepted(self, serve: Serve) -> None:
        api = await serve(store_intake_limit=1)
        platform = await api.someone(Role.PUBLISH, platform=True)
        busy, calm = ({"store_id": f"store-{n}", "org_id": "org-1"} for n in (1, 2))
        await platform.post(EVENTS, {"data": [order(str(n), **busy) for n in range(5)]})

        answer = await platform.post(EVENTS, {"data": [order("x", **busy), order("y", **calm), {}, order("z", **busy)]})

        assert (answer.status, statuses(answer)) == (207, [429, 202, 422, 429])
        assert int(answer.headers["Retry-After"]) >= 4

    async def test_the_allowance_comes_back(self, serve: Serve) -> None:
        admin = await (await serve(store_intake_limit=20)).someone()
        await admin.post(EVENTS, {"data": [order(str(n)) for n in range(30)]})
        assert (await admin.post(EVENTS, {"data": order("x")})).status == 429

        await eventually_status(admin, 202)
