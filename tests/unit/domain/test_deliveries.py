"""The argument of a deliverer."""

import msgspec
import pytest

from config.observable_events import load_catalogue
from deliverers.contract import IntegrationRef
from deliverers.envelopes import webhook_body
from deliverers.webhook import WebhookConfiguration
from worker.domain.deliveries import delivery_of
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.stored_event import StoredEvent


@pytest.mark.parametrize(
    ("content", "payload"),
    [({"data": {"id": "1"}}, {"data": {"id": "1"}}), ({"payload": {"token": "t"}}, {"token": "t"})],
    ids=["a resource", "a flat payload"],
)
def test_an_event_is_delivered_as_its_producer_formed_it(content: object, payload: object) -> None:
    raw = msgspec.json.encode({"id": "e-1", "type": "order.paid", "store_id": "s", **msgspec.to_builtins(content)})
    event = parse_event(raw, EventRules(load_catalogue()))
    assert isinstance(event, Event)
    stored = StoredEvent(event.ref, event, 1_790_000_000_000, sequence=7)
    ref = IntegrationRef("i-1", "webhook", "ERP", "")

    delivery = delivery_of(stored, ref, WebhookConfiguration(url="https://erp.example/"), "j-1", 2)

    body = msgspec.json.decode(webhook_body(delivery))
    assert (body["id"], body["attempt"], body["sequence"], body["payload"]) == ("e-1", 2, 7, payload)
