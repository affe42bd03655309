"""The secret fields of a configuration, by their types: the ledger seals them, and people see their masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from deliverers.contract import ShownToAdmin

_SECRETS = (SecretStr, SecretBytes, Secret)


@lru_cache(maxsize=256)  # a worker asks for each integration, of a few types
def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields that hold secrets."""
    return frozenset(name for name, field in model.model_fields.items() if _is_sealed(field.annotation))


def shown_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the secret fields that an integration's own admin may see in the clear (see `ShownToAdmin`)."""
    fields = model.model_fields
    return frozenset(name for name in secret_fields(model) if ShownToAdmin() in fields[name].metadata)


def unsealable_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of fields whose secrets would be stored and shown in the clear.

    These are fields with a secret somewhere inside, and secret fields with an alias.
    """
    sealed = secret_fields(model)
    return tuple(
        name
        for name, field in model.model_fields.items()
        if _hides_secret(field.annotation, frozenset()) and (name not in sealed or field.validation_alias is not None)
    )


def _is_sealed(annotation: Any) -> bool:
    """Return whether the type is a secret text, or a list of them or a dict of them by name, optionally null."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return _is_sealed(inner[0])
    if kind in (Union, UnionType):
        return all(_is_sealed(each) for each in inner if each is not NoneType)
    if kind in (list, tuple):
        return all(each is SecretStr for each in inner if each is not Ellipsis)
    if kind is dict:
        return inner[0] is str and inner[1] is SecretStr
    return annotation is SecretStr


def secret_texts(value: Any) -> Iterator[Any]:
    """Yield each value of a secret field, which has one, a list of them, or a mapping of names to them."""
    match value:
        case Mapping():
            yield from value.values()
        case list() | tuple():
            yield from value
        case _:
            yield value


def _hides_secret(annotation: Any, seen: frozenset[Any]) -> bool:
    """Return whether the type contains a secret anywhere."""
    if isinstance(annotation, type) and issubclass(annotation, _SECRETS):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        inner = [field.annotation for field in annotation.model_fields.values()]
        return any(_hides_secret(each, seen | {annotation}) for each in inner)
    return any(
        _hides_secret(each, seen) for each in (get_origin(annotation), *get_args(annotation)) if each is not None
    )
