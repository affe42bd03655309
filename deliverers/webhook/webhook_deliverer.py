"""The deliverer of `webhook`.

Choices where no specification decides:

- A POST is not idempotent, so a connection that closes before the answer is an outcome; the POST is never silently
  repeated. A 401 that refuses an access token is one: then the POST is sent once more, with a new token.
- Once the headers have arrived, the status is in the log. If the answer then breaks off or is too slow, the outcome is
  `Refused` with that status, and never `Delivered` or `Gone`. Malformed framing does not change a status.
- `secret_key` is sent only as the header X-MOLTIN-SECRET-KEY, and with the option `secret_in_body` in the body too.
  `signing_keys` sign, and are never sent. The log shows the names of an integration's own headers, and no value.
- Behind a proxy, the proxy judges the address that is dialled: see `EgressPolicy.proxied_refusal`.
- Of an answer larger than the read limit, the rest is not awaited: its status counts, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from deliverers.answers import decompressed, kept_text, printable, status_phrase
from deliverers.contract import (
    Counted,
    Delivered,
    DelivererOptions,
    Delivery,
    Gone,
    NotAttempted,
    Outcome,
    Refused,
)
from deliverers.envelopes import webhook_body
from deliverers.exchange import MASKED, WireRecord
from deliverers.http import HttpAnswer, HttpProgress, HttpSender, resolver_of
from deliverers.retry_after import parse_retry_after
from deliverers.signatures import signature
from deliverers.webhook.access_tokens import AccessTokens
from deliverers.webhook.oauth_grant import OAuthGrant, no_token
from deliverers.webhook.webhook_configuration import WebhookConfiguration
from deliverers.webhook.webhook_headers import echoes

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver


class WebhookDeliverer:
    """A deliverer that posts over shared connections. Lanes limit what is in flight.

    The one deadline counts from the first DNS query to the last byte of the answer.
    """

    integration_type: ClassVar[str] = "webhook"
    configuration_model: ClassVar[type[BaseModel]] = WebhookConfiguration
    signs: ClassVar[bool] = True

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._sender: HttpSender | None = None
        self._tokens: AccessTokens | None = None

    async def open(self) -> None:
        """Open the sender. Raises `OSError` if the file with extra authorities cannot be used."""
        self._sender = sender = HttpSender(self._options, resolver=self._make_resolver())
        await sender.open()
        self._tokens = AccessTokens(sender, self._options.timeout)

    async def close(self) -> None:
        """Close the sender and its connections."""
        sender, self._sender = self._sender, None
        tokens, self._tokens = self._tokens, None
        if sender is not None:
            await sender.close()
        if tokens is not None:
            await tokens.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Post one delivery.

        Raises `RuntimeError` before `open`, and `TypeError` for another type's configuration.
        """
        sender, configuration = self._sender, delivery.configuration
        if sender is None:
            raise RuntimeError("deliver() needs open() first")
        if not isinstance(configuration, WebhookConfiguration):
            raise TypeError(f"a webhook's configuration is expected, not {type(configuration).__name__}")
        if configuration.oauth is not None and self._tokens is not None:
            return await self._authorised(sender, self._tokens, configuration, configuration.oauth, delivery)
        return await self._send(sender, configuration, delivery, delivery.timeout)

    async def _authorised(
        self,
        sender: HttpSender,
        tokens: AccessTokens,
        configuration: WebhookConfiguration,
        grant: OAuthGrant,
        delivery: Delivery,
    ) -> Outcome:
        """Post one delivery with an access token; if the receiver refuses the token, once more with a new one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.timeout_of(delivery)

        async def post(refused: str = "") -> tuple[Outcome, str]:
            token = await tokens.token(delivery.tenant, grant, deadline - loop.time(), refused)
            if not isinstance(token, str):
                return token, ""
            if (left := deadline - loop.time()) <= 0:
                return no_token(grant, "it came too late for this attempt"), ""
            return await self._send(sender, configuration, delivery, left, token), token

        outcome, token = await post()
        if not token or not _is_unauthorised(outcome):
            return outcome
        outcome, _ = await post(refused=token)
        if isinstance(outcome, Refused) and _is_unauthorised(outcome):
            return replace(outcome, reason=f"{outcome.reason}; the receiver refused a new access token too")
        return outcome

    async def _send(
        self,
        sender: HttpSender,
        configuration: WebhookConfiguration,
        delivery: Delivery,
        timeout: float | None,
        token: str = "",
    ) -> Outcome:
        secret_key = configuration.plain_secret_key if self._options.secret_in_body else None
        body, timestamp = webhook_body(delivery, secret_key), str(int(time.time()))
        headers = {
            **delivery.trace,
            "X-MOLTIN-INTEGRATION-TRIGGER": delivery.triggered_by,
            "webhook-id": delivery.job_id,
            "webhook-timestamp": timestamp,
        }
        keys, pairs = configuration.keys, delivery.signing_keys
        if (keys or pairs) and (signed := signature(keys, delivery.job_id, timestamp, body, pairs)):
            headers["webhook-signature"] = signed
        secrets = configuration.secret_forms
        if token:
            headers["Authorization"] = f"Bearer {token}"
            secrets = (*echoes([token]), *secrets)
        progress = HttpProgress()
        answer = await sender.exchange(
            configuration.head, headers, body, tenant=delivery.tenant, timeout=timeout, progress=progress
        )
        if isinstance(answer, NotAttempted):
            return answer
        record = progress.record(
            self._options.keep_exchange,
            answer.head if isinstance(answer, HttpAnswer) else b"",
            succeeded=isinstance(answer, HttpAnswer) and answer.is_success,
            secrets=secrets,
            masked=configuration.masked_headers,
        )
        if isinstance(answer, HttpAnswer):
            return self._judged(answer, secrets, configuration, record)
        if configuration.head.identity is not None:
            answer = replace(answer, reason=_explained(answer.reason, configuration, datetime.now(UTC)))
        return replace(answer, exchange=record)

    def _judged(
        self, answer: HttpAnswer, secrets: tuple[bytes, ...], configuration: WebhookConfiguration, record: WireRecord
    ) -> Counted:
        options, status, raw = self._options, answer.status, answer.body
        if coding := answer.header("content-encoding"):
            raw = decompressed(raw, coding, options.read_limit)
        body = kept_text(raw, options.keep_limit, secrets)
        if answer.is_success:
            return Delivered(status, body, record)
        pause = parse_retry_after(answer.header("retry-after"), datetime.now(UTC))
        if answer.broken:
            why = f"Received a status code ({status_phrase(status)}), but {answer.broken}"
            return Refused(status, body, why, pause, record)
        why = f"Received a status code outside of 2xx range ({status_phrase(status)}) - treating webhook as a fail"
        if status == HTTPStatus.GONE:
            return Gone(f"{why}: the receiver asks for no more", status, body, record)
        if status == HTTPStatus.UNAUTHORIZED and (shown := configuration.authentication):
            why += f": the receiver refused {shown}"
        location = answer.header("location")
        if location is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            why += f": redirects are not followed (Location: {_shortened(location, secrets)})"
        return Refused(status, body, why, pause, record)

    def _make_resolver(self) -> AbstractResolver:
        return resolver_of(self._options)


def _explained(reason: str, configuration: WebhookConfiguration, now: datetime) -> str:
    """Return why there was no answer, with what the integration's own certificates may have to do with it."""
    if configuration.client_certificate is not None and "closed by" in reason:
        # Many servers close without an alert, or before it is sent.
        reason += "; it may have refused the client certificate"
    ends = configuration.ends.items()
    return reason + "".join(f" (configuration.{name} expired on {end:%Y-%m-%d})" for name, end in ends if end <= now)


def _is_unauthorised(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.status == HTTPStatus.UNAUTHORIZED


def _shortened(location: str, secrets: tuple[bytes, ...]) -> str:
    # Query, fragment and user are removed: any of them may hold a token.
    bare = location.partition("#")[0].partition("?")[0]
    scheme, found, rest = bare.partition("://")
    if found:
        authority, slash, path = rest.partition("/")
        bare = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    for secret in secrets:
        bare = bare.replace(secret.decode(), MASKED)
    return printable(bare)
