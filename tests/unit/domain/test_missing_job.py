"""Why an integration got nothing of an event, in the order in which people would look."""

from typing import Any

import pytest

from tests.samples import an_integration
from worker.domain.affected_resource import AffectedResource, affected_resource
from worker.domain.missing_job import MissingReason, missing_job

AT = 1_000_000


@pytest.mark.parametrize(
    ("changes", "states", "reason"),
    [
        ({}, {"forgotten": True, "waiting": True}, MissingReason.FORGOTTEN),
        ({"created_at": AT + 1, "enabled": False}, {}, MissingReason.CREATED_LATER),
        ({"observes": ("order.created",), "enabled": False}, {}, MissingReason.NOT_OBSERVED),
        ({"enabled": False}, {"waiting": True}, MissingReason.DISABLED),
        ({}, {"waiting": True}, MissingReason.WAITING),
        ({}, {"set_aside": True}, MissingReason.SET_ASIDE),
        ({"updated_at": AT + 1}, {}, MissingReason.CHANGED_LATER),
        ({"filter": {"data": {"n": 1}}}, {"left_out": "its filter …"}, MissingReason.FILTERED),
        ({"filter": {"data": {"n": 1}}}, {"left_out": "its filter …", "waiting": True}, MissingReason.WAITING),
        ({"filter": {"data": {"n": 1}}, "updated_at": AT + 1}, {"left_out": ""}, MissingReason.CHANGED_LATER),
        ({"filter": {"data": {"n": 1}}}, {}, MissingReason.FILTERED),
    ],
)
def test_the_first_reason_that_holds_is_said(
    changes: dict[str, Any], states: dict[str, Any], reason: MissingReason
) -> None:
    integration = an_integration(**({"created_at": AT, "updated_at": AT} | changes))
    flags = {"waiting": False, "set_aside": False, "forgotten": False} | states
    found = missing_job(integration, "order.paid", AT, **flags)
    assert (found.reason, found.integration_id, found.name) == (reason, "i-1", "name of i-1")
    assert found.words


@pytest.mark.parametrize(
    ("data", "resource"),
    [
        (b'{"type":"order","id":"123","x":[1,{"id":2}]}', AffectedResource("order", "123")),
        (b'{"id":"123"}', AffectedResource("order", "123")),
        (b'{"id":12345678901234567890123,"type":7}', AffectedResource("7", "12345678901234567890123")),
        (b'{"id":""}', None),
        (b'{"id":null,"type":"order"}', None),
        (b'{"id":{"a":1}}', None),
        (b"[]", None),
        (b"{", None),
        (b'{"id":"\\ud83d\\ude00"}', AffectedResource("order", "\N{GRINNING FACE}")),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"id":"1"}', None),
    ],
)
def test_an_event_is_about_the_type_and_id_of_its_data(data: bytes, resource: AffectedResource | None) -> None:
    assert affected_resource("order.paid", data) == resource


def test_no_two_resources_share_a_key() -> None:
    parts = ("", "a", "ab", "b", "a\0b", "/", "\N{SNOWMAN}")
    keys = {AffectedResource(kind, identity).key(scope) for scope in parts for kind in parts for identity in parts}
    assert len(keys) == len(parts) ** 3
    assert {len(key) for key in keys} == {22}
    assert not any("/" in key for key in keys)
