"""Replacement of a stored `configuration` by a given one that may contain masks of secrets.

The given configuration replaces the stored one: a key that is left out or null is removed. A key that the type does not
have is ignored, because clients of the platform send such keys; `ignored_keys` warns about them. A mask stands for the
stored secret, but only while the destination stays the same (see `deliverers.contract.Destination`). Otherwise a
person who may change an integration, but never saw its secrets, could make the worker send them to a server of their
own.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deliverers.registry import MOST_KEYS, ConfigurationError, DelivererRegistry
from worker.domain.event import Refusal
from worker.domain.masking import mask, masks_in, unmasked

#: Ignored keys that the warnings of one answer name, and characters of each.
WARNINGS_MOST = 20
SHOWN_CHARS = 80
_FOREIGN = "is the mask of a secret, and not the secret: send the secret itself"
_AMBIGUOUS = "has a mask that several of its secrets share: send the secrets themselves"
_MOVED = "must be given again, because the destination changed ({}): a mask keeps a secret for its own destination only"


def configured(
    given: Mapping[str, Any],
    kind: str,
    registry: DelivererRegistry,
    stored: Mapping[str, Any] | None,
    now: datetime | None = None,
) -> Mapping[str, Any] | list[Refusal]:
    """Return the configuration to store, or everything that is wrong with the given one.

    With `now`, certificates and others that have run out are refused, unless they are stored already.

    `stored` is the current configuration of the same type, with its secrets in the clear. It is empty if the type
    changes, and None for a new integration. A mask in a new integration counts as the secret itself: it can stand for
    no other, and the specification's own examples are masks (see sealing.py). Raises UnknownIntegrationType.
    """
    given = {name: value for name, value in registry.normalised(kind, given).items() if value is not None}
    # With too many keys, parsing refuses them all, before each one is compared with the known ones.
    unknown = registry.unknown_keys(kind, given) if len(given) <= MOST_KEYS else {}
    given = {name: value for name, value in given.items() if name not in unknown}
    found = _configured(given, kind, registry, stored)
    if now is not None and not isinstance(found, list):
        found = _run_out(found, kind, registry, stored or {}, now) or found
    return [_hinted(each, unknown) for each in found] if isinstance(found, list) else found


def _run_out(
    meant: Mapping[str, Any], kind: str, registry: DelivererRegistry, stored: Mapping[str, Any], now: datetime
) -> list[Refusal]:
    return [
        _refused((name,), f"expired on {end:%Y-%m-%d}: give one that is valid")
        for name, end in registry.expirations(kind, meant).items()
        if end <= now and meant.get(name) != stored.get(name)
    ]


def ignored_keys(given: object, kind: str, registry: DelivererRegistry) -> list[str]:
    """Return warnings about the keys of an accepted configuration that were ignored. Their values are not repeated."""
    if not isinstance(given, Mapping):
        return []
    present = {name: value for name, value in registry.normalised(kind, given).items() if value is not None}
    unknown = registry.unknown_keys(kind, present)
    warnings = [
        f"configuration.{name[:SHOWN_CHARS]} is not a known key, and was ignored"
        + (f'; did you mean "{near}"?' if near else "")
        for name, near in list(unknown.items())[:WARNINGS_MOST]
    ]
    more = len(unknown) - len(warnings)
    return [*warnings, *([f"configuration: {more} more keys are not known, and were ignored"] if more else [])]


def _hinted(problem: Refusal, unknown: Mapping[str, str]) -> Refusal:
    """Name the unknown key that may stand for a required one that is missing."""
    meant = [name for name, near in unknown.items() if problem.path == ("configuration", near)]
    if not meant or problem.reason != "is required":
        return problem
    hint = f'{problem.reason}; "{meant[0][:SHOWN_CHARS]}" is not a known key'
    return Refusal(problem.field, hint, problem.path)


def _configured(
    given: dict[str, Any], kind: str, registry: DelivererRegistry, stored: Mapping[str, Any] | None
) -> Mapping[str, Any] | list[Refusal]:
    secrets = sorted(registry.secret_fields(kind))
    if stored is None:
        return _problems(given, kind, registry) or given
    meant = given | {name: unmasked(given[name], stored.get(name)) for name in secrets if name in given}
    problems = _foreign(meant, stored, secrets)
    spoken_for = {problem.path for problem in problems}
    problems += [each for each in _problems(meant, kind, registry) if each.path[:2] not in spoken_for]
    return problems or _moved(given, meant, kind, registry, stored) or meant


def _problems(configuration: Mapping[str, Any], kind: str, registry: DelivererRegistry) -> list[Refusal]:
    try:
        registry.parse_configuration(kind, configuration)
    except ConfigurationError as error:
        return [Refusal(problem.field, problem.message, problem.path) for problem in error.problems]
    return []


def _foreign(meant: Mapping[str, Any], stored: Mapping[str, Any], secrets: Iterable[str]) -> list[Refusal]:
    """Refuse masks that stand for no stored secret. A secret that was registered as a mask may stay."""
    found = [name for name in secrets if set(masks_in(meant.get(name))) - set(masks_in(stored.get(name)))]
    return [
        _refused(place, _AMBIGUOUS if _is_shared(meant[name], stored.get(name)) else _FOREIGN)
        for name in found
        for place in _places(name, meant[name], stored.get(name))
    ]


def _places(name: str, meant: Any, stored: Any) -> list[tuple[str, ...]]:
    """Return the places of masks in a secret field: the names in a mapping, else the field itself."""
    if not isinstance(meant, Mapping):
        return [(name,)]
    known = masks_in(stored)
    return [(name, key) for key, each in meant.items() if set(masks_in(each)) - set(known)]


def _is_shared(meant: Any, stored: Any) -> bool:
    """Return whether every remaining mask is that of a stored secret, and thus of several that share it."""
    left = set(masks_in(meant)) - set(masks_in(stored))
    return isinstance(stored, list) and left <= {mask(each) for each in stored if isinstance(each, str)}


def _moved(
    given: Mapping[str, Any],
    meant: Mapping[str, Any],
    kind: str,
    registry: DelivererRegistry,
    stored: Mapping[str, Any],
) -> list[Refusal]:
    """Refuse masks of stored secrets if the destination changed."""
    kept = [name for name in sorted(registry.secret_fields(kind)) if masks_in(given.get(name))]
    if not kept:
        return []
    changed = registry.changed_destination(kind, stored, meant)
    return [_refused((name,), _MOVED.format(", ".join(changed))) for name in kept] if changed else []


def _refused(place: tuple[str, ...], reason: str) -> Refusal:
    path = ("configuration", *place)
    return Refusal(".".join(path), reason, path)
