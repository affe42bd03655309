"""What is delivered: a realistic `order.paid` of about 2 KB, and the webhook body that becomes of it."""

from typing import Any
from uuid import uuid4

import msgspec

from deliverers.contract import Delivery, IntegrationRef
from deliverers.envelopes import webhook_body
from deliverers.webhook import WebhookConfiguration

OBSERVABLE_KEY = "order.paid"
ORG_ID = "0f0c7a4e-5a35-4d0e-9f3d-4f6b1f7d2c11"
STORE_ID = "88888888-4444-4333-8333-111111111111"
CONTENT_TYPE = "application/json"

_ID = b"@@event-id@@"
_STORE = b"@@store-id@@"


def _price(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR", "formatted": f"{amount / 100:.2f} €"}


def _item(number: int, name: str, sku: str, quantity: int, cents: int) -> dict[str, Any]:
    return {
        "type": "order_item",
        "id": f"5c7d2b1e-8f6a-4f0c-9a52-0d9e1b7a33{number:02d}",
        "product_id": f"b2f1c0de-42aa-4c1e-8e1b-6e9f0d2c44{number:02d}",
        "name": name,
        "sku": sku,
        "quantity": quantity,
        "unit_price": _price(cents),
        "value": _price(cents * quantity),
    }


_DATA = {
    "type": "order",
    "id": "3f9b6d52-0a41-4b7a-9d27-7c8a51e0b6f4",
    "status": "complete",
    "payment": "paid",
    "shipping": "unfulfilled",
    "customer": {"name": "Zoë Müller-Ångström", "email": "zoe@example.com"},
    "billing_address": {
        "company_name": "Ångström & Töchter GmbH",
        "line_1": "Königstraße 27",
        "line_2": "c/o Buchhaltung",
        "postcode": "70173",
        "city": "Stuttgart",
        "country": "DE",
    },
    "shipping_address": {
        "first_name": "Zoë",
        "last_name": "Müller-Ångström",
        "line_1": "Königstraße 27",
        "postcode": "70173",
        "city": "Stuttgart",
        "country": "DE",
        "instructions": "Leave it with the neighbour on the 2nd floor",
    },
    "meta": {
        "display_price": {
            "with_tax": _price(14990),
            "without_tax": _price(12597),
            "tax": _price(2393),
        },
        "timestamps": {
            "created_at": "2026-11-23T20:40:12.481Z",
            "updated_at": "2026-11-23T20:41:03.007Z",
        },
    },
    "relationships": {"customer": {"data": {"type": "customer", "id": "a8d3f2c4-1f3b-4e0e-8a55-2f0b9e6c7d10"}}},
}
_INCLUDED = {
    "items": [
        _item(1, "Café crème, 250 g", "CAF-250", 2, 3995),
        _item(2, "Moka pot", "MOK-6", 1, 7000),
    ]
}
_EVENT = {
    "id": _ID.decode(),
    "type": OBSERVABLE_KEY,
    "time": "2026-11-23T20:41:03.007Z",
    "source": "https://store.example.com",
    "org_id": ORG_ID,
    "store_id": _STORE.decode(),
    "data": _DATA,
    "included": _INCLUDED,
}


class OrderPaid:
    """Makes the events of one store: equal but for their ids, and cheap to make, so that producing is not measured.

    Events that would be smaller than `size` bytes are padded to about that.
    """

    def __init__(self, store_id: str = STORE_ID, size: int = 0) -> None:
        padding = size - len(msgspec.json.encode(_EVENT))
        event = _EVENT | {"data": _DATA | {"note": "x" * padding}} if padding > 0 else _EVENT
        raw = msgspec.json.encode(event).replace(_STORE, store_id.encode())
        self._before, self._after = raw.split(_ID)

    def event(self, event_id: str = "") -> bytes:
        """One event, as a producer writes it; without an id it gets one."""
        return self._before + (event_id or str(uuid4())).encode() + self._after


def order_body(url: str) -> bytes:
    """The body that a webhook at `url` gets: what the floor and the textbook post, so that all post the same."""
    integration = IntegrationRef(str(uuid4()), "webhook", "ERP", "Enters paid orders")
    return webhook_body(
        Delivery(
            job_id=str(uuid4()),
            attempt=1,
            epoch=0,
            event_id=str(uuid4()),
            triggered_by=OBSERVABLE_KEY,
            data=msgspec.json.encode(_DATA),
            included=msgspec.json.encode(_INCLUDED),
            store_id=STORE_ID,
            org_id=ORG_ID,
            time="2026-11-23T20:41:03.007Z",
            source="https://store.example.com",
            integration=integration,
            configuration=WebhookConfiguration(url=url),
        )
    )
