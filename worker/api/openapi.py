"""`/openapi.json`, built from the operations, their message types and the deliverers' configuration models."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from config.observable_events import CUSTOM_KEY_PATTERN, Catalogue
from deliverers.registry import DelivererRegistry
from worker.api.api_errors import ErrorDocument
from worker.api.operations import Operation
from worker.api.received import DeliveredCloudEvent, WebhookBody, received_webhooks
from worker.api.schemas import (
    CloudEvent,
    EventAttributes,
    IntegrationAttributes,
    NewIntegration,
    OAuthErrorDocument,
    TrialAttributes,
)
from worker.domain.api_token import TOKEN_PATTERN
from worker.domain.lifecycle import WARNINGS

#: The component of observable keys.
_KEY = "ObservableKey"
_REF = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"{(\w+)}")
#: Errors of every operation that needs a token, and of every operation at all (a bad Host, a bug, no ledger).
_WITH_TOKEN = (401, 403, 429)
_ALWAYS = (400, 500, 503)
#: Headers of an error.
_HEADERS = {
    401: {"WWW-Authenticate": "The accepted authentication schemes."},
    429: {"Retry-After": "Seconds."},
    503: {"Retry-After": "Seconds."},
}
#: The security scheme beside the bearer token.
_BASIC = "password"
_REFUSED = {
    400: "Malformed request.",
    401: "The token is missing or invalid.",
    403: "Insufficient permissions.",
    404: "Not found in the token's store or organisation.",
    408: "The body did not arrive in time.",
    409: "The present state of the resource does not allow this.",
    412: "The resource has changed since it was read.",
    413: "The body is too large.",
    415: "Unsupported Content-Type or Content-Encoding.",
    422: "Invalid body; one error for each problem, with its JSON pointer.",
    429: "Too many requests or failed logins; retry after Retry-After.",
    500: "Internal error.",
    503: "Temporarily unavailable; retry after Retry-After.",
}

Document = dict[str, Any]
SchemaOf = Callable[[Any], Document]


def openapi_document(
    operations: Sequence[Operation], types: DelivererRegistry, catalogue: Catalogue, version: str, server: str
) -> Document:
    """Return the description of the API in OpenAPI 3.1."""
    beside = (ErrorDocument, OAuthErrorDocument, WebhookBody, DeliveredCloudEvent, *WARNINGS.values())
    kinds = list(dict.fromkeys([*_kinds(operations), *beside]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    known = dict(zip(kinds, schemas, strict=True))

    def schema_of(kind: Any) -> Document:
        return {"anyOf": [known[each] for each in kind]} if isinstance(kind, tuple) else known[kind]

    paths: dict[str, Document] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schema_of)
    components.update(_configurations(types))
    for kind in (IntegrationAttributes, NewIntegration):
        _describe_attributes(components[kind.__name__], types)
    components[_KEY] = _key_schema(catalogue)
    for event in (EventAttributes, CloudEvent, TrialAttributes):
        components[event.__name__]["properties"]["type"] = {"$ref": _REF.format(name=_KEY)}
    # An event with neither or both is refused (422).
    components[EventAttributes.__name__]["oneOf"] = [{"required": ["data"]}, {"required": ["payload"]}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Integrations",
            "version": version,
            "description": "Integrations that receive events of a store or organisation, and the log of each delivery.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": received_webhooks(known),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": TOKEN_PATTERN},
                _BASIC: {"type": "http", "scheme": "basic", "description": "Any user name; the password is the token."},
            },
        },
    }


def _kinds(operations: Sequence[Operation]) -> Iterator[Any]:
    for operation in operations:
        answered = (answer.kind for answer in operation.answers.values())
        sent = operation.body.content.values() if operation.body else ()
        for kind in (*answered, *sent):
            yield from kind if isinstance(kind, tuple) else [] if kind is None else [kind]


def _operation(operation: Operation, schema_of: SchemaOf) -> Document:
    described: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": _who_may(operation),
        "parameters": [*_path_parameters(operation), *map(_parameter, operation.parameters)],
        "responses": {
            **{str(status): _answer(answer, schema_of) for status, answer in operation.answers.items()},
            **{str(status): _refusal(operation, status) for status in _refusals(operation)},
        },
    }
    if operation.body is not None:
        content = {kind: {"schema": schema_of(type_)} for kind, type_ in operation.body.content.items()}
        described["requestBody"] = {"required": operation.body.required, "content": content}
    if operation.roles is None:
        described["security"] = []
    elif operation.basic:
        described["security"] = [{"token": []}, {_BASIC: []}]
    return described


def _who_may(operation: Operation) -> str:
    if operation.roles is None:
        return "Needs no token."
    roles = ", ".join(sorted(operation.roles))
    return f"For tokens with the role {roles}" + ("; tokens of the platform too." if operation.platform else ".")


def _path_parameters(operation: Operation) -> Iterator[Document]:
    for name in _IN_PATH.findall(operation.path):
        schema: Document = {"type": "string", "minLength": 1}
        if name != "event_id":
            schema["format"] = "uuid"
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(parameter: Any) -> Document:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.summary,
        "schema": dict(parameter.schema),
    }


def _answer(answer: Any, schema_of: SchemaOf) -> Document:
    described: Document = {"description": answer.summary}
    if answer.kind is not None:
        described["content"] = {answer.content_type: {"schema": schema_of(answer.kind)}}
    elif answer.content_type != "application/json":
        described["content"] = {answer.content_type: {"schema": {"type": "string"}}}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    return described


def _headers(headers: Mapping[str, str]) -> Document:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}


def _refusals(operation: Operation) -> Sequence[int]:
    with_token = _WITH_TOKEN if operation.roles is not None else ()
    common = {*operation.refusals, *_ALWAYS, *with_token, *((408,) if operation.body else ())}
    return sorted(common - set(operation.answers))


def _refusal(operation: Operation, status: int) -> Document:
    kind = OAuthErrorDocument if operation.path.startswith("/oauth") and status in (400, 401, 429) else ErrorDocument
    reference = {"$ref": _REF.format(name=kind.__name__)}
    if kind is OAuthErrorDocument:
        reference = {"anyOf": [reference, {"$ref": _REF.format(name=ErrorDocument.__name__)}]}  # type: ignore[dict-item]
    described: Document = {
        "description": _REFUSED[status],
        "content": {"application/json": {"schema": reference}},
    }
    if status in _HEADERS:
        described["headers"] = _headers(_HEADERS[status])
    return described


def _configurations(types: DelivererRegistry) -> Document:
    """Return the schema of each integration_type's configuration, from the model that validates it."""
    components: Document = {}
    for kind in types.types:
        schema = types.configuration_model(kind).model_json_schema(ref_template=_REF.replace("{name}", "{model}"))
        components.update(schema.pop("$defs", {}))
        components[_configuration_name(kind)] = schema
    return components


def _configuration_name(kind: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[^a-z0-9]+", kind.lower())) + "Configuration"


def _describe_attributes(schema: Document, types: DelivererRegistry) -> None:
    """Add what depends on this installation: integration types, their configurations, and observable keys."""
    properties = schema["properties"]
    known = types.types
    properties["integration_type"] = {"type": "string", "enum": list(known), "default": "webhook"}
    properties["configuration"] = {"anyOf": [{"$ref": _REF.format(name=_configuration_name(kind))} for kind in known]}
    properties["observes"]["items"] = {"$ref": _REF.format(name=_KEY)}


def _key_schema(catalogue: Catalogue) -> Document:
    """Return the schema of an observable key."""
    custom = {"type": "string", "pattern": f"^{CUSTOM_KEY_PATTERN}$", "description": "A key of a custom API."}
    return {"anyOf": [{"type": "string", "enum": list(catalogue.keys)}, custom]}
