"""A page of what the ledger lists, read in one round trip; and the place where a portion of it begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of many, and how many there are in all."""

    items: Sequence[Item]
    total: int
    #: Whose the integration is that the items belong to (Scope.key); empty where there is none.
    scope_key: str = ""
    #: That integration, where the ledger was not asked by it.
    integration_id: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a portion of a time-scored index begins, however that changes: at a time (ms), behind a member of it."""

    since: int
    after: str = ""
