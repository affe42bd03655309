"""What filters cost: matching one event of 2 KB with 1,000 integrations, with filters and without.

`python -m tests.benchmarks.filters` measures both in turn, so whatever else the machine does, it does to both.
"""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import msgspec

from worker.delivery.event_filtering import passing
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.integration import Integration
from worker.domain.matching import Snapshot
from worker.domain.stored_event import StoredEvent

INTEGRATIONS = 1_000
REPETITIONS = 200
SCOPE = Scope("org-1", "store-1")
KEY = "order.paid"


def order() -> StoredEvent:
    """Return an order of 2 KB, with 24 lines."""
    lines = [{"type": "cart_item", "id": f"line-{number:04}", "sku": f"S-{number}", "qty": 1} for number in range(24)]
    data = {"type": "order", "id": "o-1", "status": "paid", "total": 500, "currency": "EUR", "items": lines}
    raw = msgspec.json.encode({"type": KEY, "data": data | {"note": "x" * 530}})
    return StoredEvent("ref", stored_event(raw, "e-1", SCOPE), 1_000)


def snapshot(filters: Sequence[Mapping[str, Any] | None]) -> Snapshot:
    """Return the snapshot of integrations that have these filters."""
    found = [
        Integration(f"i-{number}", SCOPE, "n", "webhook", (KEY,), filter=each) for number, each in enumerate(filters)
    ]
    return Snapshot(SCOPE).updated(1, found, ())


def usual(number: int) -> Mapping[str, Any]:
    """Return a filter with two conditions; half of these integrations get the order."""
    return {"data": {"total": {"$gte": number}, "status": {"$in": ["complete", "paid", f"s-{number}"]}}}


async def measure() -> Mapping[str, float]:
    """Return the median time (µs) to match the order: as it was before filters, without filters, and with them."""
    stored = order()
    plain, filtered = snapshot([None] * INTEGRATIONS), snapshot([usual(number) for number in range(INTEGRATIONS)])
    took: dict[str, list[float]] = {"before": [], "without": [], "with": []}
    for _ in range(REPETITIONS):
        began = perf_counter()
        plain.matching(KEY)
        took["before"].append(perf_counter() - began)
        for name, known in (("without", plain), ("with", filtered)):
            began = perf_counter()
            found, left_out = await passing(known, stored)
            took[name].append(perf_counter() - began)
            assert len(found) + left_out == INTEGRATIONS
    return {name: median(times) * 1e6 for name, times in took.items()}


def main() -> None:
    """Measure and print."""
    micros = asyncio.run(measure())
    print(f"an event of {len(order().event.raw):,} bytes, {INTEGRATIONS:,} integrations that observe it")
    print(f"without filters  {micros['without']:.1f} µs (the look-up alone: {micros['before']:.1f} µs)")
    print(f"with filters     {micros['with'] / 1000:.2f} ms")


if __name__ == "__main__":
    main()
