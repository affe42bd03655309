"""Names of integrations, which commands show beside or instead of ids."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from worker.cli.cli_session import CliSession


class OfIntegration(Protocol):
    """A record that belongs to an integration."""

    @property
    def integration_id(self) -> str: ...


async def names_of(at: CliSession, records: Iterable[OfIntegration]) -> Mapping[str, str]:
    """Return the name of each integration that the records belong to, by id; without those that were deleted."""
    ids = list(dict.fromkeys(each.integration_id for each in records))
    return {each.id: each.name for each in await at.ledger.integrations.get(ids)} if ids else {}


def name_in(names: Mapping[str, str], integration_id: str) -> str:
    """Return an integration's name. A deleted one is shown by the beginning of its id."""
    return names.get(integration_id) or f"{integration_id[:8]} (deleted)"
