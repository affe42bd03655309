"""What receivers get, for the API's description. `deliverers.envelopes` writes these documents."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from deliverers.envelopes import CLOUDEVENT_TYPE
from worker.api.request_context import JSON
from worker.domain.lifecycle import WARNINGS
from worker.domain.resources import Id, Time

Attempt = Annotated[int, Meta(ge=1)]


class DeliveredIntegration(Struct, frozen=True):
    """The integration to which an event is delivered."""

    id: Id
    integration_type: str
    name: str
    description: str


class DeliveredConfiguration(Struct, frozen=True):
    """The webhook's URL. With EDW_WEBHOOK_SECRET_IN_BODY, also its `secret_key`; empty if it has none."""

    url: str
    secret_key: str | UnsetType = UNSET


class WebhookBody(Struct, frozen=True):
    """The body that a webhook receives. Deduplicate on `id`, which is equal on every attempt."""

    id: Annotated[str, Meta(min_length=1)]
    triggered_by: str
    attempt: Attempt
    integration: DeliveredIntegration
    #: `data`, and `included` if the event has it; a flat payload as its producer sent it; or the `type` and `id` of a
    #: deleted resource.
    payload: dict[str, Any]
    #: The same as `payload`: as a string of JSON, or, if a resource was deleted, as an object.
    resources: str | dict[str, Any]
    configuration: DeliveredConfiguration
    store_id: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET


class DeliveredCloudEvent(Struct, frozen=True):
    """The CloudEvent 1.0 that an SQS queue or a STOMP destination receives."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    type: str
    time: Time
    datacontenttype: Literal["application/json"]
    integrationid: Id
    attempt: Attempt
    #: The resource, with `included` as a member if the event has it; or a flat payload as its producer sent it.
    data: dict[str, Any]
    storeid: str | UnsetType = UNSET
    orgid: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET


#: Headers of a webhook.
_WEBHOOK_HEADERS: Mapping[str, tuple[str, bool]] = {
    "webhook-id": ("The job's id, equal on every attempt.", True),
    "webhook-timestamp": ("The time of the attempt, in seconds since 1970.", True),
    "webhook-signature": ("The signatures (Standard Webhooks), if the integration has `signing_keys`.", False),
    "X-MOLTIN-INTEGRATION-TRIGGER": ("The observable key.", True),
    "X-MOLTIN-SECRET-KEY": ("The integration's `secret_key`, if it has one.", False),
    "traceparent": ("The trace of the attempt (W3C Trace Context).", False),
}


def received_webhooks(known: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """Return what receivers get. A message of a queue has no HTTP; its content is described in the same form."""
    headers = [
        {"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}}
        for name, (text, required) in _WEBHOOK_HEADERS.items()
    ]
    taken = {
        "2XX": {"description": "The event is delivered."},
        "410": {"description": "The integration is disabled."},
        "default": {"description": "The attempt failed. It is made again later, not before Retry-After."},
    }
    webhook = _received("receiveWebhook", "An event at a receiver of type webhook", known[WebhookBody], JSON)
    message = _received(
        "receiveMessage",
        "An event in an SQS queue or at a STOMP destination",
        known[DeliveredCloudEvent],
        CLOUDEVENT_TYPE,
    )
    return {
        "webhook": {"post": {**webhook, "parameters": headers, "responses": taken}},
        **{
            key: {"post": {**_warning(key, known[WebhookBody], known[kind]), "parameters": headers, "responses": taken}}
            for key, kind in WARNINGS.items()
        },
        "message": {"post": {**message, "responses": {"default": {"description": "A queue has no answer."}}}},
    }


def _warning(key: str, body: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return a lifecycle event at a webhook; in a queue, the same `data` is that of the CloudEvent."""
    payload = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    own = {"type": "object", "properties": {"triggered_by": {"const": key}, "payload": payload}}
    name = "receive" + "".join(part.capitalize() for part in key.split("."))
    return _received(name, f"The lifecycle event {key}", {"allOf": [body, own]}, JSON)


def _received(name: str, summary: str, schema: dict[str, Any], content_type: str) -> dict[str, Any]:
    body = {"required": True, "content": {content_type: {"schema": schema}}}
    return {"operationId": name, "summary": summary, "security": [], "requestBody": body}
