"""The event of the demo: an order.paid as a store publishes it, byte for byte."""

import msgspec

EVENT_ID = "0192f0c1-6d1b-7c53-9a55-3f5de07a4b9e"
STORE_ID = "1d0a4dbd-ecc5-4cdf-8f5f-3d2c5d1b6a10"
ORG_ID = "b3a1c7d2-90a4-4a53-8d2c-6c1f7b0a9e44"

#: Values that JSON libraries often change: prices with trailing zeros, and a number that no double holds.
EXACT_TEXTS = (b"149.90", b"299.80", b"0.00", b"12.50", b"312.30", b"90071992547409930001")


def _compact(text: str) -> bytes:
    """Return JSON as producers write it, without whitespace; numbers keep their digits."""
    return msgspec.json.format(text.encode(), indent=-1)


ORDER = _compact("""{
    "type": "order",
    "id": "c62a7e0b-3f9e-4c0c-93d4-8b1f2f6f3e0a",
    "status": "complete",
    "payment": "paid",
    "shipping": "unfulfilled",
    "external_ref": 90071992547409930001,
    "customer": {
      "name": "Zoë Müller-Łukasiewicz",
      "email": "zoe@example.com"
    },
    "shipping_address": {
      "first_name": "Zoë",
      "last_name": "Müller-Łukasiewicz",
      "line_1": "Große Straße 12",
      "city": "Köln",
      "postcode": "50667",
      "country": "DE"
    },
    "relationships": {
      "items": {
        "data": [
          {"type": "item", "id": "item-espresso"},
          {"type": "item", "id": "item-shipping"}
        ]
      }
    },
    "meta": {
      "display_price": {
        "with_tax": {"amount": 312.30, "currency": "EUR", "formatted": "312,30 €"},
        "discount": {"amount": 0.00, "currency": "EUR", "formatted": "0,00 €"}
      },
      "timestamps": {"created_at": "2026-11-23T20:40:12Z", "paid_at": "2026-11-23T20:41:00Z"}
    }
  }""")

INCLUDED = _compact("""{
    "items": [
      {
        "type": "order_item",
        "id": "item-espresso",
        "name": "Crème brûlée espresso cup, set of 4",
        "sku": "CUP-4",
        "quantity": 2,
        "unit_price": {"amount": 149.90, "currency": "EUR", "includes_tax": true},
        "value": {"amount": 299.80, "currency": "EUR", "includes_tax": true}
      },
      {
        "type": "order_item",
        "id": "item-shipping",
        "name": "Versand (DHL)",
        "sku": "SHIP-DE",
        "quantity": 1,
        "unit_price": {"amount": 12.50, "currency": "EUR", "includes_tax": true},
        "value": {"amount": 12.50, "currency": "EUR", "includes_tax": true}
      }
    ]
  }""")

EVENT = (
    b'{"id":"%s","type":"order.paid","time":"2026-11-23T20:41:00Z","source":"https://shop.example.com",'
    b'"store_id":"%s","org_id":"%s","data":%s,"included":%s}'
) % (EVENT_ID.encode(), STORE_ID.encode(), ORG_ID.encode(), ORDER, INCLUDED)
