"""Bodies that may be left out: what is in one all the same is meant, and never passed over."""

from typing import Any

import pytest

from tests.integration.api.conftest import Client


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
