"""Failing receivers, grouped by the reason of their last failure. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.ledger.inspection.failing_lanes import FailingLane

#: Stands for a name or a date in a group's reason.
NAME = "…"
_ISO_DATE_CHARS = 10


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Receivers that fail for the same reason, those that began to fail last first."""

    reason: str
    lanes: Sequence[FailingLane]

    @property
    def since(self) -> int:
        """When the first of them began to fail (ms since 1970)."""
        return min(each.since for each in self.lanes)

    @property
    def stores(self) -> int:
        """The number of stores that they belong to."""
        return len({each.scope for each in self.lanes})


def groups_of(lanes: Iterable[FailingLane]) -> list[FailureGroup]:
    """Return the groups, the largest first."""
    found: dict[str, list[FailingLane]] = {}
    for each in lanes:
        found.setdefault(common_reason(each.why), []).append(each)
    groups = [FailureGroup(reason, members) for reason, members in found.items()]
    return sorted(groups, key=lambda group: (-len(group.lanes), group.reason))


def common_reason(why: str) -> str:
    """Return a reason without what differs from receiver to receiver: names of hosts, addresses and dates."""
    common = " ".join(_common(word) for word in why.split())
    return common.removesuffix(f" on {NAME}") or "no reason is known"


def _common(word: str) -> str:
    core = word.strip("(),;:.!?\"'")
    return word.replace(core, NAME) if core and _differs(core) else word


def _differs(word: str) -> bool:
    if "://" in word or "@" in word:
        return True
    # shop.example, 192.0.2.1, localhost:8000, [2001:db8::1]:443; not 1.5 or HTTP/1.1.
    host, _, port = word.rpartition(":")
    if host and port.isdecimal():
        return True
    is_number = word.replace(".", "", 1).isdecimal()
    has_labels = "." in word.strip(".") and "/" not in word and not is_number
    is_date = len(word) >= _ISO_DATE_CHARS and word[4:5] == "-" and word[:4].isdecimal()
    return has_labels or is_date or word.count(":") > 1
