"""Changes of integrations: create, edit, switch on and off, delete, test."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any

import msgspec

from config.units import durations
from deliverers.contract import NotAttempted
from deliverers.registry import UnknownIntegrationType
from worker.console.configuration_form import configuration_of, fields_of
from worker.console.pages.filter_page import entered_json, filter_text
from worker.console.pages.integration_rows import rows_of
from worker.console.visit import Answer, Html, PageRefusal, SeeOther, Visit
from worker.delivery.sample_delivery import TooManySamples
from worker.domain.event import Refusal, Scope
from worker.domain.event_parser import parse_event
from worker.domain.integration import Integration
from worker.domain.sample_event import sample_resource
from worker.ledger.integration_repository import RevisionConflict

_CHANGED = "Somebody changed this integration after you opened it. Open it again, and repeat your change."

#: What each switch changes.
_SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "enable": {"enabled": True},
    "disable": {"enabled": False},
    "pause": {"paused": True},
    "resume": {"paused": False},
}


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Observable keys of one resource."""

    resource: str
    keys: tuple[str, ...]


async def new_form(visit: Visit) -> Answer:
    """Return the form of a new integration; the query names its type."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    kind = visit.query.get("type", "webhook")
    empty = Integration("", visit.scope, "", kind, ())
    return _form(visit, empty, ())


async def create(visit: Visit) -> Answer:
    """Create an integration."""
    kind = visit.form.get("integration_type", "")
    made = await visit.services.integration_service.create(_attributes(visit, kind), visit.scope, visit.actor)
    if isinstance(made, list):
        return _form(visit, _entered(visit, Integration("", visit.scope, "", kind, ())), made)
    return SeeOther(visit.link(f"/integrations/{made[0].id}"))


async def edit_form(visit: Visit) -> Answer:
    """Return the form of an integration."""
    integration = await visit.integration()
    return _form(visit, visit.services.integration_service.shown(integration), ())


async def update(visit: Visit) -> Answer:
    """Change an integration, unless somebody else has changed it since the form was made."""
    current = await visit.integration()
    try:
        made = await visit.services.integration_service.update(
            current, _attributes(visit, current.integration_type), visit.actor, _revision(visit)
        )
    except RevisionConflict:
        return _form(visit, _entered(visit, current), [Refusal("", _CHANGED)], 409)
    if isinstance(made, list):
        return _form(visit, _entered(visit, current), made)
    return SeeOther(visit.link(f"/integrations/{current.id}", current.scope, tab="settings"))


async def switch(visit: Visit) -> Answer:
    """Enable, disable, pause, resume or delete an integration."""
    current, what = await visit.integration(), visit.form.get("what", "")
    service = visit.services.integration_service
    try:
        if what == "delete":
            await service.delete(current, visit.actor, _revision(visit))
            return SeeOther(visit.link("/integrations", current.scope))
        if what not in _SWITCHES:
            raise PageRefusal(400, "Refused", "The form names no known change.")
        await service.update(current, _SWITCHES[what], visit.actor, _revision(visit))
    except RevisionConflict:
        raise PageRefusal(409, "Changed meanwhile", _CHANGED) from None
    return SeeOther(visit.link(f"/integrations/{current.id}", current.scope))


async def change_keys(visit: Visit) -> Answer:
    """Rotate or delete the key pairs that sign an integration's webhooks."""
    current, what = await visit.integration(), visit.form.get("what", "")
    service = visit.services.integration_service
    try:
        match what:
            case "rotate":
                made = await service.rotate_keys(current, visit.actor, round(time() * 1000))
            case "delete":
                made = await service.delete_keys(current, visit.actor)
            case _:
                raise PageRefusal(400, "Refused", "The form names no known change.")
    except RevisionConflict:
        raise PageRefusal(409, "Changed meanwhile", _CHANGED) from None
    if isinstance(made, Refusal):
        raise PageRefusal(422, "No new key", f"{str(made)[:1].upper()}{str(made)[1:]}.")
    return SeeOther(visit.link(f"/integrations/{current.id}", current.scope, tab="settings"))


async def test(visit: Visit) -> Answer:
    """Send a sample event now, and show what came of it."""
    integration = await visit.integration()
    key = visit.form.get("type") or integration.observes[0]
    raw = msgspec.json.encode({"type": key, "data": sample_resource(key)})
    event = parse_event(raw, visit.services.rules, scope=integration.scope)
    if isinstance(event, Refusal):
        raise PageRefusal(422, "No test", str(event))
    match await visit.services.sample_delivery.run(integration, event):
        case TooManySamples(reason=reason):
            raise PageRefusal(429, "Too many tests", f"{reason}: try again in a moment.")
        case NotAttempted():
            raise PageRefusal(503, "Nothing was sent", "This process cannot open another connection now.")
        case log:
            (row,) = await rows_of(visit, [integration])
            return Html("test.html", {"row": row, "each": integration, "log": log, "key": key})


def _form(visit: Visit, shown: Integration, problems: Iterable[Refusal], status: int = 0) -> Html:
    types, refusals = visit.services.types, list(problems)
    try:
        model = types.get(shown.integration_type).configuration_model
    except UnknownIntegrationType as error:
        raise PageRefusal(404, "Unknown type", f"{error}.") from None
    by_field: dict[str, str] = {}
    for each in refusals:
        name = (
            ".".join(each.field.split(".")[:2]) if each.field.startswith("configuration.") else each.field.split(".")[0]
        )
        by_field.setdefault(name, str(each) if "." in each.field else each.reason)
    values = {
        "each": shown,
        "fields": fields_of(model, shown.configuration),
        "types": types.types,
        "groups": _groups(visit, shown.scope, shown.observes),
        "problems": by_field,
        "filter_text": filter_text(visit, shown),
        "revision": visit.form.get("revision", str(shown.revision)),
        "scope": shown.scope,
        "schedule": "none"
        if shown.retry_schedule == ()
        else " ".join(f"{each:g}s" for each in shown.retry_schedule or ()),
    }
    return Html("integration_form.html", values, status or (422 if refusals else 200))


def _groups(visit: Visit, scope: Scope, observed: Sequence[str]) -> list[KeyGroup]:
    """Return the keys that may be observed; those of resources that are observed come first."""
    catalogue = visit.services.rules.catalogue
    found: dict[str, list[str]] = {}
    for key in catalogue.keys:
        if scope.level in catalogue.levels(key):
            found.setdefault(key.partition(".")[0], []).append(key)
    groups = [KeyGroup(resource, tuple(keys)) for resource, keys in found.items()]
    return sorted(groups, key=lambda group: not set(group.keys) & set(observed))


def _attributes(visit: Visit, kind: str) -> dict[str, Any]:
    """Return the attributes that a form has, as the API's clients send them."""
    form = visit.form
    attributes: dict[str, Any] = {
        "name": form.get("name", ""),
        "description": form.get("description", ""),
        "integration_type": kind,
        "observes": list(visit.lists.get("observes", ())),
        "rate_limit": _number(form.get("rate_limit", "")),
        "timeout": _number(form.get("timeout", "")),
        "retry_schedule": _schedule(form.get("retry_schedule", "")),
        # A page of an older version has no such field.
        **({"filter": entered_json(form["filter"])} if "filter" in form else {}),
    }
    try:
        model = visit.services.types.get(kind).configuration_model
    except UnknownIntegrationType:
        return attributes
    return attributes | {"configuration": configuration_of(model, form)}


def _entered(visit: Visit, current: Integration) -> Integration:
    """Return the integration with what a person entered, to be shown again. Secrets are not repeated."""
    attributes = _attributes(visit, current.integration_type)
    masked = visit.services.integration_service.shown(current).configuration
    try:
        secrets = visit.services.types.secret_fields(current.integration_type)
    except UnknownIntegrationType:
        secrets = frozenset(masked)
    given = {name: value for name, value in attributes.get("configuration", {}).items() if name not in secrets}
    kept = {name: value for name, value in masked.items() if name in secrets}
    rate, timeout, schedule = (attributes[name] for name in ("rate_limit", "timeout", "retry_schedule"))
    return replace(
        current,
        name=attributes["name"],
        description=attributes["description"],
        observes=tuple(attributes["observes"]),
        configuration=kept | given,
        rate_limit=rate if isinstance(rate, float) else current.rate_limit,
        timeout=timeout if isinstance(timeout, float) else current.timeout,
        retry_schedule=tuple(schedule) if isinstance(schedule, list) else current.retry_schedule,
    )


def _number(text: str) -> float | str | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _schedule(text: str) -> list[float] | str | None:
    """Return the pauses that a person entered, such as `5s 1m`; what cannot be read stays, to be refused."""
    if text.strip() in ("", "none"):
        return [] if text.strip() else None
    try:
        return list(durations(text))
    except ValueError:
        return text


def _written(schedule: Sequence[float] | None) -> str:
    """Return pauses as a person enters them."""
    return "" if schedule is None else " ".join(f"{each:g}s" for each in schedule) or "none"


def _revision(visit: Visit) -> int:
    """Return the revision that the form was made from. Raises PageRefusal (400)."""
    text = visit.form.get("revision", "")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise PageRefusal(400, "Refused", "The form has no revision. Open the page again.")
    return int(text)
