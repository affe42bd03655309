"""What a change of the audit did, in words. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.domain.change import Change, ChangeAction
from worker.domain.humanize import one_line

_CONFIGURATION = "configuration"
_NEW_SECRETS = "new_secrets"
#: Characters of a value that a page shows at most.
_VALUE_CHARS = 300

_WORDS: Mapping[ChangeAction, str] = {
    ChangeAction.INTEGRATION_CREATED: "created",
    ChangeAction.INTEGRATION_DELETED: "deleted",
    ChangeAction.KEYS_ROTATED: "rotated the signing keys",
    ChangeAction.KEYS_DELETED: "deleted the signing keys",
    ChangeAction.SECRETS_RESEALED: "sealed the secrets with another key",
    ChangeAction.TOKEN_CREATED: "created",
    ChangeAction.TOKEN_REVOKED: "revoked",
    ChangeAction.EVENT_ERASED: "erased",
    ChangeAction.JOB_REDELIVERED: "redelivered",
    ChangeAction.JOBS_REDELIVERED: "redelivered in bulk",
}
#: What the change of a switch is called: when it is on afterwards, and when it is off.
_SWITCHES: Mapping[str, tuple[str, str]] = {"enabled": ("enabled", "disabled"), "paused": ("paused", "resumed")}


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """An attribute before and after a change, as text; empty where it had no value."""

    name: str
    before: str
    after: str


def words_of(change: Change) -> str:
    """Return what a change did: `disabled`, `changed name and url`."""
    if change.action is not ChangeAction.INTEGRATION_UPDATED:
        return _WORDS.get(change.action, change.action.value)
    switched = [
        _SWITCHES[name][not value]
        for name, value in change.after.items()
        if name in _SWITCHES and value in (True, False)
    ]
    others = [each.name for each in attributes_of(change) if each.name not in _SWITCHES]
    changed = [f"changed {' and '.join(others)}"] if others else []
    return ", ".join([*switched, *changed]) or "changed nothing"


def attributes_of(change: Change) -> list[AttributeChange]:
    """Return the attributes that a change names, those of the configuration one by one."""
    before, after = dict(_flat(change.before)), dict(_flat(change.after))
    is_update = bool(before) and bool(after)
    return [
        AttributeChange(name, _text(before, name), _text(after, name))
        for name in dict.fromkeys([*before, *after])
        if not is_update or before.get(name) != after.get(name)
    ]


def _flat(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in state.items():
        if name == _CONFIGURATION and isinstance(value, dict):
            yield from value.items()
        elif name == _NEW_SECRETS and isinstance(value, list):
            yield from ((secret, "a new value") for secret in value)
        else:
            yield name, value


def _text(state: Mapping[str, Any], name: str) -> str:
    value = state.get(name)
    if value in (None, "", []):
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return one_line(text, _VALUE_CHARS)
