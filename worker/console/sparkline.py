"""Small charts, as shapes of SVG. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Units of the view box; a page scales it.
WIDTH, HEIGHT = 120, 28


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart; `failed_height` of its `height` stands for failures, at its lower end."""

    x: float
    y: float
    width: float
    height: float
    failed_height: float


def bars(attempts: Sequence[int], failed: Sequence[int], width: int = WIDTH, height: int = HEIGHT) -> list[Bar]:
    """Return a bar for each pair of counts that is not 0. Its height grows with the root, so that small ones show."""
    most, step = max(attempts, default=0) ** 0.5, width / max(1, len(attempts))
    found = []
    for index, (count, bad) in enumerate(zip(attempts, failed, strict=True)):
        if count:
            tall = max(2.0, height * count**0.5 / most)
            share = max(1.0, tall * bad / count) if bad else 0.0
            found.append(
                Bar(
                    round(index * step, 2),
                    round(height - tall, 2),
                    round(step * 0.78, 2),
                    round(tall, 2),
                    round(share, 2),
                )
            )
    return found


def line(values: Sequence[float], width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return the points of a line through the values; empty for fewer than two."""
    if len(values) < 2:
        return ""
    most, step = max(values) or 1.0, width / (len(values) - 1)
    inner = height - 3
    return " ".join(f"{index * step:.1f},{1.5 + inner * (1 - value / most):.1f}" for index, value in enumerate(values))
