"""Handlers of the key pairs that sign an integration's webhooks: list, rotate, delete."""

from time import time

from msgspec import UNSET

from worker.api.api_errors import api_error, invalid
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import SigningKeyDocument, SigningKeyList
from worker.domain.event import Refusal, rfc3339
from worker.domain.integration import Integration
from worker.domain.signing_keys import USUAL_OVERLAP, KeyPair, signing
from worker.ledger.integration_repository import RevisionConflict


async def listing(call: RequestContext) -> Reply:
    """Return the public keys that sign now, the newest first."""
    return Reply(key_list(await call.integration()))


async def rotate(call: RequestContext) -> Reply:
    """Make a key pair; the older ones go on signing for the overlap."""
    integration = await call.integration()
    given = await call.options("the overlap of the rotation")
    overlap = USUAL_OVERLAP if given.get("overlap") is None else given["overlap"]
    try:
        made = await call.services.integration_service.rotate_keys(integration, call.actor, _now(), overlap)
    except RevisionConflict as error:
        raise api_error(409, f"{error}; try again") from None
    if isinstance(made, Refusal):
        raise invalid([made])
    return Reply(key_list(made), 201)


async def delete(call: RequestContext) -> Reply:
    """Delete all key pairs."""
    try:
        made = await call.services.integration_service.delete_keys(await call.integration(), call.actor)
    except RevisionConflict as error:
        raise api_error(409, f"{error}; try again") from None
    if isinstance(made, Refusal):
        raise invalid([made])
    return Reply(status=204)


def key_list(integration: Integration) -> SigningKeyList:
    """Return the public keys of an integration that sign now."""
    return SigningKeyList([_document(pair) for pair in signing(integration.keys, _now())])


def _document(pair: KeyPair) -> SigningKeyDocument:
    retires_at = rfc3339(pair.retires_at) if pair.retires_at else UNSET
    return SigningKeyDocument(pair.id, pair.public_key, rfc3339(pair.created_at), retires_at)


def _now() -> int:
    return round(time() * 1000)
