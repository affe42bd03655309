"""The conditions of a content filter: whether a value meets them, and which one it does not meet.

A condition is about one value of the event. Where that value is a list, one of its elements must meet the condition;
lists inside it count as part of it. `MISSING` stands for a value that the event does not have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

#: Characters of a value that is shown.
SHOWN_CHARS = 80
#: Characters of a text that count as one step.
STEP_CHARS = 256


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class TooCostlyError(Exception):
    """Checking the conditions took more steps than it may."""


@dataclass(slots=True)
class Budget:
    """The steps that are left: each condition that is checked for an element of a list costs one."""

    steps: int

    def spend(self, steps: int) -> None:
        """Use up steps. Raises TooCostlyError if there are not as many."""
        self.steps -= steps
        if self.steps < 0:
            raise TooCostlyError


@dataclass(frozen=True, slots=True)
class Unmet:
    """The condition that an event does not meet."""

    #: Its place in the filter, as a JSON pointer (RFC 6901).
    pointer: str
    expected: str
    #: What the event has there, as JSON of at most SHOWN_CHARS characters, or `nothing`.
    found: str

    def __str__(self) -> str:
        return f"{self.pointer} expects {self.expected}; the event has {self.found}"


class Condition(Protocol):
    """One condition, or several that belong together."""

    @property
    def weight(self) -> int:
        """The number of conditions in it."""
        ...

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether a value meets it. Raises TooCostlyError."""
        ...

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return what a value that does not meet it does not meet. Raises TooCostlyError."""
        ...


def shown(value: Any) -> str:
    """Return a value of an event as people see it."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, str | list):
        # A long value is not encoded as a whole.
        value = value[:SHOWN_CHARS]
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value)):
        return "an object" if isinstance(value, dict) else "a list"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _any_element(met: Callable[[Any, Budget], bool], elements: Sequence[Any], weight: int, budget: Budget) -> bool:
    budget.spend(weight * len(elements))
    for each in elements:
        if _any_element(met, each, weight, budget) if type(each) is list else met(each, budget):
            return True
    return False


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """A check of a value, such as `$gte`, that says in words what it expects."""

    pointer: str
    expected: str
    passes: Callable[[Any], bool]
    #: Whether the check takes longer for a longer text.
    reads_all: bool = False
    weight: int = 1

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value, or an element of it, passes the check."""
        if type(value) is list:
            return _any_element(self.met, value, 1, budget)
        return self.met(value, budget) if self.reads_all else self.passes(value)

    def met(self, value: Any, budget: Budget) -> bool:
        """Return whether a value that is no list passes the check."""
        if self.reads_all and type(value) is str:
            budget.spend(len(value) // STEP_CHARS)
        return self.passes(value)

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return this check."""
        return Unmet(self.pointer, self.expected, shown(value))


@dataclass(frozen=True, slots=True)
class ExistenceCheck:
    """`$exist`: whether the event has the value at all, null included."""

    pointer: str
    wanted: bool
    weight: int = 1

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value is there, or is not, as wanted."""
        return (value is not MISSING) is self.wanted

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return this condition."""
        return Unmet(self.pointer, "a value" if self.wanted else "no value", shown(value))


@dataclass(frozen=True, slots=True)
class Negation:
    """`$not`, `$neq` and `$nin`: neither the value nor an element of it meets the condition. A missing value does."""

    pointer: str
    expected: str
    condition: Condition
    weight: int

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value does not meet the condition."""
        return not self.condition.holds(value, budget)

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return this negation."""
        return Unmet(self.pointer, self.expected, shown(value))


@dataclass(frozen=True, slots=True)
class MemberConditions:
    """Conditions on the members of an object; in a list, one element must meet them all."""

    pointer: str
    conditions: tuple[tuple[str, Condition], ...]
    weight: int

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value, or an element of it, has such members."""
        if type(value) is list:
            return _any_element(self.met, value, self.weight, budget)
        return self.met(value, budget)

    def met(self, value: Any, budget: Budget) -> bool:
        """Return whether a value that is no list has such members; one that is no object has none."""
        has = value if type(value) is dict else {}
        for name, condition in self.conditions:  # noqa: SIM110  (a generator would take half as long again)
            if not condition.holds(has.get(name, MISSING), budget):
                return False
        return True

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return the first condition that a member does not meet."""
        if type(value) is list:
            if len(value) == 1:
                return self.unmet(value[0], budget)
            return Unmet(self.pointer, "an element that meets all these conditions", f"none in {len(value)} elements")
        has = value if type(value) is dict else {}
        for name, condition in self.conditions:
            member = has.get(name, MISSING)
            if not condition.holds(member, budget):
                return condition.unmet(member, budget)
        raise ValueError("the value meets every condition")


@dataclass(frozen=True, slots=True)
class JointConditions:
    """Conditions on one value; in a list, one element must meet them all."""

    pointer: str
    conditions: tuple[Condition, ...]
    weight: int

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value, or an element of it, meets them all."""
        if type(value) is list:
            return _any_element(self.met, value, self.weight, budget)
        return self.met(value, budget)

    def met(self, value: Any, budget: Budget) -> bool:
        """Return whether a value that is no list meets them all."""
        return all(each.holds(value, budget) for each in self.conditions)

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return the first condition that is not met."""
        if type(value) is list:
            if len(value) == 1:
                return self.unmet(value[0], budget)
            return Unmet(self.pointer, "an element that meets all these conditions", shown(value))
        return next(each for each in self.conditions if not each.holds(value, budget)).unmet(value, budget)


@dataclass(frozen=True, slots=True)
class AllConditions:
    """`$and`, and conditions of which each is about the value as a whole."""

    conditions: tuple[Condition, ...]
    weight: int

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value meets each of them."""
        return all(each.holds(value, budget) for each in self.conditions)

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return the first condition that is not met."""
        return next(each for each in self.conditions if not each.holds(value, budget)).unmet(value, budget)


@dataclass(frozen=True, slots=True)
class AnyCondition:
    """`$or`: the value meets at least one of the conditions."""

    pointer: str
    conditions: tuple[Condition, ...]
    weight: int

    def holds(self, value: Any, budget: Budget) -> bool:
        """Return whether the value meets one of them."""
        return any(each.holds(value, budget) for each in self.conditions)

    def unmet(self, value: Any, budget: Budget) -> Unmet:
        """Return the only alternative's condition, or that none of them is met."""
        if len(self.conditions) == 1:
            return self.conditions[0].unmet(value, budget)
        return Unmet(self.pointer, f"one of {len(self.conditions)} alternatives", shown(value))
