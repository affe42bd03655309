"""Validation of the integrations that people write.

It does no I/O, and serves the HTTP API and the command line. The caller opens the secrets of the current integration
first, and seals those of the result afterwards (see sealing.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Protocol
from uuid import uuid4

from deliverers.registry import (
    DelivererRegistry,
    UnknownIntegrationType,
    normalise_integration_type,
)
from worker.domain.configuration_replacement import configured
from worker.domain.content_filter import compile_filter
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.domain.patience import USUAL_LIMITS, PatienceLimits, patience_problems, schedule_of

#: Characters.
NAME_MAX_CHARS = 255
#: Characters.
DESCRIPTION_MAX_CHARS = 4096
#: Most observable keys of one integration; the catalogue has about a hundred.
OBSERVES_MAX = 1000
#: Unobservable keys that one answer names. The limit exists because finding the nearest known keys takes time.
OBSERVES_PROBLEMS_MAX = 50
#: Attributes of one body. Unknown ones count, because each of them is compared with the known ones.
ATTRIBUTES_MAX = 100

#: Smallest and largest rate limit, in deliveries per second.
RATE_LIMITS = (0.001, 100_000)

_WRITABLE = (
    "name",
    "description",
    "enabled",
    "paused",
    "rate_limit",
    "timeout",
    "retry_schedule",
    "filter",
    "integration_type",
    "observes",
    "configuration",
)
#: Attributes that our own answers add. They are accepted, so that a client can send back a body that it read.
_READ_ONLY = ("id", "type", "links", "meta", "relationships")
#: The specification requires `observers` on creation and calls the property `observes`.
_OBSERVERS = "observers"
#: Similarity (0 to 1) at which an unknown name counts as a misspelt attribute.
_NEAR = 0.8
#: Characters; a longer unknown name does not count as misspelt.
_COMPARED_CHARS = 80


class ObservableKeys(Protocol):
    """The part of the catalogue that validation uses."""

    def problem(self, key: str, level: str) -> str | None:
        """Return why the key cannot be observed at the level; None if it can."""
        ...


def attributes_of(body: object) -> Mapping[str, Any] | Refusal:
    """Return the attributes in a body: wrapped in `{"data": {…}}` as in the specification, or bare."""
    inner = body["data"] if isinstance(body, Mapping) and "data" in body else body
    if isinstance(inner, Mapping):
        return inner
    return Refusal("data" if inner is not body else "", "expected an object: the integration's attributes")


def register(
    document: Mapping[str, Any],
    scope: Scope,
    registry: DelivererRegistry,
    catalogue: ObservableKeys,
    *,
    current: Integration | None = None,
    new_id: str | None = None,
    limits: PatienceLimits = USUAL_LIMITS,
    now: datetime | None = None,
) -> Integration | list[Refusal]:
    """Return the integration that a create or update asks for, or everything that is wrong with the request.

    With `current`, only the given attributes change. A given `configuration` replaces the current one as a whole; see
    `worker.domain.configuration_replacement` for masks of secrets in it. Changing the `integration_type` starts with an
    empty configuration. Secrets are in the clear, in arguments and result. A new integration gets `new_id`, or a random
    UUID. With `now`, a certificate that has run out is refused.
    """
    if len(document) > ATTRIBUTES_MAX:
        return [Refusal("", f"must have at most {ATTRIBUTES_MAX} attributes, and has {len(document)}")]
    document = _without_alias(document)
    problems: list[Refusal] = [*_unknown_attributes(document), *_texts(document, current), *_flags(document)]
    problems += patience_problems(document, limits)
    problems += _filter_problems(document)
    problems += _observes_problems(document, scope, catalogue, current)
    kind = _kind(document, current)
    configuration = _configuration(document, kind, registry, current, now)
    if isinstance(configuration, list):
        problems += configuration
    if problems or isinstance(configuration, list):
        return problems
    base = current or Integration(new_id or str(uuid4()), scope, "", kind, ())
    enabled = document.get("enabled", base.enabled)
    return replace(
        base,
        name=document.get("name", base.name),
        description=document.get("description", base.description) or "",
        integration_type=kind,
        observes=tuple(dict.fromkeys(document.get("observes", base.observes))),
        configuration=configuration,
        enabled=enabled,
        paused=document.get("paused", base.paused),
        rate_limit=document.get("rate_limit", base.rate_limit),
        timeout=document.get("timeout", base.timeout),
        retry_schedule=schedule_of(document, base.retry_schedule),
        filter=document.get("filter", base.filter),
        # A caller that sets `enabled` has dealt with the worker's reason for disabling the integration.
        disabled_reason=base.disabled_reason if "enabled" not in document else "",
    )


def is_renewed(before: Integration, after: Integration, attributes: Mapping[str, Any]) -> bool:
    """Return whether the worker tries the receiver again at once.

    It does if the update may point to another receiver, or if a person enables the integration again.
    """
    return (
        "configuration" in attributes
        or after.integration_type != before.integration_type
        or (after.enabled and not before.enabled)
    )


def _without_alias(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if _OBSERVERS not in document:
        return document
    rest = {name: value for name, value in document.items() if name != _OBSERVERS}
    return {"observes": document[_OBSERVERS], **rest}


def _unknown_attributes(document: Mapping[str, Any]) -> Iterator[Refusal]:
    # Other unknown names are ignored: clients of the platform send all the attributes that they have.
    for name in document:
        if name not in _WRITABLE and name not in _READ_ONLY and len(name) <= _COMPARED_CHARS:
            near = get_close_matches(name, _WRITABLE, n=1, cutoff=_NEAR)
            if near:
                yield Refusal(name, f'is not an attribute; did you mean "{near[0]}"?', (name,))
    if document.get("type", "integration") != "integration":
        yield Refusal("type", 'must be "integration"')


def _texts(document: Mapping[str, Any], current: Integration | None) -> Iterator[Refusal]:
    name = document.get("name", "" if current is None else current.name)
    if not isinstance(name, str):
        yield Refusal("name", "must be a string")
    elif not name.strip():
        yield Refusal("name", "is required" if "name" not in document else "must not be empty")
    elif len(name) > NAME_MAX_CHARS:
        yield Refusal("name", f"must be at most {NAME_MAX_CHARS} characters long, and has {len(name)}")
    description = document.get("description")
    if description is not None and not isinstance(description, str):
        yield Refusal("description", "must be a string")
    elif description and len(description) > DESCRIPTION_MAX_CHARS:
        yield Refusal(
            "description", f"must be at most {DESCRIPTION_MAX_CHARS} characters long, and has {len(description)}"
        )


def _flags(document: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in ("enabled", "paused"):
        if not isinstance(document.get(name, True), bool):
            yield Refusal(name, "must be true or false")
    rate, (least, most) = document.get("rate_limit"), RATE_LIMITS
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (is_number and least <= rate <= most):
        yield Refusal("rate_limit", f"must be deliveries per second, from {least:g} to {most:,}, or null for no limit")


def _filter_problems(document: Mapping[str, Any]) -> list[Refusal]:
    given = document.get("filter")
    found = [] if given is None else compile_filter(given)
    return found if isinstance(found, list) else []


def _observes_problems(
    document: Mapping[str, Any], scope: Scope, catalogue: ObservableKeys, current: Integration | None
) -> Iterator[Refusal]:
    if "observes" not in document:
        if current is None:
            yield Refusal("observes", "is required: at least one observable key, such as order.paid")
        return
    observes = document["observes"]
    if not isinstance(observes, list | tuple):
        yield Refusal("observes", "must be a list of observable keys, such as order.paid")
        return
    if not observes:
        yield Refusal("observes", "must name at least one observable key, such as order.paid")
    if len(observes) > OBSERVES_MAX:
        yield Refusal("observes", f"must name at most {OBSERVES_MAX} observable keys, and names {len(observes)}")
        return
    named = 0
    for index, key in enumerate(observes):
        problem = catalogue.problem(key, scope.level) if isinstance(key, str) else "must be a string"
        if problem and named == OBSERVES_PROBLEMS_MAX:
            yield Refusal("observes", f"has more keys that cannot be observed; only the first {named} are named")
            return
        if problem:
            named += 1
            yield Refusal(f"observes.{index}", problem)


def _kind(document: Mapping[str, Any], current: Integration | None) -> Any:
    given = document.get("integration_type", current.integration_type if current else "webhook")
    return normalise_integration_type(given) if isinstance(given, str) else given


def _configuration(
    document: Mapping[str, Any],
    kind: Any,
    registry: DelivererRegistry,
    current: Integration | None,
    now: datetime | None,
) -> Mapping[str, Any] | list[Refusal]:
    if not isinstance(kind, str):
        return [Refusal("integration_type", "must be a string, such as webhook")]
    stored = current.configuration if current and current.integration_type == kind else {}
    if "configuration" not in document and stored:
        return stored
    given = document.get("configuration", {})
    if not isinstance(given, Mapping):
        return [Refusal("configuration", "must be an object")]
    try:
        return configured(given, kind, registry, None if current is None else stored, now)
    except UnknownIntegrationType as error:
        return [Refusal("integration_type", str(error))]
