"""The form of an integration's configuration, made from its own model, so that plug-ins have one. No I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from deliverers.secret_fields import secret_fields

#: Prefix of the names of its fields.
PREFIX = "configuration."
#: The media type by which a schema marks a text in PEM.
PEM_TYPE = "application/x-pem-file"


class InputKind(StrEnum):
    """How a value is entered."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    #: Several texts, one on each line.
    LINES = "lines"
    #: Texts by name, one on each line: `Name: value`.
    PAIRS = "pairs"
    #: One text of several lines, such as a certificate.
    BLOCK = "block"
    #: Any other value, as JSON.
    JSON = "json"


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of the form; `value` is the present value as people enter it."""

    name: str
    kind: InputKind
    value: str
    required: bool
    secret: bool
    note: str = ""
    choices: Sequence[str] = ()


def fields_of(model: type[BaseModel], configuration: Mapping[str, Any]) -> list[FormField]:
    """Return the fields for a configuration, whose secrets are masked."""
    try:
        schema = model.model_json_schema()
    except PydanticUserError:
        # A plug-in's model may have a type without a schema.
        schema = {"properties": {name: {} for name in model.model_fields}}
    required, secrets = frozenset(schema.get("required", ())), secret_fields(model)
    return [
        _field(name, each, schema.get("$defs", {}), configuration.get(name), name in required, name in secrets)
        for name, each in schema.get("properties", {}).items()
    ]


def configuration_of(model: type[BaseModel], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration that a form has; a field that is left empty is left out."""
    return {
        each.name: value
        for each in fields_of(model, {})
        if (value := _read(each, form.get(PREFIX + each.name, ""))) is not None
    }


def _field(
    name: str, schema: Mapping[str, Any], parts: Mapping[str, Any], value: Any, required: bool, secret: bool
) -> FormField:
    plain = _plain(schema, parts)
    kind, choices = _kind(plain)
    note = str(schema.get("description", "") or plain.get("description", ""))
    if value is None and "default" in schema and schema["default"] is not None:
        note = f"{note} Default: {json.dumps(schema['default'])}.".strip()
    return FormField(name, kind, _written(kind, value), required, secret, note, choices)


def _plain(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without its alternative null, and without a reference."""
    alternatives = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(alternatives) == 1:
        schema = {**schema, **alternatives[0]}
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = parts.get(reference, schema) if reference else schema
    return found


def _kind(schema: Mapping[str, Any]) -> tuple[InputKind, Sequence[str]]:
    if choices := schema.get("enum"):
        return InputKind.CHOICE, [str(each) for each in choices]
    match schema.get("type"):
        case "string" if schema.get("contentMediaType") == PEM_TYPE:
            return InputKind.BLOCK, ()
        case "string":
            return InputKind.TEXT, ()
        case "object" if dict(schema.get("additionalProperties") or {}).get("type") == "string":
            return InputKind.PAIRS, ()
        case "integer" | "number":
            return InputKind.NUMBER, ()
        case "boolean":
            return InputKind.CHOICE, ["true", "false"]
        case "array" if schema.get("items", {}).get("type") == "string":
            return InputKind.LINES, ()
    return InputKind.JSON, ()


def _written(kind: InputKind, value: Any) -> str:
    if value is None:
        return ""
    match kind:
        case InputKind.LINES if isinstance(value, list | tuple):
            return "\n".join(map(str, value))
        case InputKind.PAIRS if isinstance(value, Mapping):
            return "\n".join(f"{name}: {each}" for name, each in value.items())
        case InputKind.JSON:
            return json.dumps(value, ensure_ascii=False)
        case InputKind.CHOICE if isinstance(value, bool):
            return "true" if value else "false"
    return str(value)


def _read(field: FormField, text: str) -> Any:
    text = text.replace("\r\n", "\n")
    if not text.strip():
        return None
    match field.kind:
        case InputKind.LINES:
            return [each.strip() for each in text.split("\n") if each.strip()]
        case InputKind.PAIRS:
            parts = (each.partition(":") for each in text.split("\n") if each.strip())
            return {name.strip(): value.strip() for name, _, value in parts}
        case InputKind.CHOICE if set(field.choices) == {"true", "false"}:
            return text == "true"
        case InputKind.NUMBER | InputKind.JSON:
            try:
                return json.loads(text)
            except ValueError:
                # The model's own validation then says what is wrong.
                return text
    return text
