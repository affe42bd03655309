"""`webhook`: an event leaves as one HTTP POST.

Choices where no specification decides:

- A POST is not idempotent, so a connection that closes before the answer is an outcome; the POST is never silently
  repeated.
- Once the headers have arrived, the status is in the log. If the answer then breaks off or is too slow, the outcome is
  `Refused` with that status, and never `Delivered` or `Gone`. Malformed framing does not change a status.
- `secret_key` is sent only as the header X-MOLTIN-SECRET-KEY, and with the option `secret_in_body` in the body too.
  `signing_keys` sign, and are never sent.
- Behind a proxy, the proxy judges the address that is dialled: see `EgressPolicy.proxied_refusal`.
- Of an answer larger than the read limit, the rest is not awaited: its status counts, and the connection is closed.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from deliverers.answers import decompressed, kept_text, printable, status_phrase
from deliverers.contract import (
    Counted,
    Delivered,
    DelivererOptions,
    Delivery,
    Destination,
    Gone,
    NotAttempted,
    NotDestination,
    Outcome,
    Refused,
    ShownToAdmin,
)
from deliverers.envelopes import webhook_body
from deliverers.http import USER_AGENT, HttpAnswer, HttpProgress, HttpSender, HttpTarget, RequestHead, resolver_of
from deliverers.retry_after import parse_retry_after
from deliverers.signatures import PATTERN, signature, signing_key
from deliverers.urls import checked_url, origin

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Characters. Servers commonly take 8 KiB for all headers together.
LONGEST_SECRET_KEY = 4096
MOST_SIGNING_KEYS = 2

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": USER_AGENT,
}
_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class WebhookConfiguration(BaseModel):
    """`WebhookConfigurationObject` of the specification. Derived values are computed once per object."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: Another path of the same origin is the same receiver.
    url: Annotated[str, Destination(origin)]
    secret_key: Annotated[SecretStr | None, ShownToAdmin(), NotDestination()] = Field(
        default=None, json_schema_extra={"pattern": f"^([!-~]([ -~]{{0,{LONGEST_SECRET_KEY - 2}}}[!-~])?)?$"}
    )
    #: Keys of Standard Webhooks: one, or two while one replaces the other.
    signing_keys: Annotated[list[SecretStr] | None, NotDestination()] = Field(
        default=None, json_schema_extra={"maxItems": MOST_SIGNING_KEYS, "items": {"pattern": PATTERN}}
    )

    @field_validator("url")
    @classmethod
    def _url_is_sound(cls, value: str) -> str:
        checked_url(value, ("https", "http"))
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value() if value is not None else ""
        if not secret:
            return None
        if len(secret) > LONGEST_SECRET_KEY:
            raise ValueError(f"must be at most {LONGEST_SECRET_KEY} characters long, and has {len(secret)}")
        if any(character in secret for character in "\r\n\0"):
            raise ValueError("must not contain line breaks or NUL: it is sent as the header X-MOLTIN-SECRET-KEY")
        if not _VISIBLE.fullmatch(secret):
            raise ValueError("must be visible ASCII characters, with spaces only between them: it is sent as a header")
        return value

    @field_validator("signing_keys")
    @classmethod
    def _signing_keys_are_keys(cls, value: list[SecretStr] | None) -> list[SecretStr] | None:
        if value and len(value) > MOST_SIGNING_KEYS:
            raise ValueError(f"must be at most {MOST_SIGNING_KEYS} keys, and are {len(value)}")
        for key in value or ():
            signing_key(key.get_secret_value())
        return value or None

    @cached_property
    def keys(self) -> tuple[bytes, ...]:
        """Return the keys that sign."""
        return tuple(signing_key(key.get_secret_value()) for key in self.signing_keys or ())

    @cached_property
    def head(self) -> RequestHead:
        """Return the part of the request that depends on the configuration alone."""
        return RequestHead("POST", HttpTarget.of(self.url), _HEADERS | self.secret_headers)

    @cached_property
    def plain_secret_key(self) -> str:
        """Return the secret key in the clear; empty if there is none."""
        return "" if self.secret_key is None else self.secret_key.get_secret_value()

    @cached_property
    def secret_headers(self) -> dict[str, str]:
        """Return the headers that hold a secret. Do not change them."""
        return {} if self.secret_key is None else {"X-MOLTIN-SECRET-KEY": self.secret_key.get_secret_value()}

    @cached_property
    def secret_forms(self) -> tuple[bytes, ...]:
        """Return the secret as an answer may echo it: plain, and in a JSON string."""
        if self.secret_key is None:
            return ()
        plain = self.secret_key.get_secret_value()
        return tuple({plain.encode(), msgspec.json.encode(plain)[1:-1]})


class WebhookDeliverer:
    """A deliverer that posts over shared connections. Lanes limit what is in flight.

    The one deadline counts from the first DNS query to the last byte of the answer.
    """

    integration_type: ClassVar[str] = "webhook"
    configuration_model: ClassVar[type[BaseModel]] = WebhookConfiguration

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._sender: HttpSender | None = None

    async def open(self) -> None:
        """Open the sender. Raises `OSError` if the file with extra authorities cannot be used."""
        self._sender = sender = HttpSender(self._options, resolver=self._make_resolver())
        await sender.open()

    async def close(self) -> None:
        """Close the sender and its connections."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Post one delivery.

        Raises `RuntimeError` before `open`, and `TypeError` for another type's configuration.
        """
        sender, configuration = self._sender, delivery.configuration
        if sender is None:
            raise RuntimeError("deliver() needs open() first")
        if not isinstance(configuration, WebhookConfiguration):
            raise TypeError(f"a webhook's configuration is expected, not {type(configuration).__name__}")
        secret_key = configuration.plain_secret_key if self._options.secret_in_body else None
        body, timestamp = webhook_body(delivery, secret_key), str(int(time.time()))
        headers = {
            **delivery.trace,
            "X-MOLTIN-INTEGRATION-TRIGGER": delivery.triggered_by,
            "webhook-id": delivery.job_id,
            "webhook-timestamp": timestamp,
        }
        if configuration.keys:
            headers["webhook-signature"] = signature(configuration.keys, delivery.job_id, timestamp, body)
        progress = HttpProgress()
        answer = await sender.exchange(configuration.head, headers, body, tenant=delivery.tenant, progress=progress)
        if isinstance(answer, NotAttempted):
            return answer
        head = answer.head if isinstance(answer, HttpAnswer) else b""
        outcome = self._judge(answer, configuration) if isinstance(answer, HttpAnswer) else answer
        record = progress.record(
            self._options.keep_exchange,
            head,
            succeeded=isinstance(outcome, Delivered),
            secrets=configuration.secret_forms,
        )
        if isinstance(outcome, Delivered):
            # Much faster than replace(), which the other outcomes can afford.
            return Delivered(outcome.status, outcome.body, record)
        return replace(outcome, exchange=record)

    def _judge(self, answer: HttpAnswer, configuration: WebhookConfiguration) -> Counted:
        options, status, raw = self._options, answer.status, answer.body
        if coding := answer.header("content-encoding"):
            raw = decompressed(raw, coding, options.read_limit)
        body = kept_text(raw, options.keep_limit, configuration.secret_forms)
        if answer.is_success:
            return Delivered(status, body)
        pause = parse_retry_after(answer.header("retry-after"), datetime.now(UTC))
        if answer.broken:
            why = f"Received a status code ({status_phrase(status)}), but {answer.broken}"
            return Refused(status, body, why, pause)
        why = f"Received a status code outside of 2xx range ({status_phrase(status)}) - treating webhook as a fail"
        if status == HTTPStatus.GONE:
            return Gone(f"{why}: the receiver asks for no more", status, body)
        location = answer.header("location")
        if location is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            why += f": redirects are not followed (Location: {_shortened(location, configuration)})"
        return Refused(status, body, why, pause)

    def _make_resolver(self) -> AbstractResolver:
        return resolver_of(self._options)


def _shortened(location: str, configuration: WebhookConfiguration) -> str:
    # Query, fragment and user are removed: any of them may hold a token.
    bare = location.partition("#")[0].partition("?")[0]
    scheme, found, rest = bare.partition("://")
    if found:
        authority, slash, path = rest.partition("/")
        bare = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    if configuration.secret_key is not None:
        bare = bare.replace(configuration.secret_key.get_secret_value(), "********")
    return printable(bare)
