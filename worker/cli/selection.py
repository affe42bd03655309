"""Finds the integration that the user named, by its id or the beginning of its id."""

from uuid import UUID

from worker.cli.cli_session import CliSession, CommandFailure, scope_words
from worker.domain.event import Scope
from worker.domain.integration import Integration

#: Integrations of a scope per read.
PAGE = 500
#: Fewest characters that may stand for an id.
SHORTEST_PREFIX = 4


async def find_integration(session: CliSession, named: str, scope: Scope) -> Integration:
    """Return the integration with that id, or the only one in the scope whose id begins so.

    A whole id is found in every scope, unless a scope is named. Raises CommandFailure if there is none, or more than
    one.
    """
    registry = session.ledger.integrations
    if _is_id(named):
        found = await registry.get([named])
        if found and (scope == Scope() or found[0].scope == scope):
            return found[0]
        raise CommandFailure(
            f"there is no integration {named}" + ("" if scope == Scope() else f" of {scope_words(scope)}")
        )
    matching = await _starting_with(session, named.lower(), scope) if len(named) >= SHORTEST_PREFIX else []
    match matching:
        case [only]:
            return only
        case []:
            raise CommandFailure(
                f'no integration\'s id begins with "{named}" ({scope_words(scope)}; see --store and --org)'
            )
    ids = "\n  ".join(each.id for each in matching)
    raise CommandFailure(f'several ids begin with "{named}":\n  {ids}')


async def all_integrations(session: CliSession, scope: Scope) -> list[Integration]:
    """Return a scope's integrations, newest first."""
    found: list[Integration] = []
    while page := (await session.ledger.integrations.page(scope, len(found), PAGE)).items:
        found += page
        if len(page) < PAGE:
            break
    return found


async def _starting_with(session: CliSession, beginning: str, scope: Scope) -> list[Integration]:
    return [each for each in await all_integrations(session, scope) if each.id.startswith(beginning)]


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
