"""`webhook`: an event leaves as one HTTP POST.

Choices where no specification decides:

- A POST is not idempotent, so a connection that closes before the answer is an outcome; the POST is never silently
  repeated.
- Once a status line has arrived, its status is in the log. If the answer then breaks off or is too slow, the outcome is
  `Refused` with that status, and never `Delivered` or `Gone`.
- `secret_key` is sent only as the header X-MOLTIN-SECRET-KEY. `signing_keys` sign, and are never sent.
- Behind a proxy, the proxy judges the address that is dialled: see `EgressPolicy.proxied_refusal`.
- Of an answer larger than the read limit, the rest is not awaited: its status counts, and the connection is closed.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, ClassVar

import aiohttp
import msgspec
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import istr
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from yarl import URL

from deliverers.answers import RECEIVER_FAULTS, decompressed, kept_text, printable, status_phrase
from deliverers.contract import (
    Delivered,
    DelivererOptions,
    Delivery,
    Destination,
    Gone,
    NotDestination,
    Outcome,
    Refused,
    ShownToAdmin,
    Unreachable,
)
from deliverers.envelopes import webhook_body
from deliverers.http import USER_AGENT, BodyInMemory, deadline, read_and_release, resolver_of, session_of
from deliverers.reasons import INTERRUPTED, AttemptedConnection, Phase, reason, unreached
from deliverers.retry_after import parse_retry_after
from deliverers.signatures import signature, signing_key
from deliverers.urls import checked_url, origin

#: Seconds for which an idle connection is kept. Just below the 5 s after which Node, Apache and uvicorn close theirs: a
#: request sent at that very moment is lost, and costs an attempt. Under load, connections are never idle for so long.
KEEP_ALIVE_SECONDS = 4.0
#: Characters. Servers commonly take 8 KiB for all headers together.
LONGEST_SECRET_KEY = 4096
MOST_SIGNING_KEYS = 2
#: Share of the deadline that connecting may not use, so that the reason names connecting if an attempt ends there.
_CONNECT_MARGIN = 0.005

_SECRET_HEADER = istr("X-MOLTIN-SECRET-KEY")
_ID_HEADER = istr("webhook-id")
_TIMESTAMP_HEADER = istr("webhook-timestamp")
_SIGNATURE_HEADER = istr("webhook-signature")
_JSON = "application/json"
_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class WebhookConfiguration(BaseModel):
    """`WebhookConfigurationObject` of the specification. Derived values are computed once per object."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: Another path of the same origin is the same receiver.
    url: Annotated[str, Destination(origin)]
    secret_key: Annotated[SecretStr | None, ShownToAdmin(), NotDestination()] = None
    #: Keys of Standard Webhooks: one, or two while one replaces the other.
    signing_keys: Annotated[list[SecretStr] | None, NotDestination()] = None

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
    def target(self) -> URL:
        """Return the parsed URL."""
        return URL(self.url)

    @cached_property
    def secret_headers(self) -> dict[str, str]:
        """Return the headers that depend on the configuration. Copy them; do not change them."""
        return {} if self.secret_key is None else {_SECRET_HEADER: self.secret_key.get_secret_value()}

    @cached_property
    def secret_forms(self) -> tuple[bytes, ...]:
        """Return the secret as an answer may echo it: plain, and in a JSON string."""
        if self.secret_key is None:
            return ()
        plain = self.secret_key.get_secret_value()
        return tuple({plain.encode(), msgspec.json.encode(plain)[1:-1]})


class WebhookDeliverer:
    """A deliverer that posts over one shared pool of connections.

    The pool has no limit of its own: lanes limit what is in flight. The one deadline counts from the first DNS query to
    the last byte of the answer.
    """

    integration_type: ClassVar[str] = "webhook"
    configuration_model: ClassVar[type[BaseModel]] = WebhookConfiguration

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None

    async def open(self) -> None:
        """Open the pool. Raises `OSError` if the file with extra authorities cannot be used."""
        timeout = self._options.timeout
        self._resolver = self._make_resolver()
        self._session = session_of(
            self._options,
            self._resolver,
            KEEP_ALIVE_SECONDS,
            headers={hdrs.CONTENT_TYPE: _JSON, hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: USER_AGENT},
            timeout=deadline(total=timeout, connect=timeout * (1 - _CONNECT_MARGIN)),
        )

    async def close(self) -> None:
        """Close the pool and the resolver."""
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None:
            await session.close()
        if resolver is not None:
            await resolver.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Post one delivery.

        Raises `RuntimeError` before `open`, and `TypeError` for another type's configuration.
        """
        session, configuration = self._session, delivery.configuration
        if session is None:
            raise RuntimeError("deliver() needs open() first")
        if not isinstance(configuration, WebhookConfiguration):
            raise TypeError(f"a webhook's configuration is expected, not {type(configuration).__name__}")
        body, timestamp = webhook_body(delivery), str(int(time.time()))
        headers = {
            **delivery.trace,
            **configuration.secret_headers,
            _ID_HEADER: delivery.job_id,
            _TIMESTAMP_HEADER: timestamp,
        }
        if configuration.keys:
            headers[_SIGNATURE_HEADER] = signature(configuration.keys, delivery.job_id, timestamp, body)
        try:
            response = await session.post(
                configuration.target, data=BodyInMemory(body, _JSON), headers=headers, allow_redirects=False
            )
        except RECEIVER_FAULTS as error:
            if session.closed:
                return Unreachable(INTERRUPTED)
            return unreached(error, self._attempted(configuration, Phase.WAITING))
        raw, fault = await read_and_release(response, self._options.read_limit)
        return self._judge(response, raw, fault, configuration)

    def _judge(
        self,
        response: aiohttp.ClientResponse,
        raw: bytes,
        fault: BaseException | None,
        configuration: WebhookConfiguration,
    ) -> Outcome:
        options, status, headers = self._options, response.status, response.headers
        if coding := headers.get(hdrs.CONTENT_ENCODING):
            raw = decompressed(raw, coding, options.read_limit)
        body = kept_text(raw, options.keep_limit, configuration.secret_forms)
        if fault is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Delivered(status, body)
        pause = parse_retry_after(headers.get(hdrs.RETRY_AFTER), datetime.now(UTC))
        if fault is not None:
            why = reason(fault, self._attempted(configuration, Phase.READING))
            return Refused(status, body, f"Received a status code ({status_phrase(status)}), but {why}", pause)
        why = f"Received a status code outside of 2xx range ({status_phrase(status)}) - treating webhook as a fail"
        if status == HTTPStatus.GONE:
            return Gone(f"{why}: the receiver asks for no more", status, body)
        location = headers.get(hdrs.LOCATION)
        if location is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            why += f": redirects are not followed (Location: {_shortened(location, configuration)})"
        return Refused(status, body, why, pause)

    def _attempted(self, configuration: WebhookConfiguration, phase: Phase) -> AttemptedConnection:
        target = configuration.target
        return AttemptedConnection(target.raw_host or "", target.port or 0, self._options.timeout, phase)

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
