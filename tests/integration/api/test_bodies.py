"""Bodies that may be left out: what is in one all the same is meant, and never passed over."""

import gzip
import json
from typing import Any

import pytest

from tests.api_client import Api, Client, Serve, webhook
from worker.api.handlers.oauth import CREDENTIALS_BYTES
from worker.api.request_context import DOCUMENT_BYTES


@pytest.mark.parametrize("what", ["redeliver", "test"])
@pytest.mark.parametrize("body", [{"dry_run": True}, {"data": {}, "dry_run": True}])
async def test_options_that_are_not_wrapped_are_refused_where_a_body_may_be_left_out(
    admin: Client, what: str, body: dict[str, Any]
) -> None:
    """Ignored, the redelivery that was only asked about would be done."""
    integration = (await admin.create())["id"]

    answer = await admin.post(f"/v2/integrations/{integration}/{what}", body)

    assert (answer.status, answer.pointers) == (422, ["/dry_run"])


@pytest.mark.parametrize("what", ["redeliver", "test"])
@pytest.mark.parametrize("body", [[], 5, None, {"data": []}, {"data": None}])
async def test_what_is_no_object_is_refused(admin: Client, what: str, body: Any) -> None:
    integration = (await admin.create())["id"]

    answer = await admin.post(f"/v2/integrations/{integration}/{what}", b"null" if body is None else body)

    assert (answer.status, answer.pointers) == (422, ["/data"])


@pytest.mark.parametrize(("what", "status"), [("redeliver", 202), ("test", 200)])
@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"data":{}}'])
async def test_what_says_nothing_is_as_good_as_none(admin: Client, what: str, status: int, body: bytes) -> None:
    integration = (await admin.create())["id"]

    assert (await admin.post(f"/v2/integrations/{integration}/{what}", body)).status == status


@pytest.mark.parametrize("surplus", [0, 1])
async def test_what_describes_something_is_small(admin: Client, surplus: int) -> None:
    """Decoded whole, a body as large as events may be would keep everybody else waiting for seconds."""
    integration = (await admin.create())["id"]

    def padded(attributes: dict[str, Any]) -> bytes:
        body = json.dumps({"data": attributes}).encode()
        return body + b" " * (DOCUMENT_BYTES + surplus - len(body))

    for answer in (
        await admin.post("/v2/integrations", padded(webhook())),
        await admin.put(f"/v2/integrations/{integration}", padded({"name": "CRM"})),
        await admin.post(f"/v2/integrations/{integration}/redeliver", padded({})),
    ):
        assert (answer.status == 413) == bool(surplus), answer.raw
        assert not surplus or f"{DOCUMENT_BYTES:,} bytes" in answer.errors[0]["detail"]


async def test_a_test_takes_an_event_of_any_size_that_events_may_have(serve: Serve) -> None:
    most = 2 * DOCUMENT_BYTES
    admin = await (await serve(event_max_bytes=most)).someone()
    integration = (await admin.create(configuration={"url": "http://127.0.0.1:9/"}))["id"]
    for size, status in ((most - 100, 200), (most + DOCUMENT_BYTES, 413)):
        sample = {"data": {"data": {"text": "x" * size}}}
        assert (await admin.post(f"/v2/integrations/{integration}/test", sample)).status == status


async def test_a_stranger_who_logs_in_sends_little(api: Api) -> None:
    anybody = api.client()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, headers in ((b"[" + b"[]," * CREDENTIALS_BYTES, {}), (b"x" * (CREDENTIALS_BYTES + 1), form)):
        answer = await anybody.post("/oauth/access_token", body, headers)
        assert answer.status == 413, answer.raw


async def test_a_body_that_inflates_is_counted_as_it_is_read(admin: Client) -> None:
    inflated = gzip.compress(b" " * (DOCUMENT_BYTES + 1))
    assert (await admin.post("/v2/integrations", inflated, {"Content-Encoding": "gzip"})).status == 413
