"""Bytes that are made to keep the API busy, or to have it fail: an answer in its own shape, and nobody waits."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api_client import Api, Client, webhook
from tests.samples import SCOPE
from tests.turns import counted_turns
from worker.api.api_errors import ERRORS_MOST
from worker.api.handlers import event_handlers as events_module
from worker.api.request_context import CONTENT_TYPE_CHARS
from worker.api.schemas import EVENTS_MOST
from worker.api.services.access import HOPS_MOST
from worker.domain.api_token import Role
from worker.domain.integration_input import ATTRIBUTES_MAX, OBSERVES_PROBLEMS_MAX
from worker.event_loop.pacing import STEP_PARTS

EVENTS = "/v2/events"
DIGITS = "9" * 200_000
#: As a whole number, a fraction and an exponent.
TOO_LARGE = ["1e999", "-1e999", DIGITS, f"-{DIGITS}", f"{DIGITS}.0", "1" * 4_301, "1E+400"]
#: Nested further than may be, and a string that has no end: with one scan from each quote, a minute for 96 KB.
ENDLESS = b'{"type":"order.paid","data":{"a":' + b"[" * 101 + b'"' + b'\\"' * 250_000


@pytest.mark.parametrize("number", TOO_LARGE)
async def test_a_number_that_nothing_can_hold_is_refused_with_its_place(admin: Client, number: str) -> None:
    integration = (await admin.create())["id"]
    body = f'{{"data":{{"name":"a","rate_limit":{number}}}}}'.encode()
    options = f'{{"data":{{"cursor":{number}}}}}'.encode()

    for answer, pointer in (
        (await admin.post("/v2/integrations", body), "/data/rate_limit"),
        (await admin.put(f"/v2/integrations/{integration}", body), "/data/rate_limit"),
        (await admin.post(f"/v2/integrations/{integration}/redeliver", options), "/data/cursor"),
        (await admin.post(f"/v2/integrations/{integration}/test", options), "/data/cursor"),
        (await admin.post("/oauth/access_token", f'{{"client_id":{number[:5_000]}}}'.encode()), "/client_id"),
    ):
        assert (answer.status, answer.pointers) == (400, [pointer]), answer.raw
        assert len(answer.raw) < 500


@pytest.mark.parametrize("number", ["1e999", DIGITS])
async def test_a_number_in_an_event_stays_as_it_was_written(api: Api, admin: Client, number: str) -> None:
    body = f'{{"data":{{"id":"e","type":"order.paid","data":{{"total":{number}}}}}}}'.encode()
    assert (await admin.post(EVENTS, body)).status == 202
    assert (await admin.get(f"{EVENTS}/e")).status == 200


@pytest.mark.parametrize("number", ["1e9", "²", "٣", "１", "9" * 4_301, "-1", "+1", "1_0", " 1", "0x1", "NaN"])
async def test_what_is_no_number_of_a_query_is_refused(admin: Client, number: str) -> None:
    assert (await admin.get("/v2/integrations/logs", limit=number)).status == 400
    assert (await admin.get("/v2/integrations/logs", offset=number)).status == 400
    answer = await admin.get("/v2/integrations/logs", filtered=f"gt(attempt,{number})")
    # Of a filter, numbers may be negative, and stand between blanks.
    assert answer.status == (200 if number in ("-1", " 1") else 400), answer.raw


async def test_headers_are_read_once_however_they_are_written(api: Api, admin: Client, reader: Client) -> None:
    """Each took the loop for seconds, which a client of aiohttp waits for in the end all the same: see tests/linear."""
    path = f"/v2/integrations/{(await admin.create())['id']}"
    publisher = await api.someone(Role.PUBLISH)
    quoted = {f"ce-x{number}": '"' + '\\"' * 3_500 for number in range(8)}
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "order.paid"}

    assert (await reader.get(path, headers={"If-None-Match": "a" + " " * 8_000 + "b"})).status == 200
    assert (await publisher.ask("POST", EVENTS, b'{"id":"1"}', headers=event | quoted)).status == 202


@pytest.mark.parametrize("given", ["application/json; a=" + "1;a=" * 1_900, "application/json" + ";" * 8_000])
async def test_a_long_content_type_is_refused_unread(admin: Client, given: str) -> None:
    assert len(given) > CONTENT_TYPE_CHARS
    answer = await admin.post(EVENTS, b"{}", headers={"Content-Type": given})
    assert answer.status == 415
    assert len(answer.raw) < 500


@pytest.mark.parametrize("element", [b"[]", b"1", b'{"a":1}', b'"\\""', b"null"])
async def test_a_batch_of_too_many_is_refused_without_being_read_to_its_end(admin: Client, element: bytes) -> None:
    # What stands behind the first thousand is no JSON: a parser that read on would say so.
    cloudevents = {"Content-Type": "application/cloudevents-batch+json"}
    many = b",".join([element] * (EVENTS_MOST + 1))
    answer = await admin.post(EVENTS, b"[" + many + b",*" + b" " * 1_000_000, headers=cloudevents)
    assert answer.status == 422
    assert "more than 1,000 events" in answer.errors[0]["detail"]


def _plain(number: int) -> bytes:
    return b'{"type":"no.such%d","data":{}}' % number


def _cloud(number: int) -> bytes:
    return b'{"specversion":"1.0","id":"%d","source":"/","type":"no.such%d","data":{}}' % (number, number)


@pytest.mark.parametrize(
    ("made", "content_type", "around"),
    [
        (_plain, "application/json", (b'{"data":[', b"]}")),
        (_cloud, "application/json", (b'{"data":[', b"]}")),
        (_cloud, "application/cloudevents-batch+json", (b"[", b"]")),
    ],
)
async def test_the_events_of_a_batch_are_parsed_in_steps(
    admin: Client,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[int], bytes],
    content_type: str,
    around: tuple[bytes, bytes],
) -> None:
    body = around[0] + b",".join(map(made, range(EVENTS_MOST))) + around[1]
    async with counted_turns() as turns:
        turns.count(monkeypatch, events_module, "parse_event")
        answer = await admin.post(EVENTS, body, headers={"Content-Type": content_type})
    assert answer.status == 422
    assert sum(turns.calls.values()) == EVENTS_MOST
    assert turns.most <= STEP_PARTS


async def test_an_event_without_an_end_is_refused_at_once(admin: Client) -> None:
    for body, content_type in (
        (b'{"data":' + ENDLESS, "application/json"),
        (ENDLESS, "application/cloudevents+json"),
        (b"[" + ENDLESS, "application/cloudevents-batch+json"),
    ):
        answer = await admin.post(EVENTS, body, headers={"Content-Type": content_type})
        assert answer.status in (400, 422)
        assert answer.errors


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({f"nam{number}": 1 for number in range(ATTRIBUTES_MAX)}, 1),
        ({"observes": [f"order.pxid{number}" for number in range(1_000)]}, OBSERVES_PROBLEMS_MAX + 1),
        ({"configuration": {f"ur{number}": 1 for number in range(10_000)}}, 1),
        ({"integration_type": "stomp", "configuration": {"destination": "/q", "addresses": ["a"] * 20_000}}, 1),
    ],
)
async def test_many_problems_are_not_each_looked_into(admin: Client, changes: dict[str, Any], most: int) -> None:
    answer = await admin.post("/v2/integrations", {"data": webhook(**changes)})
    assert answer.status == 422
    assert len(answer.errors) <= most


async def test_of_many_problems_so_many_are_listed(admin: Client) -> None:
    integration = (await admin.create())["id"]
    body = dict.fromkeys(map(str, range(10000)), 1)
    answer = await admin.post(f"/v2/integrations/{integration}/redeliver", {"data": body})
    assert (answer.status, len(answer.errors)) == (422, ERRORS_MOST + 1)
    assert "not listed" in answer.errors[-1]["detail"]


@pytest.mark.parametrize("url", ["http://[::1]@/", "https://xn--/", "https://xn--a-ecp.xn--", "http://[::1]@:80/a"])
async def test_a_url_that_no_parser_understands_is_refused(admin: Client, url: str) -> None:
    answer = await admin.post("/v2/integrations", {"data": webhook(configuration={"url": url})})
    assert (answer.status, answer.pointers) == (422, ["/data/configuration/url"])


@pytest.mark.parametrize("credentials", ["Basic é", "Basic YTpi", "Basic ", "Bearer é", "Basic " + "=" * 8_000])
async def test_credentials_of_any_bytes_are_credentials_that_are_not_known(api: Api, credentials: str) -> None:
    for path in ("/docs", "/v2/integrations"):
        answer = await api.client().get(path, headers={"Authorization": credentials})
        assert answer.status in (401, 404), answer.raw


async def test_so_many_forwarded_addresses_are_looked_at(api: Api) -> None:
    assert 8_000 / len("10.0.0.1,") > HOPS_MOST
    assert (await api.client().get("/v2/integrations", headers={"X-Forwarded-For": "10.0.0.1," * 800})).status == 401
    assert SCOPE.store_id
