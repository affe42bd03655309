"""Inputs by a seed: a good one changed a few times, or words in any order."""

from collections.abc import Iterator
from random import Random

from tests.fuzz.target import Target

#: Bytes of an input.
LONGEST = 2_048
_CHANGES = 6
_WORDS = 24


def inputs(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` inputs; equal for equal arguments, on every machine."""
    random = Random(f"{seed} {target.name}")
    for _ in range(count):
        if target.seeds and random.random() < 0.7:
            yield _changed(target, random)
        else:
            yield b"".join(random.choices(target.words, k=random.randrange(_WORDS)))


def _changed(target: Target, random: Random) -> bytes:
    raw = random.choice(target.seeds)
    for _ in range(random.randrange(1, _CHANGES)):
        start = random.randrange(len(raw) + 1)
        end = min(len(raw), start + random.randrange(9))
        match random.randrange(6):
            case 0:
                raw = raw[:start] + random.choice(target.words) + raw[start:]
            case 1:
                raw = raw[:start] + raw[end:]
            case 2:
                raw = raw[:start] + random.choice(target.words) + raw[end:]
            case 3:
                raw = raw[:start] + random.randbytes(end - start) + raw[end:]
            case 4:
                raw = raw[:end] + raw[start:end] * random.randrange(20) + raw[end:]
            case 5:
                other = random.choice(target.seeds)
                raw = raw[:start] + other[random.randrange(len(other) + 1) :]
    return raw[:LONGEST]
