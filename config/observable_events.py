"""The catalogue of observable keys: which events exist, and at which levels.

`observable_events.json` has the keys of the user's specification, and those of its older documentation:
`order.deleted`, `settings.deleted` and `integrations.*`. The keys of a store's custom APIs follow a pattern. A
deployment adds keys with EDW_OBSERVABLE_KEYS.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

STORE = "store"
ORGANIZATION = "organization"
LEVELS = (STORE, ORGANIZATION)

#: Characters of an unknown key that are compared and repeated in the error.
SHOWN_CHARS = 80
_NEAREST = 3
#: Known keys that are compared letter by letter with an unknown one; each comparison takes 10 µs.
_COMPARED = 8
#: Similarity below which two keys are not considered related.
_ALIKE = 0.4
#: The keys of a store's custom APIs; in the specification, `customAPIEntryType.*` stands for them.
CUSTOM_KEY_PATTERN = r"[a-z0-9_]{1,59}_ext\.(?:created|updated|deleted)"
_CUSTOM_KEY = re.compile(CUSTOM_KEY_PATTERN)
_OF_CUSTOM_APIS = frozenset({STORE})
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*+(?:\.[a-z0-9_-]++)++")


@dataclass(frozen=True, slots=True)
class ObservableKey:
    """A key, `resource.action`, and the levels at which its events exist."""

    key: str
    levels: frozenset[str]


def observable_key(value: Any) -> ObservableKey:
    """Parse `key` (store level) or `key:store+organization`. Raises ValueError with what was expected."""
    if isinstance(value, ObservableKey):
        return value
    key, colon, named = str(value).partition(":")
    levels = frozenset(named.split("+")) if colon else frozenset({STORE})
    if not _KEY.fullmatch(key):
        raise ValueError("expected keys in the form resource.action, in lower case, such as warranty.registered")
    if not levels <= set(LEVELS):
        raise ValueError("expected the levels store, organization or store+organization after a key's colon")
    return ObservableKey(key, levels)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The observable keys of a deployment."""

    _levels: Mapping[str, frozenset[str]] = field(repr=False)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self.levels(key))

    @property
    def keys(self) -> tuple[str, ...]:
        """Return all keys in alphabetical order, except those of custom APIs."""
        return tuple(sorted(self._levels))

    def levels(self, key: str) -> frozenset[str]:
        """Return the levels at which a key exists; empty for an unknown key."""
        return self._levels.get(key) or _levels_of_custom(key)

    def problem(self, key: str, level: str) -> str | None:
        """Return why a key cannot be used at a level (`store` or `organization`), or None if it can."""
        levels = self._levels.get(key) or _levels_of_custom(key)
        if not levels:
            return self._unknown(key)
        if level not in levels:
            known = " and ".join(sorted(levels))
            return f'the observable key "{key}" exists only at {known} level, not at {level} level'
        return None

    def _unknown(self, key: str) -> str:
        # The key is foreign input, of any length and with any characters.
        cut = key[:SHOWN_CHARS].encode(errors="replace").decode()
        quoted = msgspec.json.encode(cut + "…" * (len(key) > SHOWN_CHARS)).decode()
        near = _nearest(cut.lower(), tuple(self._levels))
        nearest = f"; the nearest known keys are {', '.join(near)}" if near else ""
        if "_ext." in cut:
            nearest += f"; those of custom APIs match {CUSTOM_KEY_PATTERN.replace('?:', '')}"
        return f"unknown observable key {quoted}{nearest}"


def _levels_of_custom(key: str) -> frozenset[str]:
    return _OF_CUSTOM_APIS if _CUSTOM_KEY.fullmatch(key) else frozenset()


# Cached: a producer with a wrong key sends it with every event. Bounded: one request may bring a thousand different
# keys.
@lru_cache(maxsize=256)
def _nearest(key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    pairs = _pairs(key)
    likely = sorted(_paired(known), key=lambda each: _likeness(pairs, each[1]), reverse=True)[:_COMPARED]
    return tuple(get_close_matches(key, [name for name, _ in likely], n=_NEAREST, cutoff=_ALIKE))


@lru_cache(maxsize=4)
def _paired(known: tuple[str, ...]) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((name, _pairs(name)) for name in known)


def _pairs(key: str) -> frozenset[str]:
    """Return the pairs of neighbouring characters, including the margins."""
    padded = f" {key} "
    return frozenset(padded[index : index + 2] for index in range(len(padded) - 1))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Return how similar two sets of pairs are, from 0 to 1 (Dice): a quick choice of the keys worth comparing."""
    return 2 * len(one & other) / (len(one) + len(other))


def load_catalogue(extra: Iterable[ObservableKey] = ()) -> Catalogue:
    """Return the catalogue with the deployment's own keys; a key in both exists at the levels of both."""
    levels = dict(_shipped())
    for added in extra:
        levels[added.key] = levels.get(added.key, _levels_of_custom(added.key)) | added.levels
    return Catalogue(MappingProxyType(levels))


class _Entry(msgspec.Struct):
    key: str
    levels: list[str]


@cache
def _shipped() -> Mapping[str, frozenset[str]]:
    content = Path(__file__).with_name("observable_events.json").read_bytes()
    return {entry.key: frozenset(entry.levels) for entry in msgspec.json.decode(content, type=list[_Entry])}
