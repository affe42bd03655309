"""Authentication of callers: bearer tokens, which the ledger keeps, and a limit on attempts with bad ones."""

import asyncio
import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from time import monotonic
from typing import Protocol

from aiohttp import hdrs, web

from config.units import Network
from worker.api.api_errors import ApiError, api_error, retry_later
from worker.domain.api_token import BEARING, Token, TokenKind, matches, read
from worker.http_server.callers import network_of, parsed_address
from worker.ledger import LedgerError

#: Seconds for which a valid token is not looked up again; a revoked token may work for as long.
FRESH_SECONDS = 1.0
#: Seconds for which a token that was valid is exempt from the limit on bad attempts from its address. Callers may
#: share an address behind a proxy.
KNOWN_SECONDS = 3_600.0
#: Tokens, and clients, that a process remembers at most.
KNOWN_MOST = 10_000

#: Seconds for which a use is not noted again.
USED_SECONDS = 60.0

#: Bad attempts that a network (an IPv4 address or an IPv6 /64) may make at once, and seconds until it gets one more.
ATTEMPTS = 20
SECONDS_PER_ATTEMPT = 3.0
#: Networks with bad attempts that a process remembers at most.
NETWORKS_MOST = 10_000
#: Hops of X-Forwarded-For that are read at most, from the right.
HOPS_MOST = 32

#: `Bearer <token>`; some of the platform's clients and examples write `Bearer: <token>`.
_BEARER = re.compile(r"bearer(?:[ \t]*:|(?=[ \t]|$))[ \t]*+(.*+)", re.IGNORECASE)
_REALM = 'Bearer realm="edw"'


class TokenLookup(Protocol):
    """The part of the ledger that finds tokens."""

    async def get(self, token_id: str) -> Token | None: ...
    async def note_use(self, token_id: str) -> None: ...


@dataclass(slots=True)
class _Known:
    token: Token
    looked_up: float


class BadCredentialLimiter:
    """A token bucket of bad attempts for each network of callers."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        #: When each network has all its attempts again (clock seconds). Networks that have them all are left out.
        self._full_at: dict[str, float] = {}
        #: A heap of the same, the soonest first. An entry that differs from `_full_at` is outdated.
        self._soonest: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Return the number of networks that are remembered."""
        return len(self._full_at)

    def left_in(self, address: str) -> float:
        """Return the seconds until an address may try again; 0 if it may now."""
        used = self._full_at.get(network_of(address), 0.0) - self._clock()
        return max(0.0, used - (ATTEMPTS - 1) * SECONDS_PER_ATTEMPT)

    def failed(self, address: str) -> None:
        """Count a bad attempt from an address."""
        network, now = network_of(address), self._clock()
        full_at = max(self._full_at.get(network, 0.0), now) + SECONDS_PER_ATTEMPT
        self._full_at[network] = full_at
        heappush(self._soonest, (full_at, network))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget networks that have all their attempts, then those that have the most.

        A network that is limited is forgotten last, so that attempts from elsewhere do not lift its limit.
        """
        while self._soonest:
            full_at, network = self._soonest[0]
            outdated = self._full_at.get(network) != full_at
            if not outdated and full_at > now and len(self._full_at) <= NETWORKS_MOST:
                return
            heappop(self._soonest)
            if not outdated:
                del self._full_at[network]


class Access:
    """Authentication of requests by their tokens.

    Requests through one of `proxies` count for the address that the proxies report.
    """

    def __init__(
        self, tokens: TokenLookup, clock: Callable[[], float] = monotonic, proxies: Sequence[Network] = ()
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._proxies = proxies
        self._known: OrderedDict[str, _Known] = OrderedDict()
        #: Clients that have logged in. They are kept apart from bearer tokens, because a client's secret is not one.
        self._clients: OrderedDict[str, _Known] = OrderedDict()
        #: When the use of a token was noted last.
        self._noted: OrderedDict[str, float] = OrderedDict()
        #: A task that nobody holds may be collected before it is done.
        self._noting: set[asyncio.Task[None]] = set()
        self.attempts = BadCredentialLimiter(clock)

    async def caller(self, request: web.Request, *, basic: bool = False) -> Token:
        """Return the token of a request.

        With `basic`, the token may also be the password of Basic authentication, which browsers offer.

        Raises ApiError (401), or ApiError (429) after too many bad attempts from the address.
        """
        text = _borne(request, basic=basic)
        if text is None:
            challenge = f'{_REALM}, Basic realm="edw: any user, and a token as the password"' if basic else _REALM
            raise api_error(401, "expected Authorization: Bearer <token>", {hdrs.WWW_AUTHENTICATE: challenge})
        parts = read(text)
        if parts is not None and (token := await self._good(*parts, request)):
            if token.operator:
                raise api_error(403, "an operator's token opens the console only; the API needs a token of a store")
            return token
        raise self.refused(request, "the token is unknown or was revoked")

    async def entered(self, request: web.Request, text: str, kinds: Collection[TokenKind]) -> Token | float:
        """Return the token of one of the kinds that a person entered; else count a bad attempt.

        Then the result is the time until the address may try again (seconds); 0 if it may now.
        """
        address = self._address(request)
        if wait := self.attempts.left_in(address):
            return wait
        parts = read(text.strip())
        token = await self._tokens.get(parts[0]) if parts else None
        if parts and token and token.kind in kinds and matches(token, parts[1]):
            self.note_use(token)
            return token
        self.attempts.failed(address)
        return 0.0

    def refused(self, request: web.Request, detail: str) -> ApiError:
        """Count bad credentials, and return the answer to them (401 or 429)."""
        address = self._address(request)
        if wait := self.attempts.left_in(address):
            return too_many(wait)
        self.attempts.failed(address)
        return api_error(401, detail, {hdrs.WWW_AUTHENTICATE: f'{_REALM}, error="invalid_token"'})

    def check(self, request: web.Request, client_id: str, secret: str) -> None:
        """Check before a look-up that the address has attempts left. Raises ApiError (429).

        A client that has logged in to this process within the hour is exempt.
        """
        known = self._clients.get(client_id)
        if known is not None and self._clock() - known.looked_up < KNOWN_SECONDS and matches(known.token, secret):
            return
        if wait := self.attempts.left_in(self._address(request)):
            raise too_many(wait)

    def logged_in(self, client: Token, bearer: Token) -> None:
        """Exempt a client that has logged in, and its new bearer token, from the limit of their address."""
        now = self._clock()
        _remember(self._clients, client, now)
        # As if looked up long enough ago that the first use is looked up again.
        _remember(self._known, bearer, now - FRESH_SECONDS)

    def _address(self, request: web.Request) -> str:
        return address_of(request, self._proxies)

    async def _good(self, token_id: str, secret: str, request: web.Request) -> Token | None:
        now = self._clock()
        known = self._known.get(token_id)
        if known is not None and not matches(known.token, secret):
            known = None
        if known is not None and now - known.looked_up < FRESH_SECONDS:
            return known.token
        recent = known is not None and now - known.looked_up < KNOWN_SECONDS
        if not recent and (wait := self.attempts.left_in(self._address(request))):
            raise too_many(wait)
        token = await self._tokens.get(token_id)
        # A client's secret is not a bearer token; it is exchanged for one at /oauth/access_token.
        if (
            token is None
            or not (token.kind in BEARING or token.kind is TokenKind.OPERATOR)
            or not matches(token, secret)
        ):
            if known is not None:
                # It was valid and was revoked. A wrong guess at its secret does not come to this line.
                self._known.pop(token_id, None)
            return None
        _remember(self._known, token, now)
        self.note_use(token)
        return token

    def note_use(self, token: Token) -> None:
        """Note that a token is in use, once a minute; what comes from another token counts for that one.

        No request waits for it, and a ledger that takes no writes refuses nobody.
        """
        used, now = token.parent or token.id, self._clock()
        if now - self._noted.get(used, -USED_SECONDS) < USED_SECONDS:
            return
        self._noted[used] = now
        self._noted.move_to_end(used)
        if len(self._noted) > KNOWN_MOST:
            self._noted.popitem(last=False)
        task = asyncio.create_task(self._note(used))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _note(self, token_id: str) -> None:
        with suppress(LedgerError):
            await self._tokens.note_use(token_id)


def _remember(known: OrderedDict[str, _Known], token: Token, now: float) -> None:
    known[token.id] = _Known(token, now)
    known.move_to_end(token.id)
    if len(known) > KNOWN_MOST:
        known.popitem(last=False)


def address_of(request: web.Request, proxies: Sequence[Network]) -> str:
    """Return the address of a request's caller: the one that our outermost proxy saw (X-Forwarded-For).

    Each proxy appends the address of its own client. Reading from the right, the first address that is not one of our
    proxies is the caller; the caller may have forged everything to the left of it.
    """
    address = request.remote or ""
    if not proxies:
        return address
    lines = request.headers.getall(hdrs.X_FORWARDED_FOR, ())[-HOPS_MOST:]
    hops = [hop for line in lines for hop in line.rsplit(",", HOPS_MOST)[-HOPS_MOST:]][-HOPS_MOST:]
    while hops and _is_among(address, proxies):
        address = _without_port(hops.pop().strip())
    return address


def _is_among(address: str, networks: Sequence[Network]) -> bool:
    found = parsed_address(address)
    return found is not None and any(found in network for network in networks)


def _without_port(hop: str) -> str:
    # Some proxies add the port, which differs for each connection: 192.0.2.1:4711, [2001:db8::1]:4711.
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def too_many(wait: float) -> ApiError:
    """Return the answer to one attempt too many; `wait` in seconds."""
    return retry_later(429, "too many attempts with bad credentials from this address", wait)


def _borne(request: web.Request, *, basic: bool) -> str | None:
    given = request.headers.get(hdrs.AUTHORIZATION, "").strip()
    if found := _BEARER.fullmatch(given):
        return found[1]
    scheme, _, rest = given.partition(" ")
    if basic and scheme.lower() == "basic":
        pair = basic_pair(rest)
        return pair[1] if pair else ""
    # Some of the platform's clients send the token alone.
    return given if read(given) else None


def basic_pair(encoded: str) -> tuple[str, str] | None:
    """Return user and password of Basic authentication (RFC 7617); None if they cannot be decoded."""
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        # Not Base64, not ASCII, or not UTF-8 inside.
        return None
    return (user, password) if colon else None
