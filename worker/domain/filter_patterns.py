"""The reader of a filter's patterns: it validates them, and makes conditions of them."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from worker.domain.event import Refusal
from worker.domain.filter_conditions import (
    AllConditions,
    AnyCondition,
    Condition,
    JointConditions,
    MemberConditions,
    Negation,
)
from worker.domain.filter_operators import COMPARISONS, comparison

#: Levels of objects and lists in a filter.
DEPTH_MAX = 8
#: Conditions of a filter: values and operators.
CONDITIONS_MAX = 100
#: Problems that one answer names.
PROBLEMS_MAX = 20
#: Characters of a name that an error repeats.
_NAME_CHARS = 80

#: The attributes of an event that a filter can name.
EVENT_NAMES = ("data", "included", "payload", "id", "type", "time", "source", "store_id", "org_id")
OPERATORS = (*COMPARISONS, "$not", "$and", "$or")
#: Operators that ask about the value as a whole. Those of an object that do not must all hold for the same element.
_WHOLE = frozenset({"$neq", "$nin", "$exist", "$not", "$and", "$or"})

Path = tuple[str, ...]


class PatternReader:
    """Reads the patterns of one filter; `problems` has what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Refusal] = []
        self._conditions = 0

    def pattern(self, given: Any, at: Path, names: Collection[str] = (), depth: int = 1) -> Condition | None:
        """Return the condition that a pattern means, or None if it is invalid.

        Args:
            given: The pattern: an object, a list, or a value that stands for itself.
            at: Its place.
            names: The names that it may have, beside operators; empty for any.
            depth: Its level.
        """
        if len(self.problems) >= PROBLEMS_MAX:
            return None
        if not isinstance(given, Mapping | list | tuple):
            return self._compared("$eq", given, at)
        if depth > DEPTH_MAX:
            return self._refuse(at, f"is nested too deeply: at most {DEPTH_MAX} levels are accepted")
        if not given:
            return self._refuse(at, "must have at least one condition")
        if isinstance(given, Mapping):
            return self._object(given, at, names, depth)
        found = self._patterns(given, at, names, depth)
        return _all(found) if found else None

    def _patterns(self, given: Sequence[Any], at: Path, names: Collection[str], depth: int) -> list[Condition] | None:
        found = [self.pattern(each, (*at, str(index)), names, depth + 1) for index, each in enumerate(given)]
        conditions = [each for each in found if each is not None]
        return conditions if len(conditions) == len(found) else None

    def _object(self, given: Mapping[str, Any], at: Path, names: Collection[str], depth: int) -> Condition | None:
        members: list[tuple[str, Condition]] = []
        joint: list[Condition] = []
        whole: list[Condition] = []
        for name, value in given.items():
            place = (*at, name[:_NAME_CHARS])
            if name.startswith("$"):
                condition = self._operator(name, value, place, names, depth)
                (whole if name in _WHOLE else joint).extend([condition] if condition else [])
            elif names and name not in names:
                self._refuse(place, f"is not an attribute of an event; expected one of {', '.join(names)}")
            elif condition := self.pattern(value, place, depth=depth + 1):
                members.append((name, condition))
        if len(members) + len(joint) + len(whole) < len(given):
            return None
        if members:
            joint.append(MemberConditions(_pointer(at), tuple(members), sum(each.weight for _, each in members)))
        if joint:
            both = JointConditions(_pointer(at), tuple(joint), _weight(joint))
            whole.insert(0, both if len(joint) > 1 else joint[0])
        return _all(whole)

    def _operator(self, name: str, operand: Any, at: Path, names: Collection[str], depth: int) -> Condition | None:
        if name in ("$and", "$or"):
            if not isinstance(operand, list | tuple) or not operand:
                return self._refuse(at, "must be a list of at least one pattern")
            found = self._patterns(operand, at, names, depth + 1)
            if not found:
                return None
            return _all(found) if name == "$and" else AnyCondition(_pointer(at), tuple(found), _weight(found))
        if name == "$not":
            inner = self.pattern(operand, at, names, depth + 1)
            return inner and Negation(_pointer(at), "what does not match this", inner, inner.weight)
        if name in COMPARISONS:
            return self._compared(name, operand, at)
        near = get_close_matches(name[:_NAME_CHARS], OPERATORS, n=1, cutoff=0.7)
        hint = f'did you mean "{near[0]}"?' if near else f"expected one of {', '.join(OPERATORS)}"
        return self._refuse(at, f"is not an operator; {hint}")

    def _compared(self, name: str, operand: Any, at: Path) -> Condition | None:
        self._conditions += 1
        if self._conditions == CONDITIONS_MAX + 1:
            self._refuse(at, f"is one condition too many: a filter has at most {CONDITIONS_MAX}")
        if self._conditions > CONDITIONS_MAX:
            return None
        found = comparison(name, operand, _pointer(at))
        return self._refuse(at, found) if isinstance(found, str) else found

    def _refuse(self, at: Path, reason: str) -> Condition | None:
        """Note a problem; return None, which stands for an invalid pattern."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Refusal(".".join(at), reason, at))
        return None


def _pointer(at: Path) -> str:
    """Return a place in the filter as a JSON pointer, without the name `filter`."""
    return Refusal("", "", at[1:]).pointer


def _weight(conditions: Collection[Condition]) -> int:
    return sum(each.weight for each in conditions)


def _all(conditions: Sequence[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else AllConditions(tuple(conditions), _weight(conditions))
