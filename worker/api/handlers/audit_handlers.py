"""The handler of the audit: the changes that people made in the caller's scope."""

from worker.api.request_context import Reply, RequestContext
from worker.domain.resources import change_document

PATH = "/v2/audit"


async def listing(call: RequestContext) -> Reply:
    """Return a page of the changes in the caller's store or organisation, the newest first."""
    paging = call.paging
    page = await call.services.ledger.changes.of_scope(call.scope, paging.offset, paging.limit)
    return Reply(paging.collection([change_document(each) for each in page.items], page.total, PATH))
