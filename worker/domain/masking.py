"""Secrets as people see them: stars, then the last four characters, in the secret's own length."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Characters of a secret that its mask shows; a secret that is not longer shows none.
SHOWN_CHARS = 4
#: What stands for a secret whose length is not known.
UNKNOWN = "*" * 8

# At least as many stars as a secret hides that is worth the name; fewer might be one.
_MASK = re.compile(r"\*{8,}[^*]{0,4}|\*+")


def mask(secret: str) -> str:
    """The mask of a secret."""
    shown = secret[-SHOWN_CHARS:] if len(secret) > SHOWN_CHARS else ""
    return "*" * (len(secret) - len(shown)) + shown


def looks_masked(value: str) -> bool:
    """True where a value can only be a mask that was sent back."""
    return _MASK.fullmatch(value) is not None


def masks_in(value: Any) -> list[str]:
    """Those of a secret field's values, one or a list of them, that can only be masks."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str) and looks_masked(each)]


def masked(configuration: Mapping[str, Any], secret_fields: Iterable[str]) -> dict[str, Any]:
    """An opened configuration with its secret fields masked."""
    return _replaced(configuration, secret_fields, mask)


def hidden(configuration: Mapping[str, Any], secret_fields: Iterable[str]) -> dict[str, Any]:
    """A configuration whose secrets cannot be opened here: stars say only that they are there."""
    return _replaced(configuration, secret_fields, lambda _: UNKNOWN)


def unmasked(given: Any, current: Any) -> Any:
    """A secret field's value as it is meant: what equals the mask of a current value is that value.

    Of a list, each mask stands for the current secret that it is the mask of, so that one can be added or dropped.
    """
    match given, current:
        case str(), str():
            return _meant(given, [current])
        case list(), list():
            # The one in its own place first: two secrets may end alike.
            return [_meant(new, [*current[index : index + 1], *current]) for index, new in enumerate(given)]
    return given


def _meant(given: Any, secrets: Iterable[Any]) -> Any:
    return next((secret for secret in secrets if isinstance(secret, str) and given == mask(secret)), given)


def _replaced(configuration: Mapping[str, Any], secret_fields: Iterable[str], change: Any) -> dict[str, Any]:
    changed = dict(configuration)
    for field in secret_fields:
        match changed.get(field):
            case str() as value:
                changed[field] = change(value)
            case list() as values:
                changed[field] = [change(str(value)) for value in values]
    return changed
