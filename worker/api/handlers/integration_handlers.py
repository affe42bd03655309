"""Handlers of integrations: register, read, change and delete."""

from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs

from worker.api import etags
from worker.api.api_errors import ApiError, api_error, invalid, not_found
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import Single
from worker.domain.event import Refusal
from worker.domain.integration import Integration
from worker.domain.integration_input import attributes_of
from worker.domain.resources import IntegrationDocument, integration_document
from worker.ledger.integration_repository import RevisionConflict

PATH = "/v2/integrations"


async def create(call: RequestContext) -> Reply:
    """Register an integration."""
    attributes = await _attributes(call)
    made = await call.services.integration_service.create(attributes, call.scope, call.actor)
    if isinstance(made, list):
        raise invalid(made)
    integration, warnings = made
    document = document_of(call, integration, warnings)
    return Reply(Single(document), 201, {**_tag(integration), "Location": f"{call.base}{PATH}/{integration.id}"})


async def read(call: RequestContext) -> Reply:
    """Return an integration; 304 if the caller has its present revision."""
    integration = await call.integration()
    if etags.names(call.request.headers.get(hdrs.IF_NONE_MATCH), integration.revision):
        return Reply(status=304, headers=_tag(integration))
    return Reply(Single(document_of(call, integration)), headers=_tag(integration))


async def update(call: RequestContext) -> Reply:
    """Change the attributes that the body names."""
    attributes = await _attributes(call)
    current = await call.integration()
    expect = _expected(call, current)
    try:
        changed = await call.services.integration_service.update(current, attributes, call.actor, expect)
    except RevisionConflict as error:
        raise _conflict(call, error) from None
    if isinstance(changed, list):
        raise invalid(changed)
    warnings = call.services.integration_service.ignored(attributes, changed)
    return Reply(Single(document_of(call, changed, warnings)), headers=_tag(changed))


async def delete(call: RequestContext) -> Reply:
    """Delete an integration and cancel its pending jobs."""
    current = await call.integration()
    try:
        deleted = await call.services.integration_service.delete(current, call.actor, _expected(call, current))
    except RevisionConflict as error:
        raise _conflict(call, error) from None
    if not deleted:
        raise not_found("integration with this id")
    return Reply(status=204)


async def _attributes(call: RequestContext) -> Mapping[str, Any]:
    body = await call.document()
    if not isinstance(body, Mapping) or "data" not in body:
        raise invalid([Refusal("data", 'is required: {"data": {…}}')], under="")
    attributes = attributes_of(body)
    if isinstance(attributes, Refusal):
        raise invalid([attributes], under="")
    return attributes


def document_of(
    call: RequestContext, integration: Integration, warnings: list[str] | None = None
) -> IntegrationDocument:
    """Return an integration as the caller may see it."""
    shown = call.services.integration_service.shown(integration, reveal=call.is_admin)
    warnings = [*(warnings or ()), *call.services.integration_service.expiring(integration)]
    return integration_document(shown, f"{call.base}{PATH}/{integration.id}", warnings)


def _tag(integration: Integration) -> dict[str, str]:
    return {hdrs.ETAG: etags.tag_of(integration.revision)}


def _expected(call: RequestContext, current: Integration) -> int | None:
    """Return the revision that If-Match demands; None for any. Raises ApiError (412) if it is not the present one."""
    header = call.request.headers.get(hdrs.IF_MATCH)
    if header is None or etags.is_any(header):
        return None
    if not etags.names(header, current.revision):
        raise _failed(current.revision)
    return current.revision


def _failed(revision: int | None = None) -> ApiError:
    now = f'; its ETag is "{revision}" now' if revision else ""
    return api_error(412, f"the integration has changed since it was read{now}: read it again")


def _conflict(call: RequestContext, error: RevisionConflict) -> ApiError:
    return _failed() if hdrs.IF_MATCH in call.request.headers else api_error(409, f"{error}; try again")
