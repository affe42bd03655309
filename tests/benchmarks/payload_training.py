"""Trains the dictionary by which events are compressed, from templates of the platform's events.

    python -m tests.benchmarks.payload_training PATH

The templates are filled with ids, times, prices and words that are not those of tests.benchmarks.varied_orders, so that
the benchmark does not measure what was learnt by heart. A dictionary that a release has shipped never changes: a better
one gets a number of its own (worker/ledger/events/payload_codec.py).
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import zstandard

from worker.ledger.events.payload_codec import marked

_TEMPLATES = Path(__file__).with_name("payload_templates.jsonl")
_BYTES = 8 * 1024
_SAMPLES = 3_000
#: The dictionary is put together of pieces of this length (bytes): long ones hold whole events.
_SEGMENT = 1_600
_WORDS = (
    "Alex Jordan Taylor Morgan Brown Walker Green Baker blue small large classic cotton leather pocket table chair "
    "shirt Main Park Station Springfield Madrid Oslo Chicago Sydney Toronto gift summer daily"
)


class Filler:
    """Fills templates with content."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._words = _WORDS.split()

    def filled(self, template: Any, name: str = "") -> Any:
        """Return a template with every empty text, time and price replaced."""
        match template:
            case dict():
                return {each: self.filled(value, each) for each, value in template.items()}
            case list():
                return [self.filled(value, name) for value in template]
            case str():
                return self._text(template, name)
            case bool() | None:
                return template
            case _:
                return self._random.randint(1, 100_000)

    def _text(self, template: str, name: str) -> str:
        random = self._random
        if name == "id" or name.endswith("_id"):
            return str(UUID(int=random.getrandbits(128), version=4))
        if name == "time" or name.endswith("_at"):
            moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(milliseconds=random.randrange(150_000_000_000))
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if name == "formatted":
            return template.replace("0.00", f"{random.randint(1, 999)}.{random.randint(0, 99):02d}")
        if name in ("email", "sku", "slug", "postcode", "phone_number"):
            return f"{random.choice(self._words).lower()}{random.randint(10, 99_999)}{template}"
        return template or " ".join(random.choices(self._words, k=random.randint(1, 3)))


def trained() -> bytes:
    """Return the dictionary."""
    filler = Filler(1)
    templates: list[Any] = [msgspec.json.decode(line) for line in _TEMPLATES.read_bytes().splitlines()]
    samples: list[bytes | bytearray | memoryview] = [
        _stored(filler.filled(templates[n % len(templates)])) for n in range(_SAMPLES)
    ]
    return zstandard.train_dictionary(_BYTES, samples, k=_SEGMENT, d=8, dict_id=1, level=3).as_bytes()


def _stored(event: Any) -> bytes:
    """Return an event as it is compressed."""
    return marked(msgspec.json.encode(event), (event.get("id"), event.get("org_id"), event.get("store_id")))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(trained())
