"""Which deliverer carries an `integration_type`, and what its `configuration` must look like.

The deliverers are the built-in ones, those of the specification's types, and those of installed packages.

RegistryError
├── UnknownIntegrationType      a type that no deliverer here carries
└── BrokenPlugin                an entry point that is not a deliverer
ConfigurationError              an integration's configuration, field by field
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.contract import Deliverer, DelivererOptions
from deliverers.destination import changed_destination
from deliverers.redaction import without_secrets
from deliverers.secret_fields import secret_fields, shown_fields, unsealable_fields
from deliverers.stomp import StompDeliverer
from deliverers.webhook import WebhookDeliverer

#: Packages add a type with an entry point of this group, whose object is a `Deliverer` class.
ENTRY_POINT_GROUP = "edw.deliverers"

_BUILT_IN: tuple[type[Deliverer], ...] = (WebhookDeliverer, AwsSqsDeliverer, StompDeliverer)
# The specification describes the type as `aws-sqs`; its enum, which wins, says `aws_sqs`.
_ALIASES = MappingProxyType({"aws-sqs": "aws_sqs"})
#: Keys of one configuration, unknown ones included; no type has a tenth of them.
MOST_KEYS = 100
#: Problems of one configuration that are named.
MOST_PROBLEMS = 100
#: Of a foreign word, so many characters are compared with those that are known.
_COMPARED_CHARS = 80
_OUR_MODELS = frozenset(each.configuration_model for each in _BUILT_IN)
_SEALABLE = "must be a string, or a list of strings"


class RegistryError(Exception):
    """A deliverer cannot be had."""


class UnknownIntegrationType(RegistryError, KeyError):
    """No deliverer here carries this `integration_type`."""

    def __str__(self) -> str:  # KeyError would show a repr
        return str(self.args[0])


class BrokenPlugin(RegistryError):
    """An entry point of `edw.deliverers` cannot be loaded, or is not a deliverer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field, in words without the value.

    `path` is its exact place in the integration, from the outside in: `("configuration", "addresses", "0")`.
    """

    path: tuple[str, ...]
    message: str

    @property
    def field(self) -> str:
        """The path as people read it: `configuration.addresses.0`."""
        return ".".join(self.path)


class ConfigurationError(ValueError):
    """A configuration was refused."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def normalise_integration_type(integration_type: str) -> str:
    """Turn an accepted spelling into the one that is stored and emitted."""
    return _ALIASES.get(integration_type, integration_type)


class DelivererRegistry:
    """Deliverer classes by their `integration_type`."""

    def __init__(self, deliverers: Iterable[type[Deliverer]]) -> None:
        self._by_type: dict[str, type[Deliverer]] = {}
        for deliverer in deliverers:
            if deliverer.integration_type in self._by_type:
                raise BrokenPlugin(f'there are two deliverers for the integration_type "{deliverer.integration_type}"')
            self._by_type[deliverer.integration_type] = deliverer

    @classmethod
    def load(cls) -> DelivererRegistry:
        """Find the built-in deliverers and those of installed packages. Raises `BrokenPlugin`."""
        return cls((*_BUILT_IN, *(_loaded(point) for point in entry_points(group=ENTRY_POINT_GROUP))))

    @property
    def types(self) -> tuple[str, ...]:
        """The integration types that can be registered and delivered."""
        return tuple(self._by_type)

    def get(self, integration_type: str) -> type[Deliverer]:
        """Find a deliverer class. Raises `UnknownIntegrationType`, naming the nearest."""
        word = normalise_integration_type(integration_type)
        if word in self._by_type:
            return self._by_type[word]
        has = f"this installation has: {', '.join(self.types)}"
        raise UnknownIntegrationType(f"is not a known integration_type{_nearest(word, self.types)}; {has}")

    def configuration_model(self, integration_type: str) -> type[BaseModel]:
        """Find the model of a type's configuration. Raises what `get` raises."""
        return self.get(integration_type).configuration_model

    def normalised(self, integration_type: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Turn what was given into the spelling that is stored (see `Normalising`); checks nothing.

        Raises what `get` raises.
        """
        hook = getattr(self.configuration_model(integration_type), "normalised", None)
        return dict(hook(configuration) if callable(hook) else configuration)

    def parse_configuration(self, integration_type: str, configuration: Mapping[str, Any]) -> BaseModel:
        """Parse an integration's `configuration`. Raises `ConfigurationError`, or what `get` raises."""
        model = self.configuration_model(integration_type)
        if not isinstance(configuration, Mapping):
            raise ConfigurationError((Problem(_path(()), "must be an object"),))
        if len(configuration) > MOST_KEYS:
            # Before each of them is compared with those that are known.
            words = f"must have at most {MOST_KEYS} keys, and has {len(configuration)}"
            raise ConfigurationError((Problem(_path(()), words),))
        secrets = {name: configuration.get(name) for name in self.secret_fields(integration_type)}
        # Our own models never repeat a value. Their words stay as they are: a gap in them would show what a short
        # secret is.
        hidden = () if model in _OUR_MODELS else tuple(_texts(secrets.values()))
        try:
            parsed = model.model_validate(dict(configuration))
            problems = tuple(Problem(_path((name,)), _SEALABLE) for name in sorted(secrets) if _is_open(secrets[name]))
            if not problems:
                return parsed
        except ValidationError as error:
            problems = tuple(
                Problem(_path(detail["loc"]), without_secrets(hidden, _message(detail, model)))
                for detail in error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
            )
        # Outside of the handler: pydantic's error holds the input, and must not travel along as a context.
        raise ConfigurationError(problems)

    def secret_fields(self, integration_type: str) -> frozenset[str]:
        """The names of the configuration's fields that hold secrets. Raises what `get` raises."""
        return secret_fields(self.configuration_model(integration_type))

    def shown_fields(self, integration_type: str) -> frozenset[str]:
        """The secret fields that an integration's own admin may see in the clear (see `ShownToAdmin`)."""
        return shown_fields(self.configuration_model(integration_type))

    def changed_destination(
        self, integration_type: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Name what sends the secrets of `after` to another destination than `before`; nothing where it is the same.

        Each is a path as `Problem` has it. Where `before` is sound no longer, its destination is unknown, and so
        another. Raises `ConfigurationError` for `after`, or what `get` raises.
        """
        new = self.parse_configuration(integration_type, after)
        try:
            old = self.parse_configuration(integration_type, before)
        except ConfigurationError:
            return ("configuration",)
        return tuple(f"configuration.{name}" for name in changed_destination(old, new))

    def create(self, integration_type: str, options: DelivererOptions) -> Deliverer:
        """Make a deliverer; it must be opened before it delivers."""
        return self.get(integration_type)(options)


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
            f"{', '.join(open_to_all)} (only a field of SecretStr or list[SecretStr], without an alias, is sealed)"
        )
    found: type[Deliverer] = deliverer
    return found


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _is_open(secret: Any) -> bool:
    """Return whether a secret field has a value that would not be sealed, whatever its model takes."""
    values = secret if isinstance(secret, list) else (secret,)
    return not all(each is None or isinstance(each, str) for each in values)


def _path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return ("configuration", *(str(part) for part in location))


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


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word[:_COMPARED_CHARS], dict.fromkeys(known), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""
