"""What holds of envelopes and of the egress policy whatever comes."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deliverers.answers import kept_text
from deliverers.contract import Delivery, IntegrationRef
from deliverers.egress import EgressPolicy
from deliverers.envelopes import cloudevent_body, webhook_body
from deliverers.webhook import WebhookConfiguration

# JSON has no lone surrogates once it is UTF-8, and no infinities.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=5)


def delivery(triggered_by: str, data: bytes, included: bytes | None, text: str) -> Delivery:
    configuration = WebhookConfiguration(url="https://shop.example/")
    integration = IntegrationRef(text, "webhook", text, text)
    return Delivery(
        text,
        1,
        0,
        text,
        triggered_by,
        data,
        included,
        text,
        None,
        "2026-01-01T00:00:00Z",
        None,
        integration,
        configuration,
    )


@given(data=OBJECTS, included=st.none() | OBJECTS, text=TEXT, pretty=st.booleans(), escaped=st.booleans())
def test_an_envelope_is_json_and_carries_the_resources_twice(
    data: Any, included: Any, text: str, pretty: bool, escaped: bool
) -> None:
    def raw(value: Any) -> bytes:
        return json.dumps(value, indent=2 if pretty else None, ensure_ascii=escaped).encode()

    body = json.loads(
        webhook_body(delivery("order.paid", raw(data), None if included is None else raw(included), text))
    )
    assert body["payload"] == ({"data": data} if included is None else {"data": data, "included": included})
    assert json.loads(body["resources"]) == body["payload"]
    assert (body["id"], body["integration"]["name"], body["store_id"]) == (text, text, text)


@given(data=OBJECTS, included=st.none() | OBJECTS, text=TEXT, pretty=st.booleans(), escaped=st.booleans())
def test_a_cloudevent_is_json_whose_data_is_the_resource(
    data: Any, included: Any, text: str, pretty: bool, escaped: bool
) -> None:
    def raw(value: Any) -> bytes:
        return json.dumps(value, indent=2 if pretty else None, ensure_ascii=escaped).encode()

    one = delivery("order.paid", raw(data), None if included is None else raw(included), text)
    body = json.loads(cloudevent_body(one))
    assert body["data"] == (data if included is None else data | {"included": included})
    assert (body["id"], body["storeid"], body["integrationid"]) == (text, text, text)
    assert len(body["source"]) > 0


@given(data=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_deleted_event_never_raises_and_has_a_type_and_an_id(data: bytes) -> None:
    body = json.loads(webhook_body(delivery("order.deleted", data, None, "x")))
    assert set(body["payload"]) == {"type", "id"}
    assert body["payload"] == body["resources"]


def mapped(address: IPv4Address) -> str:
    return str(IPv6Address(int(IPv6Address("::ffff:0:0")) | int(address)))


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_decided_as_the_address_itself(address: IPv4Address) -> None:
    policy = EgressPolicy((ip_network("10.0.0.0/9"),))
    assert policy.refusal(mapped(address)) == policy.refusal(str(address))


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_in_an_allowed_network_passes(address: IPv4Address, length: int) -> None:
    network = IPv4Network((int(address), length), strict=False)
    policy = EgressPolicy((network,))
    assert policy.refusal(str(address)) is None
    assert policy.refusal(mapped(address)) is None


# Decided by the IPv4 address that they embed, whatever Python calls them.
TRANSLATED = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))


@given(st.ip_addresses().filter(lambda address: not any(address in network for network in TRANSLATED)))
def test_what_python_calls_special_is_refused(address: IPv4Address | IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_loopback
    assert not special or EgressPolicy().refusal(str(address)) is not None


@given(st.binary(max_size=300), st.integers(1, 100))
def test_what_is_kept_of_an_answer_fits_and_is_readable(raw: bytes, limit: int) -> None:
    text = kept_text(raw, limit)
    assert len(text.encode()) <= limit
    assert "\0" not in text
