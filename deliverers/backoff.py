"""Pauses between tries to reach something that is away, such as a broker or Redis."""

from dataclasses import dataclass

#: Doublings after which pauses stop growing; this keeps the power small.
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first` up to `longest`, both in seconds."""

    first: float
    longest: float

    def pause(self, failures: int) -> float:
        """Return the pause in seconds after so many consecutive failures; 0 after none."""
        if failures <= 0:
            return 0.0
        return float(min(self.first * 2 ** min(failures - 1, _MOST_DOUBLINGS), self.longest))
