"""The configuration of `stomp`: the brokers, the login, and the destination of messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from yarl import URL

from deliverers.contract import Destination
from deliverers.lazily import Lazily
from deliverers.urls import checked_url

#: Brokers of one integration, for failover.
MOST_ADDRESSES = 16
#: Characters.
LONGEST_DESTINATION = 1024
#: Characters of a user name, and of a password.
LONGEST_CREDENTIAL = 1024

_EXAMPLE = "stomp+ssl://broker.example.com:61614"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: A credential, for the API's description.
_CREDENTIAL: JsonDict = {"pattern": f"^[^\\x00-\\x1f\\x7f-\\x9f]{{0,{LONGEST_CREDENTIAL}}}$"}
_TLS = "stomp+ssl"
#: Brokers' default ports: the first is IANA's; ActiveMQ, Amazon MQ and RabbitMQ all use the second.
_PORTS = {"stomp": 61613, _TLS: 61614}
#: RabbitMQ's name for its default; other brokers take any.
_DEFAULT_VHOST = "/"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of one broker, from its URL."""

    scheme: str
    host: str
    port: int
    vhost: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse a valid URL. Its path is the virtual host: none and `/` are RabbitMQ's default, `/shop` is `shop`."""
        url = URL(text)
        vhost = unquote(url.raw_path.removeprefix("/"), errors="strict") or _DEFAULT_VHOST
        return cls(url.scheme, url.raw_host or "", url.explicit_port or _PORTS[url.scheme], vhost)

    @property
    def tls(self) -> bool:
        """Return whether the connection is encrypted."""
        return self.scheme == _TLS

    @property
    def peer(self) -> str:
        """Return host and port: `broker.example:61613`, `[2001:db8::1]:61613`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Account:
    """The addresses and login of a connection; integrations with the same account share one."""

    addresses: tuple[Address, ...]
    username: str | None
    password: SecretStr | None = field(repr=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # It is looked up for every delivery, and a secret's hash is slow.
        object.__setattr__(self, "_hash", hash((self.addresses, self.username, self.password)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the password as a broker may repeat it: plain, and as it was sent."""
        if self.password is None:
            return ()
        plain = self.password.get_secret_value()
        return tuple({plain.replace("\\", "\\\\"), plain})


def _checked_address(text: str) -> str:
    url = checked_url(text, (_TLS, "stomp"))
    if "?" in text or "#" in text:
        # Options there, as ActiveMQ's clients have, would be ignored silently.
        raise ValueError(f"must have no query and no fragment, as in {_EXAMPLE}; a path names the virtual host")
    try:
        vhost = unquote(url.raw_path, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8 in its path, which names the virtual host") from None
    if _CONTROL.search(vhost):
        raise ValueError("must not have control characters in its path, which names the virtual host")
    return text


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(_checked_address(value))
    except ValueError:
        return False


def _brokers(addresses: Iterable[str]) -> frozenset[Address]:
    # The order in which brokers are tried does not matter.
    return frozenset(Address.parse(each) for each in addresses)


class StompConfiguration(BaseModel):
    """`STOMPConfigurationObject` of the specification. The password is a secret; no answer shows it.

    The specification requires a `url` that it does not describe, and describes `addresses`. A `url` is taken as a list
    of one address; `normalised` converts it, and it is neither stored nor emitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, ignored_types=(Lazily,))

    username: str | None = Field(default=None, json_schema_extra=_CREDENTIAL)
    password: SecretStr | None = Field(default=None, json_schema_extra=_CREDENTIAL)
    destination: str
    # Before `addresses`, whose validation reads it. In a valid configuration it is None.
    url: Annotated[str, AfterValidator(_checked_address)] | None = Field(default=None, exclude=True, repr=False)
    #: Tried in turn; at least one.
    addresses: Annotated[tuple[Annotated[str, AfterValidator(_checked_address)], ...], Destination(_brokers)] = Field(
        default=(), validate_default=True
    )

    @classmethod
    def normalised(cls, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration with a `url` converted to `addresses`.

        A `url` stays if it is invalid, or if the addresses given with it do not contain it. The error then refers to
        `url` or `addresses` as they were given.
        """
        changed = dict(configuration)
        url, addresses = changed.get("url"), changed.get("addresses")
        if not _is_address(url):
            return changed
        if addresses is None:
            changed["addresses"] = [url]
        elif not isinstance(addresses, list | tuple) or url not in addresses:
            return changed
        del changed["url"]
        return changed

    @Lazily
    def account(self) -> Account:
        """Return the account that a connection is opened for."""
        return Account(tuple(Address.parse(each) for each in self.addresses), self.username, self.password)

    @model_validator(mode="before")
    @classmethod
    def _url_is_an_address(cls, given: Any) -> Any:
        return cls.normalised(given) if isinstance(given, Mapping) else given

    @field_validator("username")
    @classmethod
    def _username_fits_a_header(cls, value: str | None) -> str | None:
        return _checked_credential(value) if value else None

    @field_validator("password")
    @classmethod
    def _password_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and _checked_credential(value.get_secret_value()) else None

    @field_validator("destination")
    @classmethod
    def _destination_is_sound(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        if len(value) > LONGEST_DESTINATION:
            raise ValueError(f"must be at most {LONGEST_DESTINATION} characters long, and has {len(value)}")
        if _CONTROL.search(value):
            raise ValueError("must not contain control characters")
        return value

    @field_validator("addresses", mode="before")
    @classmethod
    def _they_are_few(cls, value: Any) -> Any:
        # Before each address is checked.
        if isinstance(value, list | tuple) and len(value) > MOST_ADDRESSES:
            raise ValueError(f"must be at most {MOST_ADDRESSES} addresses, and are {len(value)}")
        return value

    @field_validator("addresses")
    @classmethod
    def _there_is_an_address(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "url" not in info.data:  # the url was refused already, and is the intended address
            return value
        if info.data["url"] is not None:
            raise ValueError("must contain the url where both are given; or leave the url out")
        if not value:
            raise ValueError(f"is required: at least one address, such as {_EXAMPLE}")
        return value


def _checked_credential(text: str) -> str:
    if len(text) > LONGEST_CREDENTIAL:
        raise ValueError(f"must be at most {LONGEST_CREDENTIAL} characters long, and has {len(text)}")
    if _CONTROL.search(text):
        # A CONNECT frame has no escapes (STOMP 1.2, "Value Encoding"): a line break would begin another header.
        raise ValueError("must not contain control characters: it is sent as a header")
    return text
