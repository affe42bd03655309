"""The handler of the audit: the changes that people made in the caller's scope."""

from collections.abc import Mapping
from functools import partial

from worker.api.filters import FILTER, Field, parse_filter, text, time
from worker.api.handlers.log_handlers import filtered_page, kept, latest
from worker.api.request_context import Reply, RequestContext
from worker.domain.change import Change
from worker.domain.resources import change_document

PATH = "/v2/audit"
FIELDS: Mapping[str, Field[Change]] = {
    "action": text(lambda change: change.action.value),
    "subject_type": text(lambda change: change.subject_type),
    "subject_id": text(lambda change: change.subject_id),
    "token_id": text(lambda change: change.actor.token_id),
    "created_at": time(lambda change: change.made_at),
}


async def listing(call: RequestContext) -> Reply:
    """Return a page of the changes in the caller's store or organisation, the newest first."""
    given = call.request.query.get(FILTER)
    conditions = parse_filter(given, FIELDS) if given else ()
    changes = call.services.ledger.changes.until(latest(conditions))
    page, filtered = await filtered_page(call, partial(changes.of_scope, call.scope), conditions)
    return Reply(
        call.paging.collection(
            *([change_document(each) for each in page.items], page.total, PATH, kept(call)),
            filtered=filtered,
            at_least=page.at_least,
            history_away=page.history_away,
        )
    )
