"""The registry of deliverers: which one serves an `integration_type`, and what its `configuration` must look like.

It has the built-in deliverers, for the specification's types, and those of installed packages. Its errors:

    Exception
    ├── RegistryError
    │   ├── UnknownIntegrationType   (also a KeyError) no deliverer here serves the type
    │   └── BrokenPlugin             an entry point that cannot be loaded or is not a deliverer, or a type served twice
    └── ValueError
        └── ConfigurationError       an integration's configuration was refused, with each field's problem
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError

from deliverers.contract import Deliverer, DelivererOptions
from deliverers.destination import changed_destination
from deliverers.field_error import FieldError
from deliverers.redaction import without_secrets
from deliverers.secret_fields import secret_fields, secret_texts, shown_fields, unsealable_fields

#: Packages add a type by an entry point of this group whose object is a `Deliverer` class.
ENTRY_POINT_GROUP = "edw.deliverers"

# The specification describes the type as `aws-sqs`; its enum, which wins, says `aws_sqs`.
_ALIASES = MappingProxyType({"aws-sqs": "aws_sqs"})
#: Keys that one configuration may have, unknown ones included; no type has a tenth of them.
MOST_KEYS = 100
#: Problems of one configuration that are reported at most.
MOST_PROBLEMS = 100
#: Characters of a foreign word that are compared with known words.
_COMPARED_CHARS = 80
_SEALABLE = "must be a string, or a list or object of strings"


class RegistryError(Exception):
    """A deliverer is not available."""


class UnknownIntegrationType(RegistryError, KeyError):
    """No deliverer here serves this `integration_type`."""

    def __str__(self) -> str:  # KeyError would show a repr
        return str(self.args[0])


class BrokenPlugin(RegistryError):
    """A plug-in cannot be loaded, is not a deliverer, or serves a type that another deliverer serves."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with one field, in words without the value.

    `path` is its exact place in the integration, from the outside in: `("configuration", "addresses", "0")`.
    """

    path: tuple[str, ...]
    message: str

    @property
    def field(self) -> str:
        """Return the path as people read it: `configuration.addresses.0`."""
        return ".".join(self.path)


class ConfigurationError(ValueError):
    """A configuration was refused."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def normalise_integration_type(integration_type: str) -> str:
    """Convert an accepted spelling to the one that is stored and emitted."""
    return _ALIASES.get(integration_type, integration_type)


class DelivererRegistry:
    """Deliverer classes by their `integration_type`."""

    def __init__(self, deliverers: Iterable[type[Deliverer]]) -> None:
        #: None until it is loaded.
        self._found: Mapping[str, type[Deliverer]] | None = _without_doubles(deliverers)

    @classmethod
    def load(cls) -> DelivererRegistry:
        """Load the built-in deliverers and those of installed packages. Raises `BrokenPlugin`."""
        return cls(_installed())

    @classmethod
    def late(cls) -> DelivererRegistry:
        """Return a registry that is loaded with its first use, which raises what `load` raises."""
        registry = cls(())
        registry._found = None
        return registry

    @property
    def _by_type(self) -> Mapping[str, type[Deliverer]]:
        if self._found is None:
            self._found = _without_doubles(_installed())
        return self._found

    @classmethod
    def built_in(cls) -> DelivererRegistry:
        """Return a registry of the built-in deliverers alone."""
        return cls(_built_in())

    @property
    def types(self) -> tuple[str, ...]:
        """Return the integration types that can be registered and delivered."""
        return tuple(self._by_type)

    def get(self, integration_type: str) -> type[Deliverer]:
        """Return a type's deliverer class. Raises `UnknownIntegrationType`, which names the nearest type."""
        word = normalise_integration_type(integration_type)
        found = self._by_type.get(word)
        if found is not None:
            return found
        has = f"this installation has: {', '.join(self.types)}"
        raise UnknownIntegrationType(f"is not a known integration_type{_nearest(word, self.types)}; {has}")

    def configuration_model(self, integration_type: str) -> type[BaseModel]:
        """Return the model of a type's configuration. Raises what `get` raises."""
        return self.get(integration_type).configuration_model

    def normalised(self, integration_type: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration in the spelling that is stored, unchecked (see `Normalising`).

        Raises what `get` raises.
        """
        hook = getattr(self.configuration_model(integration_type), "normalised", None)
        return dict(hook(configuration) if callable(hook) else configuration)

    def unknown_keys(self, integration_type: str, configuration: Mapping[str, Any]) -> dict[str, str]:
        """Return the keys that a type's configuration does not have, each with the nearest known key or an empty text.

        A model that allows extra keys has no unknown ones. Raises what `get` raises.
        """
        model = self.configuration_model(integration_type)
        if model.model_config.get("extra") == "allow":
            return {}
        known = _known_keys(model)
        return {key: _nearest_of(key, model.model_fields) for key in configuration if key not in known}

    def parse_configuration(self, integration_type: str, configuration: Mapping[str, Any]) -> BaseModel:
        """Parse an integration's `configuration`. Raises `ConfigurationError`, or what `get` raises."""
        model = self.configuration_model(integration_type)
        if not isinstance(configuration, Mapping):
            raise ConfigurationError((Problem(_path(()), "must be an object"),))
        if len(configuration) > MOST_KEYS:
            # Before each key is compared with the known ones.
            words = f"must have at most {MOST_KEYS} keys, and has {len(configuration)}"
            raise ConfigurationError((Problem(_path(()), words),))
        # Most configurations have few of a type's secrets or none.
        secrets = [name for name in secret_fields(model) if configuration.get(name) is not None]
        try:
            parsed = model.model_validate(dict(configuration))
            unsealed = [name for name in secrets if _is_open(configuration[name])]
            if not unsealed:
                return parsed
            problems = tuple(Problem(_path((name,)), _SEALABLE) for name in sorted(unsealed))
        except ValidationError as error:
            # Our own models never repeat a value, so their words stay: a gap in them would reveal a short secret.
            hidden = () if model in _our_models() else tuple(_texts(configuration[name] for name in secrets))
            problems = tuple(
                Problem(_path(_location(detail)), without_secrets(hidden, _message(detail, model)))
                for detail in error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
            )
        # Raised outside the handler: pydantic's error holds the input, and must not travel along as the context.
        raise ConfigurationError(problems)

    def secret_fields(self, integration_type: str) -> frozenset[str]:
        """Return the names of a configuration's secret fields. Raises what `get` raises."""
        return secret_fields(self.configuration_model(integration_type))

    def shown_fields(self, integration_type: str) -> frozenset[str]:
        """Return the secret fields that an integration's own admin may see in the clear (see `ShownToAdmin`)."""
        return shown_fields(self.configuration_model(integration_type))

    def changed_destination(
        self, integration_type: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Return what sends the secrets of `after` to another destination than `before`; empty if it is the same.

        Each entry is a path as in `Problem.field`. If `before` is no longer valid, its destination is unknown, and
        counts as another. Raises `ConfigurationError` for `after`, or what `get` raises.
        """
        new = self.parse_configuration(integration_type, after)
        try:
            old = self.parse_configuration(integration_type, before)
        except ConfigurationError:
            return ("configuration",)
        return tuple(f"configuration.{name}" for name in changed_destination(old, new))

    def expirations(self, integration_type: str, configuration: Mapping[str, Any]) -> Mapping[str, datetime]:
        """Return when values of a stored configuration run out, by their fields (see `Expiring`).

        Raises what `get` raises.
        """
        hook = getattr(self.configuration_model(integration_type), "expirations", None)
        return dict(hook(configuration)) if callable(hook) else {}

    def signs(self, integration_type: str) -> bool:
        """Return whether a type's deliverer signs with keys that the worker makes. Raises what `get` raises."""
        return bool(getattr(self.get(integration_type), "signs", False))

    def create(self, integration_type: str, options: DelivererOptions) -> Deliverer:
        """Create a deliverer; it must be opened before it delivers."""
        return self.get(integration_type)(options)


@cache
def _built_in() -> tuple[type[Deliverer], ...]:
    # Imported here: an API listens before it needs them.
    from deliverers.aws_sqs import AwsSqsDeliverer
    from deliverers.stomp import StompDeliverer
    from deliverers.webhook import WebhookDeliverer

    return WebhookDeliverer, AwsSqsDeliverer, StompDeliverer


@cache
def _our_models() -> frozenset[type[BaseModel]]:
    return frozenset(each.configuration_model for each in _built_in())


def _installed() -> Iterator[type[Deliverer]]:
    yield from _built_in()
    for point in entry_points(group=ENTRY_POINT_GROUP):
        yield _loaded(point)


def _without_doubles(deliverers: Iterable[type[Deliverer]]) -> Mapping[str, type[Deliverer]]:
    by_type: dict[str, type[Deliverer]] = {}
    for deliverer in deliverers:
        if deliverer.integration_type in by_type:
            raise BrokenPlugin(f'there are two deliverers for the integration_type "{deliverer.integration_type}"')
        by_type[deliverer.integration_type] = deliverer
    return by_type


def _loaded(point: EntryPoint) -> type[Deliverer]:
    try:
        deliverer = point.load()
    except Exception as error:  # a foreign package may raise anything
        raise BrokenPlugin(f'the deliverer "{point.name}" ({point.value}) cannot be loaded: {error}') from error
    model = getattr(deliverer, "configuration_model", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or not callable(deliverer):
        raise BrokenPlugin(f'the deliverer "{point.name}" ({point.value}) has no configuration_model')
    missing = [name for name in ("open", "deliver", "close") if not callable(getattr(deliverer, name, None))]
    if missing or not isinstance(getattr(deliverer, "integration_type", None), str):
        raise BrokenPlugin(
            f'the deliverer "{point.name}" ({point.value}) has no {", ".join(missing) or "integration_type"}'
        )
    if open_to_all := unsealable_fields(model):
        raise BrokenPlugin(
            f'the deliverer "{point.name}" ({point.value}) has secrets that would be stored in the clear: '
            f"{', '.join(open_to_all)} (only a field of SecretStr, list[SecretStr] or dict[str, SecretStr], without an"
            " alias, is sealed)"
        )
    found: type[Deliverer] = deliverer
    return found


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, list | tuple | Mapping):
            yield from _texts(secret_texts(value))


def _is_open(secret: Any) -> bool:
    """Return whether a secret field has a value that would not be sealed, whatever its model accepts."""
    return not all(each is None or isinstance(each, str) for each in secret_texts(secret))


def _path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return ("configuration", *(str(part) for part in location))


def _location(detail: Any) -> tuple[int | str, ...]:
    location: tuple[int | str, ...] = detail["loc"]
    match detail.get("ctx", {}).get("error"):
        case FieldError(place=place):
            return (*location, *place)
    return location


def _message(detail: Any, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"is not a known key{_nearest(str(detail['loc'][-1]), model.model_fields)}"
        case "string_type":
            return "must be a string"
        case "list_type" | "tuple_type":
            return "must be a list"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return str(detail["msg"])


def _known_keys(model: type[BaseModel]) -> frozenset[str]:
    """Return the keys that a model reads: the names of its fields, and their aliases."""
    known: set[str] = set()
    for name, field in model.model_fields.items():
        known.add(name)
        aliases = field.validation_alias
        for alias in aliases.choices if isinstance(aliases, AliasChoices) else [aliases]:
            known.update(
                str(each) for each in (alias.path[:1] if isinstance(alias, AliasPath) else [alias] if alias else ())
            )
    return frozenset(known)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = _nearest_of(word, known)
    return f'; did you mean "{near}"?' if near else ""


def _nearest_of(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word[:_COMPARED_CHARS], dict.fromkeys(known), n=1, cutoff=0.5)), "")
