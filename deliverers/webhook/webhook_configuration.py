"""The configuration of `webhook`: a URL, the secrets that sign, and how the worker authenticates to the receiver."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.config import JsonDict

from deliverers.client_certificates import LONGEST_PEM, certificates_of, check_key, end_of, identity_of, is_pair
from deliverers.contract import Destination, NotDestination, ShownToAdmin
from deliverers.field_error import FieldError
from deliverers.http import USER_AGENT, HttpTarget, RequestHead
from deliverers.http.request import header_lines
from deliverers.lazily import Lazily
from deliverers.signatures import PATTERN, signing_key
from deliverers.urls import check_url, origin
from deliverers.webhook.oauth_grant import AuthMethod, OAuthGrant
from deliverers.webhook.webhook_headers import (
    AUTHORIZATION,
    LONGEST_VALUE,
    MOST_HEADERS,
    NAME_PATTERN,
    VALUE_PATTERN,
    basic_credentials,
    check_headers,
    echoes,
    lower_names,
    secrets_of_headers,
    value_problem,
)

MOST_SIGNING_KEYS = 2
#: Characters of a user name and of a password.
LONGEST_CREDENTIAL = 1024

_SECRET_KEY = "X-MOLTIN-SECRET-KEY"  # noqa: S105  (a header's name)
#: Fields of which one may be given, as each sets `Authorization`.
_WAYS = ("basic_username", "bearer_token", "oauth_token_url")
_PEM: JsonDict = {"contentMediaType": "application/x-pem-file", "maxLength": LONGEST_PEM}
_NO_NAMES: frozenset[str] = frozenset()
#: An integration cannot set any of these (see webhook_headers.py).
_HEADERS = header_lines(
    {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": USER_AGENT,
    }
)


class WebhookConfiguration(BaseModel):
    """`WebhookConfigurationObject` of the specification, and what our receivers need. Derived values are computed once.

    At most one of `basic_username`, `bearer_token`, `oauth_token_url` and a header `Authorization` authenticates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, ignored_types=(Lazily,))

    #: Another path of the same origin is the same receiver.
    url: Annotated[str, Destination(origin)]
    secret_key: Annotated[SecretStr | None, ShownToAdmin(), NotDestination()] = Field(
        default=None,
        description=f"Sent as the header {_SECRET_KEY}.",
        json_schema_extra={"pattern": f"^([!-~]([ -~]{{0,{LONGEST_VALUE - 2}}}[!-~])?)?$"},
    )
    #: Keys of Standard Webhooks: one, or two while one replaces the other.
    signing_keys: Annotated[list[SecretStr] | None, NotDestination()] = Field(
        default=None,
        description="Keys (whsec_…) that sign by HMAC: one, or two while one replaces the other.",
        json_schema_extra={"maxItems": MOST_SIGNING_KEYS, "items": {"pattern": PATTERN}},
    )
    headers: Annotated[dict[str, SecretStr] | None, NotDestination()] = Field(
        default=None,
        description="Further headers, by their names. All values are secrets.",
        json_schema_extra={
            "maxProperties": MOST_HEADERS,
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": {
                "type": "string",
                "format": "password",
                "writeOnly": True,
                "pattern": VALUE_PATTERN,
            },
        },
    )
    #: A destination, because it says whose the password is.
    basic_username: Annotated[str | None, Destination()] = Field(
        default=None,
        description="User name of HTTP Basic authentication, with basic_password.",
        json_schema_extra={"maxLength": LONGEST_CREDENTIAL},
    )
    basic_password: Annotated[SecretStr | None, NotDestination()] = Field(
        default=None,
        description="Password of HTTP Basic authentication.",
        json_schema_extra={"maxLength": LONGEST_CREDENTIAL},
    )
    bearer_token: Annotated[SecretStr | None, NotDestination()] = Field(
        default=None,
        description="A token that is sent as Authorization: Bearer.",
        json_schema_extra={"pattern": "^[!-~]*$", "maxLength": LONGEST_VALUE - len("Bearer ")},
    )

    oauth_token_url: Annotated[str | None, Destination()] = Field(
        default=None, description="URL at which access tokens are fetched by OAuth 2.0 client credentials."
    )
    #: A destination, because it says whose the client secret is.
    oauth_client_id: Annotated[str | None, Destination()] = Field(
        default=None, description="OAuth client id.", json_schema_extra={"maxLength": LONGEST_CREDENTIAL}
    )
    oauth_client_secret: Annotated[SecretStr | None, NotDestination()] = Field(
        default=None, description="OAuth client secret.", json_schema_extra={"maxLength": LONGEST_CREDENTIAL}
    )
    oauth_scope: Annotated[str | None, NotDestination()] = Field(
        default=None,
        description="OAuth scopes that are asked for, with spaces between them.",
        json_schema_extra={"maxLength": LONGEST_CREDENTIAL},
    )
    oauth_audience: Annotated[str | None, NotDestination()] = Field(
        default=None,
        description="The audience that some OAuth servers want to know.",
        json_schema_extra={"maxLength": LONGEST_CREDENTIAL},
    )
    oauth_auth_method: Annotated[AuthMethod | None, NotDestination()] = Field(
        default=None,
        description="How the client authenticates: client_secret_basic, unless the server wants the other.",
    )

    client_certificate: Annotated[str | None, NotDestination()] = Field(
        default=None,
        description="Certificate in PEM that the worker presents to the receiver, with its chain (mutual TLS).",
        json_schema_extra=_PEM,
    )
    client_key: Annotated[SecretStr | None, NotDestination()] = Field(
        default=None,
        description="Private key in PEM of client_certificate, without a passphrase.",
        json_schema_extra=_PEM,
    )
    #: A destination, because it says whom the worker trusts to be the receiver.
    ca_certificate: Annotated[str | None, Destination()] = Field(
        default=None,
        description="Authorities in PEM that are trusted for the receiver, in place of the usual ones.",
        json_schema_extra=_PEM,
    )

    @field_validator("url", "oauth_token_url")
    @classmethod
    def _url_is_sound(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, ("https", "http"))
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value() if value is not None else ""
        if not secret:
            return None
        if len(secret) <= LONGEST_VALUE and any(character in secret for character in "\r\n\0"):
            raise ValueError(f"must not contain line breaks or NUL: it is sent as the header {_SECRET_KEY}")
        if problem := value_problem(secret):
            raise ValueError(problem)
        return value

    @field_validator("signing_keys")
    @classmethod
    def _signing_keys_are_keys(cls, value: list[SecretStr] | None) -> list[SecretStr] | None:
        if value and len(value) > MOST_SIGNING_KEYS:
            raise ValueError(f"must be at most {MOST_SIGNING_KEYS} keys, and are {len(value)}")
        for key in value or ():
            signing_key(key.get_secret_value())
        return value or None

    @field_validator("headers", mode="before")
    @classmethod
    def _headers_are_sound(cls, value: Any) -> Any:
        if value is not None:
            check_headers(value)
        return value or None

    @field_validator("basic_username")
    @classmethod
    def _username_is_sound(cls, value: str | None) -> str | None:
        if value and ":" in value:
            raise ValueError("must not contain a colon, which ends the user name (RFC 7617)")
        _check_credential(value or "")
        return value or None

    @field_validator("oauth_client_id", "oauth_scope", "oauth_audience")
    @classmethod
    def _text_is_sound(cls, value: str | None) -> str | None:
        _check_credential(value or "")
        return value or None

    @field_validator("basic_password", "oauth_client_secret")
    @classmethod
    def _password_is_sound(cls, value: SecretStr | None) -> SecretStr | None:
        _check_credential(_plain(value))
        return value

    @field_validator("client_certificate", "ca_certificate")
    @classmethod
    def _certificates_are_sound(cls, value: str | None) -> str | None:
        if value:
            certificates_of(value)
        return value or None

    @field_validator("client_key")
    @classmethod
    def _key_is_sound(cls, value: SecretStr | None) -> SecretStr | None:
        if key := _plain(value):
            check_key(key)
        return value if key else None

    @field_validator("bearer_token")
    @classmethod
    def _token_is_sound(cls, value: SecretStr | None) -> SecretStr | None:
        token = _plain(value)
        if not token:
            return None
        if " " in token:
            raise ValueError("must be the token alone, without spaces: the worker adds the word Bearer")
        if problem := value_problem(f"Bearer {token}"):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        if self.basic_password is not None and self.basic_username is None:
            raise FieldError("is required with basic_password", "basic_username")
        if self.basic_username is not None and self.basic_password is None:
            raise FieldError("is required with basic_username; it may be empty", "basic_password")
        self._check_oauth()
        self._check_certificate()
        ways = [name for name in _WAYS if getattr(self, name) is not None]
        if self.headers is not None and AUTHORIZATION in lower_names(self.headers):
            ways.append("headers.Authorization")
        if len(ways) > 1:
            words = f"cannot be combined with {ways[0]}: both set the header Authorization"
            raise FieldError(words, *ways[-1].split("."))
        return self

    def _check_oauth(self) -> None:
        given = [name for name in _OAUTH_FIELDS if getattr(self, name) is not None]
        if not given:
            return
        for name in ("oauth_token_url", "oauth_client_id", "oauth_client_secret"):
            if name not in given:
                raise FieldError(f"is required with {given[0]}", name)

    def _check_certificate(self) -> None:
        certificate, key = self.client_certificate, self.client_key
        if certificate is None and key is None and self.ca_certificate is None:
            return
        if certificate is not None and key is None:
            raise FieldError("is required with client_certificate", "client_key")
        if key is not None and certificate is None:
            raise FieldError("is required with client_key", "client_certificate")
        if certificate is not None and not is_pair(certificate, _plain(key)):
            raise FieldError("is not the key of the first certificate in client_certificate", "client_key")
        for name in ("client_certificate", "ca_certificate"):
            if getattr(self, name) is not None and not self.url.lower().startswith("https:"):
                raise FieldError("needs a url that begins with https://", name)

    @classmethod
    def expirations(cls, configuration: Mapping[str, Any]) -> dict[str, datetime]:
        """Return when the certificates run out (see `Expiring`)."""
        ends: dict[str, datetime] = {}
        for name in ("client_certificate", "ca_certificate"):
            if (end := end_of(configuration.get(name))) is not None:
                ends[name] = end
        return ends

    @Lazily
    def ends(self) -> Mapping[str, datetime]:
        """Return when the certificates run out."""
        own = {"client_certificate": self.client_certificate, "ca_certificate": self.ca_certificate}
        return self.expirations(own) if any(own.values()) else {}

    @Lazily
    def oauth(self) -> OAuthGrant | None:
        """Return the credentials by which access tokens are fetched; None if there are none."""
        url, client, secret = self.oauth_token_url, self.oauth_client_id, self.oauth_client_secret
        if url is None or client is None or secret is None:
            return None
        method = self.oauth_auth_method or "client_secret_basic"
        return OAuthGrant(url, client, secret, self.oauth_scope or "", self.oauth_audience or "", method)

    @Lazily
    def keys(self) -> tuple[bytes, ...]:
        """Return the keys that sign."""
        return tuple(signing_key(key.get_secret_value()) for key in self.signing_keys or ())

    @Lazily
    def head(self) -> RequestHead:
        """Return the part of the request that depends on the configuration alone."""
        identity = identity_of(self.client_certificate, self.client_key, self.ca_certificate)
        return RequestHead("POST", HttpTarget.of(self.url), self.secret_headers, identity, checked=_HEADERS)

    @Lazily
    def plain_secret_key(self) -> str:
        """Return the secret key in the clear; empty if there is none."""
        return _plain(self.secret_key)

    @Lazily
    def secret_headers(self) -> dict[str, str]:
        """Return the headers that hold a secret. Do not change them."""
        own = {name: value.get_secret_value() for name, value in (self.headers or {}).items()}
        if self.secret_key is not None:
            own[_SECRET_KEY] = self.plain_secret_key
        if self.basic_username is not None:
            own["Authorization"] = basic_credentials(self.basic_username, _plain(self.basic_password))
        if self.bearer_token is not None:
            own["Authorization"] = f"Bearer {_plain(self.bearer_token)}"
        return own

    @Lazily
    def authentication(self) -> str:
        """Return how the worker authenticates, as a reason names it; empty if it does not, or by access tokens."""
        if self.basic_username is not None:
            return "configuration.basic_username with its password"
        if self.bearer_token is not None:
            return "configuration.bearer_token"
        return f"configuration.headers ({', '.join(self.headers)})" if self.headers else ""

    @Lazily
    def masked_headers(self) -> frozenset[str]:
        """Return the names of the headers whose values no log shows, in lower case."""
        return lower_names(self.headers) if self.headers else _NO_NAMES

    @Lazily
    def secret_forms(self) -> tuple[bytes, ...]:
        """Return the secrets as an answer may echo them: plain, and in a JSON string."""
        oauth = () if self.oauth is None else self.oauth.secret_forms
        if not (headers := self.secret_headers):
            return oauth
        whole = (self.plain_secret_key, _plain(self.basic_password), _plain(self.bearer_token))
        return (*echoes(filter(None, [*whole, *secrets_of_headers(headers)])), *oauth)


_OAUTH_FIELDS = tuple(name for name in WebhookConfiguration.model_fields if name.startswith("oauth_"))


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _check_credential(text: str) -> None:
    if len(text) > LONGEST_CREDENTIAL:
        raise ValueError(f"must be at most {LONGEST_CREDENTIAL} characters long, and has {len(text)}")
    if not text.isprintable():
        raise ValueError("must not contain control characters")
