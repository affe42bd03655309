"""`/openapi.json` is what the API is: its routes, what they take and what they answer; and so says the page of it."""

import asyncio
import gzip
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are another package
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks as openapi_checks
from schemathesis.specs.openapi.definitions import OPENAPI_31

from config.settings import Settings
from tests.api_client import Answer, Api, Client, Serve, webhook
from tests.ledger.scene import LedgerScene
from worker.api.application import application
from worker.api.routes import OPERATIONS
from worker.domain.api_token import Role, TokenKind, read
from worker.ledger import Verdict

#: Requests that schemathesis makes of each operation, for each of three ways to make them.
EXAMPLES = 12
SECONDS = 60.0

Document = dict[str, Any]


@pytest.fixture
async def described(admin: Client) -> Document:
    """The description, as it is served."""
    answer = await admin.get("/openapi.json")
    assert answer.status == 200
    document: Document = answer.document
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, each in methods.items():
            yield method.upper(), path, each


def references(part: Any) -> Iterator[str]:
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in part.values():
                yield from references(each)
        case list():
            for each in part:
                yield from references(each)


def resolved(document: Document, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found: Any = document
    for name in reference[2:].split("/"):
        found = found[name]
    return found


class TestTheDescription:
    async def test_it_is_openapi_3_1(self, described: Document) -> None:
        assert [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(described)] == []
        assert described["openapi"] == "3.1.0"

    async def test_each_of_its_schemas_is_json_schema(self, described: Document) -> None:
        for schema in described["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)

    async def test_every_reference_leads_somewhere(self, described: Document) -> None:
        found = set(references(described))

        assert len(found) > 20
        for reference in found:
            assert resolved(described, reference)

    async def test_it_describes_every_route_and_nothing_else(self, api: Api, described: Document) -> None:
        routes = {
            (route.method, route.resource.canonical)
            for route in application(api.services).router.routes()
            if route.resource is not None
        }
        heads = {("HEAD", path) for method, path in routes if method == "GET"}

        assert heads <= routes
        assert routes - heads == {(method, path) for method, path, _ in operations(described)}

    async def test_every_operation_has_a_name_of_its_own(self, described: Document) -> None:
        names = [each["operationId"] for _, _, each in operations(described)]

        assert sorted(names) == sorted({operation.name for operation in OPERATIONS})

    async def test_every_parameter_of_a_path_is_described(self, described: Document) -> None:
        for _, path, each in operations(described):
            named = {parameter["name"] for parameter in each["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))

    async def test_whatever_needs_a_token_says_that_it_may_be_refused(self, described: Document) -> None:
        for _, path, each in operations(described):
            if each.get("security") != []:
                assert {"401", "403", "429"} <= set(each["responses"]), path
                assert "WWW-Authenticate" in each["responses"]["401"]["headers"]
            assert {"400", "500", "503"} <= set(each["responses"]), path

    async def test_it_names_what_this_installation_knows(self, serve: Serve, settings: Settings) -> None:
        api = await serve(observable_keys=settings.observable_keys, api_url="https://api.example")
        document = (await (await api.someone()).get("/openapi.json")).document

        schemas = document["components"]["schemas"]
        assert document["servers"] == [{"url": "https://api.example"}]
        assert set(schemas["NewIntegration"]["properties"]["integration_type"]["enum"]) == {
            "webhook",
            "aws_sqs",
            "stomp",
        }
        key = {"$ref": "#/components/schemas/ObservableKey"}
        assert schemas["NewIntegration"]["properties"]["observes"]["items"] == key
        assert schemas["EventAttributes"]["properties"]["type"] == key
        observable = Draft202012Validator(schemas["ObservableKey"])
        assert all(map(observable.is_valid, ("order.paid", "wishlist_ext.created")))
        assert not any(map(observable.is_valid, ("order.payed", "wishlist_ext.made")))

    async def test_the_page_has_all_of_it(self, admin: Client, described: Document) -> None:
        answer = await admin.get("/")
        page = unescape(answer.raw.decode())

        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        for method, path, each in operations(described):
            assert f"<b>{method}</b> <code>{path}</code>" in page
            assert each["summary"] in page
            for parameter in each["parameters"]:
                assert f"<code>{parameter['name']}</code>" in page
        for name in described["components"]["schemas"]:
            assert f"id=schema-{name}>" in page

    async def test_the_page_runs_nothing_and_loads_nothing(self, admin: Client) -> None:
        answer = await admin.get("/")
        page = answer.raw.decode()

        assert "<script" not in page
        assert "http://" not in page.replace("http://127.0.0.1", "")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


class Held:
    """Answers, each held against what the description says of its operation and status."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, name: str, answer: Answer) -> Answer:
        (operation,) = [each for _, _, each in operations(self._document) if each["operationId"] == name]
        responses = operation["responses"]
        assert str(answer.status) in responses, f"{name}: {answer.status}: {answer.raw!r}"
        response = responses[str(answer.status)]
        content = response.get("content", {})
        if not content:
            assert answer.raw == b""
        else:
            kind = answer.headers["Content-Type"].partition(";")[0]
            assert kind in content
            if kind == "application/json":
                self._conforms(answer, content[kind]["schema"], f"{name}: {answer.status}")
        for header in response.get("headers", {}):
            assert header in answer.headers, f"{name}: {answer.status}: {header}"
        self.seen.add((name, answer.status))
        return answer

    def _conforms(self, answer: Answer, schema: Mapping[str, Any], where: str) -> None:
        whole = {**schema, "components": self._document["components"]}
        found = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        problems = [f"{where}: {error.json_path}: {error.message}" for error in found.iter_errors(answer.document)]
        assert problems == []


NOBODY = "2da46671-b4c2-44ac-b133-d1221aafc77b"


class TestRealAnswers:
    async def test_what_each_operation_answers_is_what_is_described(
        self, api: Api, admin: Client, described: Document, scene: LedgerScene
    ) -> None:
        held = Held(described)
        path = "/v2/integrations"
        made = held("createIntegration", await admin.post(path, {"data": webhook(description=None)})).data["id"]
        await admin.create(name="Another")
        one = f"{path}/{made}"
        tag = held("getIntegration", await admin.get(one)).etag
        held("getIntegration", await admin.get(one, {"If-None-Match": tag}))
        held("getIntegration", await admin.get(f"{path}/{NOBODY}"))
        held("updateIntegration", await admin.put(one, {"data": {"name": "New"}}))
        held("updateIntegration", await admin.put(one, {"data": {"name": "Newer"}}, {"If-Match": tag}))
        held("updateIntegration", await admin.put(one, {"data": {"observes": []}}))
        for limit, offset in ((25, 0), (1, 0), (1, 1), (0, 0)):
            held("listIntegrations", await admin.get(path, limit=limit, offset=offset))
        held("listIntegrations", await admin.get(path, sort="-name", filtered="eq(enabled,true)"))
        held("listAttributes", await admin.get(f"{path}/attributes"))
        failed, succeeded = await self._jobs(scene, made)
        for name, where in (
            ("listLogs", f"{path}/logs"),
            ("listIntegrationLogs", f"{one}/logs"),
            ("listJobLogs", f"{one}/jobs/{failed}/logs"),
            ("listJobs", f"{one}/jobs"),
            ("listChanges", "/v2/audit"),
            ("listEvents", "/v2/events"),
            ("listEvents", f"/v2/events?filter=eq(resource_type,integration):eq(resource_id,{made})"),
        ):
            assert held(name, await admin.get(where)).data
            held(name, await admin.get(where, limit=1))
            held(name, await admin.get(where, filtered="gt(created_at,2020-01-01T00:00:00Z)"))
            held(name, await admin.get(where, filtered="nonsense"))
        for job in (failed, succeeded, NOBODY):
            held("getJob", await admin.get(f"{one}/jobs/{job}"))
            held("redeliverJob", await admin.post(f"{one}/jobs/{job}/redeliver"))
        for body in (
            None,
            {"data": {"dry_run": True}},
            {"data": {"state": "ajar"}},
            {"data": {"from": "2001-01-01T00:00:00Z"}},
        ):
            held("redeliverIntegration", await admin.post(f"{one}/redeliver", body))
        held("rotateSigningKeys", await admin.post(f"{one}/keys/rotate"))
        held("rotateSigningKeys", await admin.post(f"{one}/keys/rotate", {"data": {"overlap": 60}}))
        held("rotateSigningKeys", await admin.post(f"{one}/keys/rotate", {"data": {"overlap": -1}}))
        held("listSigningKeys", await admin.get(f"{one}/keys"))
        held("listSigningKeys", await admin.get(f"{path}/{NOBODY}/keys"))
        held("deleteSigningKeys", await admin.delete(f"{one}/keys"))
        held("testIntegration", await admin.post(f"{one}/test"))
        held("testIntegration", await admin.post(f"{one}/test", {"data": {"type": "nothing"}}))
        held("tryFilter", await admin.post(f"{one}/filter/try", {"data": {"filter": {"data": {"id": "x"}}}}))
        held("tryFilter", await admin.post(f"{one}/filter/try", {"data": {"filter": {}}}))
        event: Document = {"type": "order.paid", "data": {"id": "o"}, "id": "sent"}
        for data in (event, [event, event], [event, {}], {}, event | {"store_id": "x"}):
            held("publishEvents", await admin.post("/v2/events", {"data": data}))
        held("publishEvents", await admin.post("/v2/events", b"<x/>", {"Content-Type": "text/xml"}))
        held("publishEvents", await admin.post("/v2/events", b"{"))
        large = gzip.compress(b"x" * (9 << 20))
        held("publishEvents", await admin.post("/v2/events", large, {"Content-Encoding": "gzip"}))
        for event_id in ("sent", "e-1", "unknown"):
            held("getEvent", await admin.get(f"/v2/events/{event_id}"))
        held("eraseEvent", await admin.delete("/v2/events/e-1"))
        held("eraseEvent", await admin.delete("/v2/events/e-none"))
        held("deleteIntegration", await admin.delete(one, {"If-Match": tag}))
        held("deleteIntegration", await admin.delete(one))
        held("deleteIntegration", await admin.delete(one))
        for link in (None, {"data": {"role": "admin", "expires_in": 60}}, {"data": {"role": "publish"}}):
            held("createConsoleLink", await admin.post("/v2/console/links", link))
        for name, where in (("describe", "/openapi.json"), ("readDescription", "/")):
            held(name, await admin.get(where))
        for name in ("healthz", "readyz"):
            held(name, await api.client().get(f"/{name}"))
        await self._logging_in(api, held)

        expected = {(operation.name, status) for operation in OPERATIONS for status in operation.answers}
        assert expected - held.seen == {("readyz", 503)}

    async def test_a_refusal_for_want_of_a_token_or_a_role_is_as_described(self, api: Api, described: Document) -> None:
        held = Held(described)
        reader = await api.someone(Role.READ)
        for operation in OPERATIONS:
            if operation.roles is None:
                continue
            where = re.sub(r"{\w+}", NOBODY, operation.path)
            assert held(operation.name, await api.client().ask(operation.method, where)).status == 401
            if Role.READ not in operation.roles:
                assert held(operation.name, await reader.ask(operation.method, where)).status == 403

    async def test_a_refusal_for_want_of_a_redis_server_is_as_described(
        self, api: Api, admin: Client, described: Document, redis_server: Any
    ) -> None:
        held = Held(described)
        await admin.get("/v2/integrations")
        redis_server.stop()

        assert held("listIntegrations", await admin.get("/v2/integrations")).status == 503
        assert held("readyz", await api.client().get("/readyz")).status == 503
        assert held("healthz", await api.client().get("/healthz")).status == 200
        redis_server.start()

    async def _jobs(self, scene: LedgerScene, lane: str) -> tuple[str, str]:
        failed, succeeded = await scene.owe(lane, "e-1", "e-2")
        verdicts = {failed: Verdict.FAILED, succeeded: Verdict.SUCCEEDED}
        for claim in await scene.claim(lane):
            await scene.settle(claim, verdicts[claim.job_id], detail="")
        return failed, succeeded

    async def _logging_in(self, api: Api, held: Held) -> None:
        parts = read(await api.token(kind=TokenKind.CLIENT))
        assert parts
        good = {"grant_type": "client_credentials", "client_id": parts[0], "client_secret": parts[1]}
        bad = good | {"client_secret": "x"}
        for body in (good, {}, b"{"):
            held("logIn", await api.client().post("/oauth/access_token", body))
        statuses = {held("logIn", await api.client().post("/oauth/access_token", bad)).status for _ in range(25)}
        assert statuses == {401, 429}


@dataclass(frozen=True)
class Attack:
    """How schemathesis asks."""

    name: str
    mode: schemathesis.GenerationMode
    #: Of an integration that is there.
    known: bool


ATTACKS = (
    Attack("as described", schemathesis.GenerationMode.POSITIVE, known=True),
    Attack("as described, of nothing that is there", schemathesis.GenerationMode.POSITIVE, known=False),
    Attack("otherwise", schemathesis.GenerationMode.NEGATIVE, known=True),
)


class TestSchemathesis:
    """Whatever is asked, as described or otherwise: no 5xx, and no answer that is not described."""

    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
    async def test_no_answer_is_a_failure_or_undescribed(
        self, api: Api, admin: Client, described: Document, attack: Attack
    ) -> None:
        load_all_checks()
        schema = schemathesis.openapi.from_dict(described)
        asked = 0
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            integration = (await admin.create())["id"]
            # Its client blocks, and would keep the server, which is on this loop, from answering.
            asked += await asyncio.to_thread(_attack, api, str(admin.token), operation, attack, integration)

        assert asked > 10 * len(OPERATIONS)


def _attack(api: Api, token: str, operation: APIOperation[Any, Any, Any, Any], attack: Attack, integration: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    known = {"integration_id": integration} if attack.known and "{integration_id}" in operation.path else None
    checks = [
        not_a_server_error,
        openapi_checks.status_code_conformance,
        openapi_checks.content_type_conformance,
        openapi_checks.response_schema_conformance,
        openapi_checks.response_headers_conformance,
    ]
    asked = 0
    with requests.Session() as session:

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=attack.mode, path_parameters=known))
        def ask(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(base_url=api.url, headers=headers, session=session, checks=checks)

        # Where nothing is taken, nothing can be otherwise.
        with suppress(Unsatisfiable):
            ask()
    return asked
