"""What the platform's own clients, and the pages that use them, send to the API, and what they read of its answers."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from aiohttp import hdrs

from tests.api_client import Answer, Api, Client, Serve, webhook
from tests.samples import SCOPE
from worker.api.cors import MAX_AGE_SECONDS
from worker.api.routes import OPERATIONS
from worker.domain.api_token import TokenKind, read
from worker.domain.event import Event, event_ref

LIST = "/v2/integrations"
EVENTS = "/v2/events"
ORDER = {"type": "order.paid", "id": "e-1", "data": {"type": "order", "id": "o-1"}}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-source": "https://shop.example",
    "ce-type": "order.paid",
}
PAGE = "https://shop.example"


async def kept(api: Api, event_id: str = "e-1") -> Event:
    """The event as the ledger has it."""
    found = await api.ledger.events.show(event_ref(SCOPE, event_id), 0, 1)
    assert found is not None
    return found.stored.event


class TestAuthorization:
    @pytest.mark.parametrize("written", ["Bearer: {}", "{}", "bearer:{}", "Bearer {}"])
    async def test_every_spelling_of_the_platforms_clients_is_taken(self, api: Api, written: str) -> None:
        header = {"Authorization": written.format(await api.token())}
        assert (await api.client().get(LIST, headers=header)).status == 200


class TestContentTypes:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json; charset=utf8",
            "application/json;charset=UTF8",
            "application/json; charset=us-ascii",
            "application/json; charset=iso-8859-1",
            'application/json; charset="utf-8"; x=y',
            "application/vnd.api+json; charset=utf8",
            "APPLICATION/JSON",
            "",
        ],
    )
    async def test_a_charset_of_json_is_ignored(self, api: Api, admin: Client, content_type: str) -> None:
        """JSON has no charset (RFC 8259, section 11)."""
        body = json.dumps({"data": ORDER | {"data": {"type": "order", "id": "ö"}}}, ensure_ascii=False).encode()
        assert (await admin.post(EVENTS, body, {"Content-Type": content_type})).status == 202
        assert b'"\xc3\xb6"' in (await kept(api)).data

    async def test_bytes_that_are_not_utf8_are_refused_whatever_charset_they_claim(self, admin: Client) -> None:
        latin = {"Content-Type": "application/json; charset=iso-8859-1"}
        body = '{"data": {"type": "order.paid", "data": {"id": "ö"}}}'.encode("latin-1")
        assert (await admin.post(EVENTS, body, latin)).status in (400, 422)

    async def test_a_body_without_a_content_type_is_json(self, api: Api) -> None:
        token = await api.token()
        for path, body in ((LIST, {"data": webhook()}), (EVENTS, {"data": ORDER})):
            answer = await _raw(api, token, path, json.dumps(body).encode())
            assert answer.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")), answer

    async def test_a_login_without_a_content_type_is_json_or_a_form(self, api: Api) -> None:
        parts = read(await api.token(kind=TokenKind.CLIENT))
        assert parts
        given = {"grant_type": "client_credentials", "client_id": parts[0], "client_secret": parts[1]}
        form = "&".join(f"{name}={value}" for name, value in given.items())
        for body in (json.dumps(given), f"  {json.dumps(given)}", form):
            answer = await _raw(api, None, "/oauth/access_token", body.encode())
            assert answer.startswith(b"HTTP/1.1 200"), answer
        charset = {"Content-Type": "application/x-www-form-urlencoded; charset=utf8"}
        assert (await api.client().post("/oauth/access_token", form.encode(), charset)).status == 200

    @pytest.mark.parametrize("path", [LIST, EVENTS])
    @pytest.mark.parametrize(
        "content_type", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-URLencoded; charset=utf-8"]
    )
    async def test_a_form_is_refused_with_the_header_that_curl_needs(
        self, admin: Client, path: str, content_type: str
    ) -> None:
        answer = await admin.post(path, b'{"data": {}}', {"Content-Type": content_type})
        assert answer.status == 415
        assert answer.errors[0]["detail"].endswith(
            'curl -d sends this type unless it has -H "Content-Type: application/json"'
        )

    @pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
    async def test_other_types_are_refused_without_that_hint(self, admin: Client, content_type: str) -> None:
        answer = await admin.post(EVENTS, b"{}", {"Content-Type": content_type})
        assert answer.status == 415
        assert "curl" not in answer.errors[0]["detail"]

    @pytest.mark.parametrize(
        "content_type",
        ["application/ld+json", "application/ld+json; charset=utf8", "application/geo+json", "text/json", "x/y+JSON"],
    )
    async def test_a_binary_cloudevent_has_any_type_of_json(self, api: Api, admin: Client, content_type: str) -> None:
        answer = await admin.post(EVENTS, b'{"id": "o-1"}', BINARY | {"Content-Type": content_type})
        assert answer.status == 202, answer.raw
        assert (await kept(api)).data == b'{"id": "o-1"}'

    @pytest.mark.parametrize(
        "content_type", ["application/ld+xml", "text/plain", "json", "application/cloudevents+xml"]
    )
    async def test_no_other_type_is_taken_in_binary_mode(self, admin: Client, content_type: str) -> None:
        assert (await admin.post(EVENTS, b"{}", BINARY | {"Content-Type": content_type})).status == 415

    async def test_such_a_type_is_taken_in_binary_mode_only(self, admin: Client) -> None:
        assert (await admin.post(EVENTS, {"data": ORDER}, {"Content-Type": "application/ld+json"})).status == 415


class TestFlatPayloads:
    FLAT: ClassVar = {"one_time_password_token": "t", "purpose": "reset"}
    KEY = "one-time-password-token-request.created"

    async def test_an_event_with_a_payload_is_accepted_in_every_form(self, api: Api, admin: Client) -> None:
        own = {"type": self.KEY, "payload": self.FLAT}
        cloud = {"specversion": "1.0", "source": "/s", "type": self.KEY, "edwpayload": True, "data": self.FLAT}
        structured = {"Content-Type": "application/cloudevents+json"}
        batch = {"Content-Type": "application/cloudevents-batch+json"}
        binary = BINARY | {"ce-type": self.KEY, "ce-edwpayload": "true"}
        answers = [
            await admin.post(EVENTS, {"data": own | {"id": "own"}}),
            await admin.post(EVENTS, {"data": [own | {"id": "listed"}, cloud | {"id": "mixed"}]}),
            await admin.post(EVENTS, cloud | {"id": "structured"}, structured),
            await admin.post(EVENTS, [cloud | {"id": "batched"}], batch),
            await admin.post(EVENTS, self.FLAT, binary | {"ce-id": "binary"}),
        ]
        assert [each.status for each in answers] == [202] * 5
        for event_id in ("own", "listed", "mixed", "structured", "batched", "binary"):
            event = await kept(api, event_id)
            assert (event.flat, json.loads(event.data)) == (True, self.FLAT), event_id
            assert (await admin.get(f"{EVENTS}/{event_id}")).data["triggered_by"] == self.KEY

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"payload": {}}, "/data/payload"),
            ({"data": None, "payload": {}, "included": []}, "/data/payload"),
            ({"data": None, "payload": []}, "/data/payload"),
            ({"data": None, "payload": None}, "/data/data"),
        ],
    )
    async def test_both_at_once_or_none_is_refused(self, admin: Client, changes: dict[str, Any], pointer: str) -> None:
        answer = await admin.post(EVENTS, {"data": ORDER | changes})
        assert (answer.status, answer.pointers) == (422, [pointer])

    async def test_a_repetition_in_the_other_form_differs(self, admin: Client) -> None:
        await admin.post(EVENTS, {"data": ORDER})
        other = {name: value for name, value in ORDER.items() if name != "data"} | {"payload": ORDER["data"]}
        assert (await admin.post(EVENTS, {"data": other})).data["differs"] is True

    async def test_an_unwrapped_event_is_refused_with_the_form_that_is_expected(self, admin: Client) -> None:
        answer = await admin.post(EVENTS, {"type": self.KEY, "payload": self.FLAT})
        assert answer.status == 422
        assert 'wrap the event: {"data": {"type": …, "payload": …}}' in answer.errors[0]["detail"]


class TestIds:
    @pytest.mark.parametrize("event_id", [".", ".."])
    async def test_an_id_that_no_link_leads_to_is_refused_at_every_entry(self, admin: Client, event_id: str) -> None:
        answer = await admin.post(EVENTS, {"data": ORDER | {"id": event_id}})
        assert (answer.status, answer.pointers) == (422, ["/data/id"])
        cloud = {"specversion": "1.0", "id": event_id, "source": "/s", "type": "order.paid", "data": {}}
        structured = {"Content-Type": "application/cloudevents+json"}
        assert (await admin.post(EVENTS, cloud, structured)).status == 422
        binary = BINARY | {"ce-id": event_id.replace(".", "%2E"), hdrs.CONTENT_TYPE: "application/json"}
        assert (await admin.post(EVENTS, b"{}", binary)).status == 422


class TestCustomApis:
    async def test_the_keys_of_custom_apis_are_observed_and_published(self, admin: Client) -> None:
        created = await admin.create(observes=["wishlist_ext.created", "settings.deleted", "integrations.updated"])
        assert created["observes"] == ["wishlist_ext.created", "settings.deleted", "integrations.updated"]
        assert (await admin.post(EVENTS, {"data": ORDER | {"type": "wishlist_ext.created"}})).status == 202

    async def test_what_only_resembles_one_is_refused_with_the_pattern(self, admin: Client) -> None:
        answer = await admin.post(LIST, {"data": webhook(observes=["wishlist_ext.create"])})
        assert (answer.status, answer.pointers) == (422, ["/data/observes/0"])
        assert "those of custom APIs match [a-z0-9_]{1,59}_ext" in answer.errors[0]["detail"]


class TestUnknownKeysOfAConfiguration:
    async def test_they_are_ignored_and_named_in_warnings(self, admin: Client) -> None:
        configuration = {"url": "https://erp.example/hook", "secret": "plain-text", "retries": 3}
        for answer in (
            await admin.post(LIST, {"data": webhook(configuration=configuration)}),
            await admin.put(f"{LIST}/{(await admin.create())['id']}", {"data": {"configuration": configuration}}),
        ):
            assert answer.status in (200, 201)
            assert answer.data["configuration"] == {"url": "https://erp.example/hook"}
            assert answer.data["meta"]["warnings"] == [
                'configuration.secret is not a known key, and was ignored; did you mean "secret_key"?',
                "configuration.retries is not a known key, and was ignored",
            ]
            assert b"plain-text" not in answer.raw

    async def test_without_them_there_is_no_warning(self, admin: Client) -> None:
        created = await admin.create()
        renamed = await admin.put(f"{LIST}/{created['id']}", {"data": {"name": "Renamed"}})
        assert "warnings" not in created["meta"]
        assert "warnings" not in renamed.data["meta"]

    async def test_a_configuration_without_a_secret_key_replaces_the_one_that_had_it(self, admin: Client) -> None:
        """A declarative client, such as the Terraform provider, would otherwise find a difference each time."""
        with_secret = {"url": "https://erp.example/hook", "secret_key": "correct horse battery"}
        created = await admin.create(configuration=with_secret)
        wanted = {"url": "https://erp.example/hook"}
        await admin.put(f"{LIST}/{created['id']}", {"data": {"configuration": wanted}})
        assert (await admin.get(f"{LIST}/{created['id']}")).data["configuration"] == wanted


class TestLists:
    async def test_a_client_that_reads_meta_page_and_results_comes_to_the_end(self, admin: Client) -> None:
        for number in range(5):
            await admin.create(name=f"n-{number}")
        names: list[str] = []
        while True:
            answer = (await admin.get(LIST, limit=2, offset=len(names))).document
            names += [each["name"] for each in answer["data"]]
            place, results = answer["meta"]["page"], answer["meta"]["results"]
            assert {name: answer["meta"][name] for name in place} == place
            assert (place["limit"], place["total"], results) == (2, 3, answer["results"])
            if len(names) >= results["total"]:
                break
        assert names == [f"n-{number}" for number in range(4, -1, -1)]
        assert place["current"] == place["total"]

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("name", ["alpha", "Beta", "gamma"]),
            ("-name", ["gamma", "Beta", "alpha"]),
            ("created_at", ["gamma", "alpha", "Beta"]),
            ("-created_at", ["Beta", "alpha", "gamma"]),
        ],
    )
    async def test_integrations_are_sorted(
        self, admin: Client, sort: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await _three(admin)
        answer = await admin.get(LIST, sort=sort, limit=2)
        rest = await admin.get(answer.document["links"]["next"])
        assert [each["name"] for each in (*answer.data, *rest.data)] == expected
        assert (answer.document["results"]["total"], "filter" in answer.document["meta"]) == (3, False)

    async def test_a_changed_integration_is_the_last_by_the_time_of_its_update(self, admin: Client) -> None:
        first, *_ = await _three(admin)
        await admin.put(f"{LIST}/{first['id']}", {"data": {"description": "changed"}})
        assert [each["name"] for each in (await admin.get(LIST, sort="updated_at")).data][-1] == "gamma"

    @pytest.mark.parametrize(
        ("filtered", "expected"),
        [
            ("eq(enabled,true)", {"gamma", "Beta"}),
            ("eq(enabled,false)", {"alpha"}),
            ("eq(name,Beta)", {"Beta"}),
            ("eq(name,beta)", set()),
            ("eq(integration_type,webhook)", {"gamma", "alpha"}),
            ("eq(integration_type,stomp):eq(enabled,true)", {"Beta"}),
        ],
    )
    async def test_integrations_are_filtered(self, admin: Client, filtered: str, expected: set[str]) -> None:
        await _three(admin)
        answer = await admin.get(LIST, filtered=filtered)
        assert {each["name"] for each in answer.data} == expected
        assert answer.document["results"]["total"] == len(expected)
        assert answer.document["meta"]["filter"] == {"scanned": 3, "cut": False}

    async def test_filter_and_sort_go_together_and_their_links_keep_both(self, admin: Client) -> None:
        await _three(admin)
        answer = await admin.get(LIST, filtered="eq(enabled,true)", sort="-name", limit=1)
        rest = await admin.get(answer.document["links"]["next"])
        assert [each["name"] for each in (*answer.data, *rest.data)] == ["gamma", "Beta"]

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ({"sort": "nam"}, "sort"),
            ({"sort": "id"}, "sort"),
            ({"filtered": "eq(id,x)"}, "filter"),
            ({"filtered": "gt(name,x)"}, "filter"),
            ({"filtered": "eq(integration_type,pigeon)"}, "filter"),
            ({"filtered": "eq(enabled,yes)"}, "filter"),
        ],
    )
    async def test_what_cannot_be_sorted_or_filtered_is_refused(
        self, admin: Client, query: dict[str, Any], parameter: str
    ) -> None:
        answer = await admin.get(LIST, **query)
        assert (answer.status, answer.errors[0]["source"]) == (400, {"parameter": parameter})

    async def test_nobody_lists_another_store(self, api: Api, admin: Client) -> None:
        await _three(admin)
        stranger = await api.someone(scope=SCOPE.__class__(SCOPE.org_id, "another"))
        assert (await stranger.get(LIST, sort="name", filtered="eq(enabled,true)")).data == []

    async def test_the_attributes_of_an_integration_are_listed(self, admin: Client, reader: Client) -> None:
        listed = {each["value"]: each for each in (await reader.get(f"{LIST}/attributes")).data}
        created = set(await admin.create()) - {"meta", "links", "store_id", "org_id"}
        assert created <= set(listed)
        assert {name for name, each in listed.items() if each["required"]} == {"name", "observes", "configuration"}
        assert listed["integration_type"]["options"] == ["webhook", "aws_sqs", "stomp"]
        assert "order.paid" in listed["observes"]["options"]


class TestMethods:
    @pytest.mark.parametrize("path", [f"{LIST}/logs", f"{LIST}/attributes", LIST, EVENTS, "/oauth/access_token", "/"])
    async def test_a_method_that_a_path_has_not_is_answered_with_those_that_it_has(
        self, admin: Client, path: str
    ) -> None:
        allowed = {each.method for each in OPERATIONS if each.path == path}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            answer = await admin.ask(method, path, {"data": {}})
            assert (answer.status, answer.headers[hdrs.ALLOW]) == (405, ", ".join(sorted(allowed))), (method, path)

    async def test_an_integrations_own_paths_have_their_methods(self, admin: Client) -> None:
        created = await admin.create()
        answer = await admin.ask("PATCH", f"{LIST}/{created['id']}", {"data": {}})
        assert (answer.status, answer.headers[hdrs.ALLOW]) == (405, "DELETE, GET, HEAD, PUT")


class TestPagesInBrowsers:
    """The protocol; tests/clients has a browser."""

    @pytest.fixture
    async def open_api(self, serve: Serve) -> Api:
        return await serve(api_cors_origins=(PAGE,))

    @pytest.mark.parametrize("path", [LIST, f"{LIST}/logs", EVENTS, "/oauth/access_token", "/nowhere"])
    async def test_a_preflight_needs_no_token_and_reveals_no_path(self, open_api: Api, path: str) -> None:
        wanted = "authorization, content-type, x-moltin-sdk-language, ep-channel"
        answer = await _preflight(open_api, path, PAGE, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS: wanted})
        assert (answer.status, answer.raw) == (204, b"")
        headers = answer.headers
        assert headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == PAGE
        assert headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] == wanted
        assert headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] == "GET, HEAD, POST, PUT, DELETE"
        assert headers[hdrs.ACCESS_CONTROL_MAX_AGE] == str(MAX_AGE_SECONDS)
        assert hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS not in headers
        assert headers[hdrs.VARY].startswith("Origin, ")

    async def test_a_page_may_read_every_answer_and_the_headers_that_matter(self, open_api: Api) -> None:
        admin = await open_api.someone()
        for answer in (
            await admin.get(LIST, headers={hdrs.ORIGIN: PAGE}),
            await open_api.client().get(LIST, headers={hdrs.ORIGIN: PAGE}),
            await admin.get("/nowhere", headers={hdrs.ORIGIN: PAGE}),
            await admin.post(EVENTS, b"{", headers={hdrs.ORIGIN: PAGE}),
        ):
            assert answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == PAGE, answer.status
            assert "ETag" in answer.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS]
            assert hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS not in answer.headers
            assert answer.headers[hdrs.VARY] == "Origin"

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "http://shop.example", "https://shop.example:8443", "null", f"{PAGE}.evil", ""],
    )
    async def test_another_origin_is_allowed_nothing(self, open_api: Api, origin: str) -> None:
        admin = await open_api.someone()
        refused = await _preflight(open_api, LIST, origin)
        answer = await admin.get(LIST, headers={hdrs.ORIGIN: origin})
        assert (refused.status, answer.status) == (401, 200)
        for each in (refused, answer):
            assert hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in each.headers
            assert each.headers[hdrs.VARY] == "Origin"

    async def test_a_star_allows_every_origin(self, serve: Serve) -> None:
        api = await serve(api_cors_origins=("*",))
        answer = await _preflight(api, LIST, "http://localhost:3000")
        assert (answer.status, answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN]) == (204, "http://localhost:3000")

    async def test_by_default_there_is_none_of_it(self, api: Api, admin: Client) -> None:
        assert (await _preflight(api, LIST, PAGE)).status == 401
        answer = await admin.get(LIST, headers={hdrs.ORIGIN: PAGE})
        assert not {name for name in answer.headers if name.lower().startswith("access-control")}
        assert hdrs.VARY not in answer.headers

    @pytest.mark.parametrize("wanted", ["x" * 5_000, "a;b", '"a"'])
    async def test_headers_that_are_none_are_not_repeated(self, open_api: Api, wanted: str) -> None:
        answer = await _preflight(open_api, LIST, PAGE, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS: wanted})
        assert hdrs.ACCESS_CONTROL_ALLOW_HEADERS not in answer.headers

    async def test_options_that_are_no_preflight_are_answered_as_ever(self, open_api: Api) -> None:
        admin = await open_api.someone()
        answer = await admin.ask("OPTIONS", LIST, headers={hdrs.ORIGIN: PAGE})
        assert (answer.status, answer.headers[hdrs.ALLOW]) == (405, "GET, HEAD, POST")


async def _three(admin: Client) -> Sequence[dict[str, Any]]:
    stomp = {"destination": "/queue/a", "addresses": ["stomp://broker.example"]}
    made = []
    for changes in (
        {"name": "gamma"},
        {"name": "alpha", "enabled": False},
        {"name": "Beta", "integration_type": "stomp", "configuration": stomp},
    ):
        made.append(await admin.create(**changes))
        # The times of two integrations have milliseconds, and those of one must differ from those of the next.
        created = made[-1]["meta"]["timestamps"]["created_at"]
        while (await admin.create(name="to pass the time"))["meta"]["timestamps"]["created_at"] == created:
            pass
        for each in (await admin.get(LIST, filtered="eq(name,to pass the time)")).data:
            await admin.delete(f"{LIST}/{each['id']}")
    return made


async def _preflight(api: Api, path: str, origin: str, more: dict[str, str] | None = None) -> Answer:
    headers = {hdrs.ORIGIN: origin, hdrs.ACCESS_CONTROL_REQUEST_METHOD: "PUT"} | (more or {})
    return await api.client().ask("OPTIONS", path, headers=headers)


async def _raw(api: Api, token: str | None, path: str, body: bytes) -> bytes:
    """Post without a Content-Type, and return the beginning of the answer."""
    host = api.url.removeprefix("http://")
    name, _, port = host.partition(":")
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{bearer}Content-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(name, int(port))
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return answer
