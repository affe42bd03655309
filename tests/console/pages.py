"""The pages of the console as played, and a text of each one."""

from tests.console.play import EVENT_ID, PARTS
from tests.console.stage import STORE
from worker.domain.event import event_ref
from worker.domain.job import job_id

ERP = f"/integrations/{PARTS[0].id}"
JOB = job_id(event_ref(STORE, EVENT_ID), PARTS[0].id)
AT = "?org=acme&store=store-7"
#: Pages of everybody, and what each one shows.
PAGES = {
    "": "certificate expired",
    "/integrations": "Storefront cache",
    "/integrations?state=failing&sort=rate": "Loyalty",
    "/integrations?q=wms.acme": "Warehouse",
    ERP: "Next attempt in",
    f"{ERP}?tab=attempts": "certificate expired",
    f"{ERP}?tab=settings": "https://erp.acme.example/hooks/orders",
    f"{ERP}/jobs/{JOB}/attempts/3": "All attempts of this delivery",
    f"/integrations/{PARTS[5].id}": "The worker disabled it: answered 410 Gone.",
    f"{ERP}/jobs/{JOB}/attempts/3?tab=request": "curl -X POST",
    f"/events/{EVENT_ID}": "answered 500 Internal Server Error",
    "/events": "order-118-paid",
    "/events?type=order&id=123": "Not sent to 2 integrations",
    "/attempts": "Mailing list",
    "/attempts?show=failed": "no answer",
    "/failing": "Loyalty",
    "/failing?reason=certificate+expired": "ERP",
    "/search?q=no+such+thing": "Nothing has this id, name or address.",
}
#: Pages of admins.
ADMIN_PAGES = {
    "/integrations/new": "Events that it observes",
    "/integrations/new?type=aws_sqs": "aws_secret_access_key",
    "/integrations/new?type=stomp": "addresses",
    f"{ERP}/edit": "Rate limit",
    f"{ERP}/redeliver": "Count them",
    f"{ERP}/filter": "Nothing is delivered and nothing is saved.",
    f"/events/{EVENT_ID}/erase": "Erase for good",
    f"{ERP}?tab=changes": "Anna, back office",
    "/tokens": "Create token",
    "/audit": "disabled",
}
#: Pages of operators.
OPERATOR_PAGES = {
    "/now": "every event and delivery is accounted for",
    "/stores": "store-8 of acme",
    "/rejected": "unknown observable key",
    "/fleet": "Run the checks",
    "/tokens": "all stores, in the console",
    "/audit": "operators' and the platform's tokens",
}


def at_store(path: str) -> str:
    """The address of a page for an operator who looks at the store."""
    return path + (AT.replace("?", "&") if "?" in path else AT)
