"""Pages of the ledger's lists, read in one round trip, and cursors into them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `total` is the length of the whole list."""

    items: Sequence[Item]
    total: int
    #: The scope (Scope.key) of the integration that the items belong to; empty if there is none.
    scope_key: str = ""
    #: The id of that integration, if the query did not name it.
    integration_id: str = ""
    #: Whether the list has more than `total`.
    at_least: bool = False
    #: Whether the history did not answer, so that only what the ledger has is here.
    history_away: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of the next page of a time-scored index: at a time (ms), after the member `after` of that time.

    It stays valid while the index changes.
    """

    since: int
    after: str = ""
