"""Properties that are computed at their first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lazily(Generic[T]):
    """A property that is computed at its first use, and kept.

    Before Python 3.12, `functools.cached_property` takes a lock at that, for as long as it takes to find an event's
    reference. Two threads may compute a property of this kind at once; so it has the same value each time.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, instance: object, owner: type[Any] | None = None) -> T:
        # The next look-up finds the value in the instance, and does not come here.
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
