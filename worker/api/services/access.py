"""Who calls: bearer tokens, looked up in the ledger, and a limit for those who try with bad ones."""

import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from time import monotonic
from typing import Protocol

from aiohttp import hdrs, web

from config.units import Network
from worker.api.api_errors import ApiError, api_error, retry_later
from worker.domain.api_token import Token, TokenKind, matches, read
from worker.http_server.callers import network_of, parsed_address

#: A token that was found good is not looked up again for so long (seconds): so long a revoked one may live on.
FRESH_SECONDS = 1.0
#: A token that was good within so long (seconds) is not held up by the bad ones of its address: it may share a proxy.
KNOWN_SECONDS = 3_600.0
KNOWN_MOST = 10_000

#: Bad attempts that a network (an IPv4 address, an IPv6 /64) has at once, and seconds until it has one more.
ATTEMPTS = 20
SECONDS_PER_ATTEMPT = 3.0
NETWORKS_MOST = 10_000
#: Hops of X-Forwarded-For that are read, from the right.
HOPS_MOST = 32

_REALM = 'Bearer realm="edw"'


class TokenLookup(Protocol):
    """What is asked of the ledger's tokens."""

    async def get(self, token_id: str) -> Token | None: ...


@dataclass(slots=True)
class _Known:
    token: Token
    looked_up: float


class BadCredentialLimiter:
    """A token bucket of bad attempts for each network of callers."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        #: When the network will have all its attempts again; a network that has them is left out.
        self._full_at: dict[str, float] = {}
        #: The same, the soonest first. An entry that differs from `_full_at` is outdated.
        self._soonest: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Networks that are remembered."""
        return len(self._full_at)

    def left_in(self, address: str) -> float:
        """Return the seconds until the address may try again; 0 where it may now."""
        used = self._full_at.get(network_of(address), 0.0) - self._clock()
        return max(0.0, used - (ATTEMPTS - 1) * SECONDS_PER_ATTEMPT)

    def failed(self, address: str) -> None:
        """Count a bad attempt."""
        network, now = network_of(address), self._clock()
        full_at = max(self._full_at.get(network, 0.0), now) + SECONDS_PER_ATTEMPT
        self._full_at[network] = full_at
        heappush(self._soonest, (full_at, network))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget networks that have all their attempts, then those with the most left.

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
    """Finds out who calls. Of requests through `proxies`, the address is the one that they say."""

    def __init__(
        self, tokens: TokenLookup, clock: Callable[[], float] = monotonic, proxies: Sequence[Network] = ()
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._proxies = proxies
        self._known: OrderedDict[str, _Known] = OrderedDict()
        #: Clients, apart from those who bear a token: a client's secret is none.
        self._clients: OrderedDict[str, _Known] = OrderedDict()
        self.attempts = BadCredentialLimiter(clock)

    async def caller(self, request: web.Request, *, basic: bool = False) -> Token:
        """The token that a request bears. Raises ApiError: 401, or 429 after too many bad ones from its address.

        With `basic`, the token may be the password of Basic authentication, as browsers ask for.
        """
        text = _borne(request, basic=basic)
        if text is None:
            challenge = f'{_REALM}, Basic realm="edw: any user, and a token as the password"' if basic else _REALM
            raise api_error(401, "expected Authorization: Bearer <token>", {hdrs.WWW_AUTHENTICATE: challenge})
        parts = read(text)
        if parts is not None and (token := await self._good(*parts, request)):
            return token
        raise self.refused(request, "the token is not known here, or no more")

    def refused(self, request: web.Request, detail: str) -> ApiError:
        """Counts bad credentials; the answer to them."""
        address = self._address(request)
        if wait := self.attempts.left_in(address):
            return too_many(wait)
        self.attempts.failed(address)
        return api_error(401, detail, {hdrs.WWW_AUTHENTICATE: f'{_REALM}, error="invalid_token"'})

    def check(self, request: web.Request, client_id: str, secret: str) -> None:
        """Raises ApiError (429) where the address has used up its attempts: then nothing is looked up.

        A client that has logged in here within the hour is not held up.
        """
        known = self._clients.get(client_id)
        if known is not None and self._clock() - known.looked_up < KNOWN_SECONDS and matches(known.token, secret):
            return
        if wait := self.attempts.left_in(self._address(request)):
            raise too_many(wait)

    def logged_in(self, client: Token, bearer: Token) -> None:
        """A client was good, and has been given a bearer: neither is held up by others of its address."""
        now = self._clock()
        _remember(self._clients, client, now)
        # The first use is looked up all the same.
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
        # A client's secret is no bearer token: it is exchanged for one.
        if token is None or token.kind is TokenKind.CLIENT or not matches(token, secret):
            if known is not None:
                # It was good, and is no more. Somebody's guess at its secret changes nothing for its bearer.
                self._known.pop(token_id, None)
            return None
        _remember(self._known, token, now)
        return token


def _remember(known: OrderedDict[str, _Known], token: Token, now: float) -> None:
    known[token.id] = _Known(token, now)
    known.move_to_end(token.id)
    if len(known) > KNOWN_MOST:
        known.popitem(last=False)


def address_of(request: web.Request, proxies: Sequence[Network]) -> str:
    """Where a request comes from: through proxies of ours, what the outermost of them saw (X-Forwarded-For).

    Each proxy adds whom it has heard at the right. What stands left of the first stranger is that stranger's own word.
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
    # Some proxies add the port, and each connection has another one: 192.0.2.1:4711, [2001:db8::1]:4711.
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def too_many(wait: float) -> ApiError:
    """The answer to one attempt too many."""
    return retry_later(429, "too many attempts with bad credentials from this address", wait)


def _borne(request: web.Request, *, basic: bool) -> str | None:
    scheme, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic" if basic:
            pair = basic_pair(rest)
            return pair[1] if pair else ""
    return None


def basic_pair(encoded: str) -> tuple[str, str] | None:
    """User and password of Basic authentication (RFC 7617); None where it is none."""
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        # What is no Base64, or no ASCII, or no UTF-8 within.
        return None
    return (user, password) if colon else None
