"""Masks of secrets, for people: stars, then the last four characters, in the secret's own length.

The mask of a secret of fewer than 12 characters is eight stars, because four characters would reveal too much of it.
So is that of a secret in PEM, which has many lines.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deliverers.secret_fields import secret_texts

#: Characters of a secret that its mask shows at the end.
SHOWN_CHARS = 4
#: Characters; the mask of a shorter secret shows neither its characters nor its length.
SHORTEST_SHOWN = 12
#: The mask of a short secret, of one in PEM, and of one that cannot be opened.
UNKNOWN = "*" * 8
#: The beginning of a secret in PEM.
PEM = "-----BEGIN "

# At least as many stars as a mask has before its last characters; or stars only, which nobody uses as a secret.
_MASK = re.compile(r"\*{8,}.{0,4}|\*+", re.DOTALL)


def mask(secret: str) -> str:
    """Return the mask of a secret. An empty text stays empty."""
    if len(secret) < SHORTEST_SHOWN or secret.startswith(PEM):
        return UNKNOWN if secret else ""
    return "*" * (len(secret) - SHOWN_CHARS) + secret[-SHOWN_CHARS:]


def looks_masked(value: str) -> bool:
    """Return whether a value can only be a mask that a client sent back. True for every mask of a secret."""
    return _MASK.fullmatch(value) is not None


def masks_in(value: Any) -> list[str]:
    """Return the values of a secret field that can only be masks."""
    return [each for each in secret_texts(value) if isinstance(each, str) and looks_masked(each)]


def masked(configuration: Mapping[str, Any], secret_fields: Iterable[str]) -> dict[str, Any]:
    """Return an opened configuration with its secret fields masked."""
    return _replaced(configuration, secret_fields, mask)


def hidden(configuration: Mapping[str, Any], secret_fields: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with stars for its secrets, which cannot be opened here."""
    return _replaced(configuration, secret_fields, lambda _: UNKNOWN)


def unmasked(given: Any, current: Any) -> Any:
    """Return a secret field's value with each mask replaced by the current secret that it stands for.

    In a mapping, the name says which secret it is. In a list, each mask is replaced separately, so that a client can
    add or drop a secret. Several secrets may have the same mask. Such masks are replaced only if all of them are sent
    back in their places. Otherwise they stay masks, because it is unknown which secrets they stand for.
    """
    match given, current:
        case str(), str():
            return current if given == mask(current) else given
        case list(), list():
            return [_meant(each, index, given, current) for index, each in enumerate(given)]
        case Mapping(), Mapping():
            return {name: unmasked(each, current.get(name)) for name, each in given.items()}
    return given


def _meant(value: Any, index: int, given: Sequence[Any], current: Sequence[Any]) -> Any:
    secrets = [each for each in current if isinstance(each, str) and value == mask(each)]
    if len(set(secrets)) <= 1:
        return secrets[0] if secrets else value
    places = [place for place, each in enumerate(current) if isinstance(each, str) and mask(each) == value]
    in_place = places == [place for place, each in enumerate(given) if each == value]
    return current[index] if in_place else value


def _replaced(configuration: Mapping[str, Any], secret_fields: Iterable[str], change: Any) -> dict[str, Any]:
    changed = dict(configuration)
    for field in secret_fields:
        match changed.get(field):
            case str() as value:
                changed[field] = change(value)
            case list() as values:
                changed[field] = [change(str(value)) for value in values]
            case Mapping() as values:
                changed[field] = {name: change(str(value)) for name, value in values.items()}
    return changed
