"""Orders of a shop, of about 1,350 bytes, each with content of its own: what compression meets in production.

`order.OrderPaid` repeats one order, which would compress far better than real events do.
"""

from random import Random
from typing import Any
from uuid import UUID

import msgspec

from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID


def _words(text: str, between: str = " ") -> list[str]:
    return text.split(between)


_FIRST = _words(
    "Zoë Amélie Jonas Fatima Liam Noor Wei Aisha Tomás Ingrid Pavel Chiara Mateusz Sofia Henrik Yuki Olga Deniz "
    "Brigid Kwame Lucía Rahul Marta Elias Joséphine Bartholomew Xiomara Thandiwe",
)
_LAST = _words(
    "Müller-Ångström O'Brien García Novák Kowalski Rossi Andersen Yamamoto Okafor Petrov Demir Smith Johansson Silva "
    "Dubois Schneider Nguyen Patel Haddad Fernández Visser Horváth Papadopoulos Leclerc MacGregor Weißenberger",
)
_STREETS = _words(
    "Königstraße|Rue de la Paix|High Street|Via Garibaldi|Calle Mayor|Storgatan|Keizersgracht|Nowy Świat|Elm Road|"
    "Rua Augusta|Bahnhofstrasse|Na Příkopě|Mill Lane|Boulevard Haussmann|Harbour View|Old Post Office Walk",
    "|",
)
_CITIES = _words(
    "Stuttgart:DE Paris:FR London:GB Torino:IT Sevilla:ES Göteborg:SE Utrecht:NL Warszawa:PL Leeds:GB Porto:PT "
    "Zürich:CH Brno:CZ Dublin:IE Lyon:FR Aarhus:DK Gdańsk:PL Bologna:IT Köln:DE Antwerpen:BE Malmö:SE",
)
_ADJECTIVES = _words(
    "Organic Brushed Compact Waterproof Vintage Recycled Handmade Foldable Premium Ultralight Ceramic Striped Merino "
    "Stainless Cordless Quilted Bamboo Smoked Reversible Double-walled",
)
_NOUNS = _words(
    "moka pot|rain jacket|desk lamp|café crème 250 g|yoga mat|phone case|bread knife|wool socks|garden hose|tea towel|"
    "espresso cups|cycling gloves|plant stand|rucksack 24 l|salt mill|fountain pen|beach towel|wall clock|dog lead",
    "|",
)
_CURRENCIES = ("EUR", "GBP", "SEK", "PLN", "CHF", "USD")


class VariedOrders:
    """Makes events of one store; the same seed makes the same events."""

    def __init__(self, store_id: str, seed: int) -> None:
        self._store_id = store_id
        self._random = Random(seed)

    def event(self) -> bytes:
        """Return one event, as a producer writes it."""
        return msgspec.json.encode(
            {
                "id": self._id(),
                "type": OBSERVABLE_KEY,
                "time": self._time(),
                "source": "https://store.example.com",
                "org_id": ORG_ID,
                "store_id": self._store_id,
                "data": self._order(),
                "included": {"items": [self._item() for _ in range(self._random.choice((1, 2)))]},
            }
        )

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _time(self) -> str:
        pick = self._random.randint
        day = f"2026-{pick(1, 12):02d}-{pick(1, 28):02d}"
        return f"{day}T{pick(0, 23):02d}:{pick(0, 59):02d}:{pick(0, 59):02d}.{pick(0, 999):03d}Z"

    def _price(self, currency: str) -> dict[str, Any]:
        amount = self._random.randint(99, 99_999)
        return {"amount": amount, "currency": currency, "formatted": f"{amount / 100:.2f} {currency}"}

    def _order(self) -> dict[str, Any]:
        random = self._random
        first, last = random.choice(_FIRST), random.choice(_LAST)
        city, country = random.choice(_CITIES).split(":")
        currency = random.choice(_CURRENCIES)
        return {
            "type": "order",
            "id": self._id(),
            "status": random.choice(("complete", "incomplete", "processing")),
            "payment": random.choice(("paid", "authorized", "refunded")),
            "shipping": random.choice(("unfulfilled", "fulfilled")),
            "customer": {
                "name": f"{first} {last}",
                "email": f"{first}.{last}{random.randint(1, 999)}@example.{country.lower()}".lower(),
            },
            "shipping_address": {
                "first_name": first,
                "last_name": last,
                "line_1": f"{random.choice(_STREETS)} {random.randint(1, 240)}",
                "postcode": f"{random.randint(1_000, 99_999)}",
                "city": city,
                "country": country,
                "phone_number": f"+{random.randint(10**10, 10**11 - 1)}",
            },
            "meta": {
                "display_price": {"with_tax": self._price(currency), "without_tax": self._price(currency)},
                "timestamps": {"created_at": self._time(), "updated_at": self._time()},
            },
            "relationships": {"customer": {"data": {"type": "customer", "id": self._id()}}},
        }

    def _item(self) -> dict[str, Any]:
        random = self._random
        name = f"{random.choice(_ADJECTIVES)} {random.choice(_NOUNS)}"
        return {
            "type": "order_item",
            "id": self._id(),
            "product_id": self._id(),
            "name": name,
            "sku": f"{name[:3].upper()}-{random.randint(100, 99_999)}",
            "quantity": random.randint(1, 9),
            "unit_price": self._price(random.choice(_CURRENCIES)),
        }
