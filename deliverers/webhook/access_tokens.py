"""Access tokens for webhooks: fetched once at a time, kept for their lives, and never shared between tenants."""

from __future__ import annotations

import asyncio
from functools import partial

from deliverers.contract import NotAttempted, Unreachable
from deliverers.http import HttpSender
from deliverers.renewed_values import Fetched, RenewedValues
from deliverers.webhook.oauth_grant import READ_LIMIT, OAuthGrant, no_token, token_of

TokenFailure = Unreachable | NotAttempted


class AccessTokens:
    """The access tokens of a process.

    Args:
        sender: Sends the requests for tokens: through the egress guard, or the proxy.
        timeout: Seconds that a request may take.
    """

    def __init__(self, sender: HttpSender, timeout: float) -> None:
        self._sender = sender
        self._timeout = timeout
        self._tokens: RenewedValues[tuple[str, OAuthGrant], str, TokenFailure] = RenewedValues()

    async def token(self, tenant: str, grant: OAuthGrant, timeout: float, refused: str = "") -> str | TokenFailure:
        """Return an access token, or the outcome of an attempt without one.

        Args:
            tenant: Whose token it is.
            grant: The credentials.
            timeout: Seconds that the caller waits. Another caller may wait longer for the same token.
            refused: A token that the receiver refused; it is not returned again.
        """
        key = (tenant, grant)
        if refused:
            self._tokens.drop(key, refused)
        try:
            async with asyncio.timeout(timeout):
                return await self._tokens.get(key, partial(self._fetch, tenant, grant))
        except TimeoutError:
            return no_token(grant, f"no answer within {timeout:.3g} s")

    async def close(self) -> None:
        """End the requests that are under way."""
        await self._tokens.close()

    async def _fetch(self, tenant: str, grant: OAuthGrant) -> Fetched[str] | TokenFailure:
        answer = await self._sender.exchange(
            grant.head, {}, grant.body, tenant=tenant, limit=READ_LIMIT, timeout=self._timeout
        )
        if isinstance(answer, NotAttempted):
            return answer
        if isinstance(answer, Unreachable):
            return Unreachable(no_token(grant, answer.reason).reason, answer.detail)
        return token_of(answer, grant)
