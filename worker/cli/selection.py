"""Finding what the user named: by its id, or by the beginning of one."""

from uuid import UUID

from worker.cli.cli_session import CliSession, CommandFailure, scope_words
from worker.domain.event import Scope
from worker.domain.integration import Integration

#: Integrations of a scope that are read at a time.
PAGE = 500
#: Characters of an id that may stand for it.
SHORTEST_PREFIX = 4


async def find_integration(session: CliSession, named: str, scope: Scope) -> Integration:
    """The integration of that id; of a scope's integrations, a beginning of it is enough where only one has it.

    Raises Failure where there is none, or more than one. A whole id finds it in every scope, unless one is named.
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
    """A scope's integrations, the newest first."""
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
