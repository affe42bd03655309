"""The destination of a configuration's secrets: which changes move it (see `Destination`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from deliverers.contract import Destination, NotDestination
from deliverers.secret_fields import secret_fields, secret_texts


def changed_destination(before: BaseModel, after: BaseModel) -> tuple[str, ...]:
    """Return the names of the fields by which `after` sends secrets to another destination than `before`.

    Both are valid configurations of one model. Without a mark, a field that is not a secret counts as a whole, and a
    secret counts if it holds a URL.
    """
    secrets = secret_fields(type(after))
    declared = (
        name
        for name, field in type(after).model_fields.items()
        if _moves(field, getattr(before, name), getattr(after, name), is_secret=name in secrets)
    )
    return (*declared, *_different_extras(before.model_extra or {}, after.model_extra or {}))


def _moves(field: FieldInfo, before: Any, after: Any, *, is_secret: bool) -> bool:
    if before == after:
        return False
    for mark in field.metadata:
        match mark:
            case NotDestination():
                return False
            case Destination(part=None):
                return True
            case Destination(part=part) if part is not None:
                return bool(part(before) != part(after))
    return not is_secret or _holds_url(before) or _holds_url(after)


def _holds_url(secret: Any) -> bool:
    return any(isinstance(each, SecretStr) and "://" in each.get_secret_value() for each in secret_texts(secret))


def _different_extras(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name not in before or name not in after or before[name] != after[name]:
            yield name
