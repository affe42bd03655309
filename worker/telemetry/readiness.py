"""The readiness of a process, and the reasons why it is not ready: the document of `/readyz` in all processes."""

from collections.abc import Mapping
from enum import StrEnum
from time import time

from msgspec import UNSET, Struct, UnsetType

from worker.domain.event import rfc3339


class State(StrEnum):
    """The state of a part: `degraded` works, but more slowly or with less; `red` does not work."""

    OK = "ok"
    DEGRADED = "degraded"
    RED = "red"


class Check(Struct, frozen=True):
    """The state of one part: `why` is the problem, `since` its beginning (RFC 3339)."""

    status: State
    why: str | UnsetType = UNSET
    since: str | UnsetType = UNSET


class Readiness(Struct, frozen=True):
    """The checks of a process; the status is the worst of theirs."""

    status: State
    checks: dict[str, Check]


def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Return the readiness that follows from the checks."""
    return Readiness(worst(*checks.values()).status, dict(checks))


def worst(*checks: Check) -> Check:
    """Return the check with the worst status; the first of equals."""
    return max(checks, key=lambda check: list(State).index(check.status))


class Presence:
    """The availability of a server that the process depends on, as its clients report it; safe in any thread."""

    def __init__(self, check: Check | None = None) -> None:
        self.check = check or Check(State.OK)

    def there(self) -> bool:
        """Note that it answered; return whether it was away before."""
        changed = self.check.status is not State.OK
        if changed:
            self.check = Check(State.OK)
        return changed

    def away(self, why: str, status: State) -> bool:
        """Note that it did not answer or refused to work; return whether it was available before."""
        changed = self.check.status is State.OK
        since = UNSET if changed else self.check.since
        self.check = Check(status, why, rfc3339(round(time() * 1000)) if since is UNSET else since)
        return changed
