"""Whether a process can do its work now, and what is wrong where it cannot: the words of `/readyz`, everywhere."""

from collections.abc import Mapping
from enum import StrEnum
from time import time

from msgspec import UNSET, Struct, UnsetType

from worker.domain.event import rfc3339


class State(StrEnum):
    """`degraded` works, only slower or with less; `red` does not."""

    OK = "ok"
    DEGRADED = "degraded"
    RED = "red"


class Check(Struct, frozen=True):
    """One thing that was looked at; what is wrong with it, and since when (RFC 3339)."""

    status: State
    why: str | UnsetType = UNSET
    since: str | UnsetType = UNSET


class Readiness(Struct, frozen=True):
    """The worst of the checks, and each of them."""

    status: State
    checks: dict[str, Check]


def readiness(checks: Mapping[str, Check]) -> Readiness:
    """What follows from the checks."""
    return Readiness(worst(*checks.values()).status, dict(checks))


def worst(*checks: Check) -> Check:
    """The one that says most of what is wrong; the first of equals."""
    return max(checks, key=lambda check: list(State).index(check.status))


class Presence:
    """Whether a server that the process depends on answers, as its clients report; safe in any thread."""

    def __init__(self, check: Check | None = None) -> None:
        self.check = check or Check(State.OK)

    def there(self) -> bool:
        """It answered. True where it had been away."""
        changed = self.check.status is not State.OK
        if changed:
            self.check = Check(State.OK)
        return changed

    def away(self, why: str, status: State) -> bool:
        """It did not answer, or will not do its work. True where it had been there."""
        changed = self.check.status is State.OK
        since = UNSET if changed else self.check.since
        self.check = Check(status, why, rfc3339(round(time() * 1000)) if since is UNSET else since)
        return changed
