"""A page of what the ledger lists, read in one round trip."""

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
