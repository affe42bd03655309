"""The audit: which person changed what, when, and from which state to which."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.console.change_words import AttributeChange, attributes_of, words_of
from worker.console.visit import PAGE, Answer, Html, Visit
from worker.domain.change import Change
from worker.domain.event import Scope

#: The newest changes that a filter looks at.
LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change, what it did in words, and the attributes that it changed."""

    change: Change
    words: str
    attributes: Sequence[AttributeChange]
    #: The name of what was changed, if the change has it, or if it is an integration that still exists.
    name: str


async def show(visit: Visit) -> Answer:
    """Return a page of the changes of a store; for an operator who has not chosen one, of operators' and all tokens."""
    scope = visit.chosen or Scope()
    subject = visit.query.get("subject", "").strip()
    if subject:
        rows, cut = await changes_of(visit, scope, subject)
        return Html("audit.html", {"rows": rows, "total": len(rows), "subject": subject, "cut": cut, "shown_most": 0})
    page = await visit.services.ledger.changes.of_scope(scope, visit.offset, PAGE)
    values = {"rows": await _rows(visit, page.items), "total": page.total, "subject": "", "cut": False}
    return Html("audit.html", {**values, "shown_most": PAGE})


async def changes_of(visit: Visit, scope: Scope, subject: str) -> tuple[list[ChangeRow], bool]:
    """Return the changes of one subject among the newest of a scope, and whether there are older ones."""
    page = await visit.services.ledger.changes.of_scope(scope, 0, LOOKED_AT)
    found = [each for each in page.items if each.subject_id == subject]
    return await _rows(visit, found), page.total > LOOKED_AT


async def _rows(visit: Visit, changes: Sequence[Change]) -> list[ChangeRow]:
    ids = list(dict.fromkeys(each.subject_id for each in changes if each.subject_type == "integration"))
    known = await visit.services.ledger.integrations.get(ids) if ids else []
    names = {each.id: each.name for each in known}
    return [
        ChangeRow(each, words_of(each), attributes_of(each), names.get(each.subject_id) or _named(each))
        for each in changes
    ]


def _named(change: Change) -> str:
    name = change.after.get("name") or change.before.get("name")
    return name if isinstance(name, str) else ""
