"""A given `configuration` in place of the stored one, and what the masks of secrets in it stand for.

What is given replaces what is stored: a key that is left out, or null, is gone. A mask stands for the stored secret,
and only while the destination stays the same (see `deliverers.contract.Destination`). Otherwise somebody who may change
an integration, and never saw its secrets, could have them sent to a place of his own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from deliverers.registry import ConfigurationError, DelivererRegistry
from worker.domain.event import Refusal
from worker.domain.masking import mask, masks_in, unmasked

_FOREIGN = "is the mask of a secret, and not the secret: send the secret itself"
_AMBIGUOUS = "has a mask that several of its secrets share: send the secrets themselves"
_MOVED = "must be given again, because the destination changed ({}): a mask keeps a secret for its own destination only"


def configured(
    given: Mapping[str, Any], kind: str, registry: DelivererRegistry, stored: Mapping[str, Any] | None
) -> Mapping[str, Any] | list[Refusal]:
    """Return the configuration that is to be stored, or everything that is wrong with the given one.

    `stored` is the present configuration of the same type, its secrets in the clear: empty where the type changes, None
    for a new integration. A new one's mask is taken for the secret itself: there is none that it could stand for, and
    the specification's own examples are masks (see sealing.py). Raises UnknownIntegrationType.
    """
    secrets = sorted(registry.secret_fields(kind))
    given = {name: value for name, value in registry.normalised(kind, given).items() if value is not None}
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
    """Refuse masks that stand for nothing. A secret that was registered as a mask is what it is, and may stay."""
    return [
        _refused(name, _AMBIGUOUS if _is_shared(meant[name], stored.get(name)) else _FOREIGN)
        for name in secrets
        if set(masks_in(meant.get(name))) - set(masks_in(stored.get(name)))
    ]


def _is_shared(meant: Any, stored: Any) -> bool:
    """Return whether every mask left is one of stored secrets: then there were too many that it could stand for."""
    left = set(masks_in(meant)) - set(masks_in(stored))
    return isinstance(stored, list) and left <= {mask(each) for each in stored if isinstance(each, str)}


def _moved(
    given: Mapping[str, Any],
    meant: Mapping[str, Any],
    kind: str,
    registry: DelivererRegistry,
    stored: Mapping[str, Any],
) -> list[Refusal]:
    """Refuse masks of stored secrets where the destination is another."""
    kept = [name for name in sorted(registry.secret_fields(kind)) if masks_in(given.get(name))]
    if not kept:
        return []
    changed = registry.changed_destination(kind, stored, meant)
    return [_refused(name, _MOVED.format(", ".join(changed))) for name in kept] if changed else []


def _refused(name: str, reason: str) -> Refusal:
    return Refusal(f"configuration.{name}", reason, ("configuration", name))
