"""Handler of test deliveries, which send a sample event to the receiver and return the log."""

from dataclasses import replace

import msgspec

from deliverers.contract import NotAttempted
from worker.api.api_errors import invalid, retry_later
from worker.api.request_context import DOCUMENT_BYTES, Reply, RequestContext
from worker.api.schemas import Single
from worker.delivery.sample_delivery import TooManySamples
from worker.domain.event import Refusal
from worker.domain.event_parser import parse_event
from worker.domain.resources import log_document
from worker.domain.sample_event import sample_resource

#: The fields of a sample event that its sender may give. Invalid ones are kept, and refused by the parser.
_CONTENT = ("data", "included", "payload")


async def deliver_test(call: RequestContext) -> Reply:
    """Send a sample event now; return the log, whether the attempt succeeded or failed."""
    integration = await call.integration()
    most = call.services.rules.max_bytes + DOCUMENT_BYTES
    given = await call.options("the type and the data of a sample event", most)
    key = integration.observes[0] if given.get("type") is None else given["type"]
    sample = {"type": key} | {name: given[name] for name in _CONTENT if given.get(name) is not None}
    if "payload" not in sample:
        sample.setdefault("data", sample_resource(str(key)))
    parsed = parse_event(msgspec.json.encode(sample), call.services.rules, scope=integration.scope)
    if isinstance(parsed, Refusal):
        raise invalid([parsed])
    event = replace(parsed, trace=call.trace)
    match await call.services.sample_delivery.run(integration, event):
        case TooManySamples(reason=reason):
            raise retry_later(429, reason)
        case NotAttempted():
            raise retry_later(503, "this process cannot open another connection now; nothing was sent")
        case log:
            return Reply(Single(log_document(log)))
