"""Who may use the API: tokens, and clients that log in as those of the platform do."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from time import time
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api_client import Answer, Api, Client, Serve, webhook
from tests.ledger import inspection, surgery
from tests.samples import ELSEWHERE, SCOPE
from tests.waiting import eventually
from worker.api.handlers.oauth import LIFETIME
from worker.api.operations import Operation
from worker.api.request_context import FORM
from worker.api.routes import OPERATIONS
from worker.api.services.access import ATTEMPTS
from worker.domain.api_token import Role, TokenKind, read, written
from worker.domain.event import Scope

OAUTH = "/oauth/access_token"
BAD = written("0" * 16, "A" * 43)
FORM_TYPE = {"Content-Type": FORM}


@dataclass(frozen=True)
class Credentials:
    """A client's."""

    id: str
    secret: str

    @property
    def fields(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "client_id": self.id, "client_secret": self.secret}

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": f"Basic {b64encode(f'{self.id}:{self.secret}'.encode()).decode()}"}


async def a_client(api: Api, role: Role = Role.ADMIN, scope: Scope = SCOPE, *, platform: bool = False) -> Credentials:
    parts = read(await api.token(role, scope, platform=platform, kind=TokenKind.CLIENT))
    assert parts
    return Credentials(*parts)


async def log_in(api: Api, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
    return await api.client().post(OAUTH, urlencode(fields).encode(), {**FORM_TYPE, **(headers or {})})


async def logged_in(api: Api, client: Credentials) -> Client:
    answer = await log_in(api, client.fields)
    assert answer.status == 200, answer.raw
    return api.client(answer.document["access_token"])


def concrete(operation: Operation) -> str:
    names = ("integration_id", "job_id", "event_id")
    path = operation.path
    for name in names:
        path = path.replace(f"{{{name}}}", "2da46671-b4c2-44ac-b133-d1221aafc77b")
    return path


class TestLoggingIn:
    async def test_it_is_answered_as_the_platforms_clients_expect(self, api: Api) -> None:
        client = await a_client(api)
        before = int(time())

        answer = await log_in(api, client.fields)

        assert answer.status == 200
        assert set(answer.document) == {"access_token", "token_type", "expires", "expires_in", "identifier"}
        assert (answer.document["token_type"], answer.document["identifier"]) == ("Bearer", "client_credentials")
        assert answer.document["expires_in"] == LIFETIME == 3600
        assert before + LIFETIME <= answer.document["expires"] <= time() + LIFETIME
        assert answer.headers["Content-Type"] == "application/json"
        assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")

    async def test_the_bearer_acts_as_its_client_for_an_hour(self, api: Api) -> None:
        client = await a_client(api, Role.PUBLISH, ELSEWHERE)
        somebody = await logged_in(api, client)

        event = {"type": "order.paid", "data": {"id": "o"}, "store_id": ELSEWHERE.store_id}
        assert (await somebody.post("/v2/events", {"data": event})).status == 202
        assert (await somebody.get("/v2/integrations")).status == 403

        parts = read(str(somebody.token))
        assert parts
        stored, left = await inspection.stored_token(api.ledger, parts[0])
        assert LIFETIME - 60 < left / 1000 <= LIFETIME
        assert parts[1] not in stored

    async def test_a_bearer_whose_hour_is_over_is_none(self, api: Api) -> None:
        somebody = await logged_in(api, await a_client(api))
        assert (await somebody.get("/v2/integrations")).status == 200
        parts = read(str(somebody.token))
        assert parts

        await surgery.expire_token(api.ledger, parts[0])

        await eventually_refused(somebody)

    async def test_revoking_the_client_ends_its_bearers(self, api: Api) -> None:
        client = await a_client(api)
        bearers = [await logged_in(api, client) for _ in range(2)]
        for each in bearers:
            assert (await each.get("/v2/integrations")).status == 200

        assert await api.ledger.tokens.revoke(client.id)

        for each in bearers:
            await eventually_refused(each)
        assert (await log_in(api, client.fields)).status == 401

    async def test_json_and_basic_are_taken_too(self, api: Api) -> None:
        client = await a_client(api)
        anybody = api.client()

        as_json = await anybody.post(OAUTH, client.fields)
        as_basic = await log_in(api, {"grant_type": "client_credentials"}, client.basic)
        async with api.session.post(
            api.url + OAUTH, data=urlencode(client.fields).encode(), skip_auto_headers=["Content-Type"]
        ) as as_nothing:
            assert as_nothing.status == 200

        assert (as_json.status, as_basic.status) == (200, 200)

    async def test_a_platforms_client_gets_a_platforms_bearer(self, api: Api) -> None:
        somebody = await logged_in(api, await a_client(api, Role.PUBLISH, platform=True))
        event = {"type": "order.paid", "data": {"id": "o"}, "store_id": "s", "org_id": "o"}

        assert (await somebody.post("/v2/events", {"data": event})).status == 202


async def eventually_refused(somebody: Client) -> None:
    async def refused() -> bool:
        return (await somebody.get("/v2/integrations")).status == 401

    await eventually(refused, "it is refused")


class TestFailingToLogIn:
    def both_shapes(self, answer: Answer, status: int, code: str) -> None:
        document = answer.document
        assert (answer.status, document["error"], document["errors"][0]["status"]) == (status, code, status)
        assert document["error_description"] == document["errors"][0]["detail"]

    async def test_bad_credentials(self, api: Api) -> None:
        client, other = await a_client(api), await a_client(api)
        for pair in ({"client_secret": other.secret}, {"client_id": "0" * 16}, {"client_id": "é\n"}):
            answer = await log_in(api, client.fields | pair)

            self.both_shapes(answer, 401, "invalid_client")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_a_token_is_no_client(self, api: Api) -> None:
        parts = read(await api.token())
        assert parts

        self.both_shapes(await log_in(api, Credentials(*parts).fields), 401, "invalid_client")

    async def test_a_clients_secret_is_no_bearer_token(self, api: Api) -> None:
        client = await a_client(api)

        assert (await api.client(written(client.id, client.secret)).get("/v2/integrations")).status == 401

    @pytest.mark.parametrize("grant", ["password", "implicit", ""])
    async def test_another_grant(self, api: Api, grant: str) -> None:
        client = await a_client(api)

        self.both_shapes(await log_in(api, client.fields | {"grant_type": grant}), 400, "unsupported_grant_type")

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b"grant_type=client_credentials", FORM_TYPE),
            (b"grant_type=client_credentials&client_id=a&client_secret=", FORM_TYPE),
            (b'{"grant_type":"client_credentials","client_id":1,"client_secret":[]}', {}),
            (b"\xff\xfe=1", FORM_TYPE),
            (b"&".join(b"a%d=1" % n for n in range(30)), FORM_TYPE),
        ],
    )
    async def test_what_is_missing_or_garbled(self, api: Api, body: bytes, headers: dict[str, str]) -> None:
        self.both_shapes(await api.client().post(OAUTH, body, headers), 400, "invalid_request")

    @pytest.mark.parametrize("body", [b"[]", b"5", b"null"])
    async def test_json_that_is_no_object(self, api: Api, body: bytes) -> None:
        self.both_shapes(await api.client().post(OAUTH, body), 400, "unsupported_grant_type")

    async def test_what_is_no_json_and_other_types(self, api: Api) -> None:
        assert (await api.client().post(OAUTH, b"{")).status == 400
        assert (await api.client().post(OAUTH, b"<a/>", {"Content-Type": "text/xml"})).status == 415

    async def test_guessing_is_slowed_down(self, api: Api) -> None:
        client = await a_client(api)
        for _ in range(ATTEMPTS):
            assert (await log_in(api, client.fields | {"client_secret": "x"})).status == 401

        answer = await log_in(api, client.fields)

        self.both_shapes(answer, 429, "slow_down")
        assert int(answer.headers["Retry-After"]) >= 1


class TestTokens:
    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
    async def test_without_one_there_is_no_answer(self, api: Api, operation: Operation) -> None:
        answer = await api.client().ask(operation.method, concrete(operation))

        if operation.roles is None:
            assert answer.status != 401
            assert operation.name in ("logIn", "healthz", "readyz")
        else:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="edw"')
            assert answer.errors[0]["title"] == "Unauthorized"

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", f"Bearer {BAD}", f"Bearer  {BAD}", f"Token {BAD}", BAD, "Basic !", "é"]
    )
    async def test_with_a_bad_one_neither(self, api: Api, header: str) -> None:
        answer = await api.client().get("/v2/integrations", {"Authorization": header})

        assert answer.status == 401
        assert "WWW-Authenticate" in answer.headers

    async def test_what_is_wrong_with_a_request_is_reported_to_nobody_without_one(self, api: Api) -> None:
        assert (await api.client().post("/v2/integrations", b"{")).status == 401
        assert (await api.client().get("/v2/integrations?page[limit]=0")).status == 401

    async def test_a_role_does_what_it_is_for(self, api: Api) -> None:
        reader, publisher = await api.someone(Role.READ), await api.someone(Role.PUBLISH)

        assert (await reader.get("/v2/integrations")).status == 200
        refused = await reader.post("/v2/integrations", {"data": webhook()})
        assert (refused.status, "admin" in refused.errors[0]["detail"]) == (403, True)
        assert (await publisher.get("/v2/integrations")).status == 403

    async def test_revoking_one_ends_it(self, api: Api, admin: Client) -> None:
        assert (await admin.get("/v2/integrations")).status == 200
        parts = read(str(admin.token))
        assert parts

        assert await api.ledger.tokens.revoke(parts[0])

        await eventually_refused(admin)

    async def test_basic_with_the_token_as_password_opens_the_description_and_nothing_else(self, api: Api) -> None:
        pair = b64encode(f"me:{await api.token(Role.READ)}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        anybody = api.client()

        assert (await anybody.get("/", headers)).status == 200
        assert (await anybody.get("/openapi.json", headers)).status == 200
        assert (await anybody.get("/v2/integrations", headers)).status == 401
        assert "Basic" in (await anybody.get("/")).headers["WWW-Authenticate"]
        assert "Basic" not in (await anybody.get("/v2/integrations")).headers["WWW-Authenticate"]

    async def test_the_platforms_clients_headers_change_nothing(self, admin: Client) -> None:
        theirs = {
            "X-MOLTIN-SDK-VERSION": "29.0.0",
            "X-MOLTIN-SDK-LANGUAGE": "javascript",
            "X-MOLTIN-SETTINGS-PAGE_LENGTH": "1",
            "X-MOLTIN-STORE": "store-2",
            "EP-Beta-Features": "anything",
            "EP-Store-ID": "store-2",
            "EP-ORG-ID": "org-2",
        }

        created = await admin.post("/v2/integrations", {"data": webhook()}, theirs)
        listed = await admin.get("/v2/integrations", theirs)

        assert (created.status, listed.status) == (201, 200)
        assert created.data["store_id"] == SCOPE.store_id
        assert listed.raw == (await admin.get("/v2/integrations")).raw


class TestGuessing:
    async def guess(self, api: Api) -> None:
        for _ in range(ATTEMPTS):
            assert (await api.client(BAD).get("/v2/integrations")).status == 401

    async def test_it_is_slowed_down_and_learns_for_how_long(self, api: Api) -> None:
        await self.guess(api)

        answer = await api.client(BAD).get("/v2/integrations")

        assert (answer.status, 1 <= int(answer.headers["Retry-After"]) <= 3) == (429, True)

    async def test_who_works_already_goes_on_and_who_comes_waits(self, api: Api, admin: Client) -> None:
        newcomer = await api.someone()
        await admin.get("/v2/integrations")
        await self.guess(api)

        assert (await admin.get("/v2/integrations")).status == 200
        assert (await newcomer.get("/v2/integrations")).status == 429
        assert (await api.client().get("/healthz")).status == 200
        assert (await api.client().get("/v2/integrations")).status == 401

    async def test_logging_in_and_bearing_share_the_attempts(self, api: Api) -> None:
        client = await a_client(api)
        await self.guess(api)

        assert (await log_in(api, client.fields)).status == 429

    async def test_a_client_that_works_here_logs_in_again_and_goes_on(self, api: Api) -> None:
        client = await a_client(api)
        await logged_in(api, client)
        await self.guess(api)

        assert (await (await logged_in(api, client)).get("/v2/integrations")).status == 200

    async def test_behind_a_proxy_those_who_guess_hold_up_themselves(self, serve: Serve) -> None:
        api = await serve(api_proxies=(ip_network("127.0.0.1"),))
        client, theirs = await a_client(api), {"X-Forwarded-For": "203.0.113.9"}
        for _ in range(ATTEMPTS):
            assert (await api.client(BAD).get("/v2/integrations", theirs)).status == 401

        assert (await log_in(api, client.fields, theirs)).status == 429
        assert (await log_in(api, client.fields, {"X-Forwarded-For": "198.51.100.1"})).status == 200


async def test_nothing_that_is_logged_has_a_secret(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    api = await serve()
    client = await a_client(api)
    somebody = await logged_in(api, client)
    await somebody.get("/v2/integrations")
    await api.client(f"{somebody.token}x").get("/v2/integrations")
    await log_in(api, client.fields | {"client_secret": f"{client.secret}x"})

    said = "".join(capfd.readouterr())

    parts = read(str(somebody.token))
    assert parts
    assert "/v2/integrations" in said
    assert client.secret not in said
    assert parts[1] not in said
    assert json.dumps(client.fields)[1:-1] not in said


async def test_the_only_stores_token_sees_the_only_store(api: Api) -> None:
    somebody = await api.someone(scope=Scope())
    created: dict[str, Any] = await somebody.create()

    assert "store_id" not in created
    assert [each["id"] for each in (await somebody.get("/v2/integrations")).data] == [created["id"]]
