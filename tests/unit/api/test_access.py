"""Who calls, and for how long somebody may guess; with a clock of the tests' own."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from config.units import networks
from worker.api.api_errors import ApiError
from worker.api.services import access as access_module
from worker.api.services.access import (
    ATTEMPTS,
    FRESH_SECONDS,
    HOPS_MOST,
    KNOWN_SECONDS,
    SECONDS_PER_ATTEMPT,
    Access,
    BadCredentialLimiter,
    address_of,
    basic_pair,
)
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Scope
from worker.ledger import LedgerFull

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
BAD = written("0" * 16, "A" * 43)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Ledger:
    """Tokens, and how often they were looked up."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {}
        self.looked_up = 0
        #: Ids of tokens whose use was noted; `full` refuses it.
        self.noted: list[str] = []
        self.full = False
        #: Called while an answer is on its way.
        self.meanwhile: Callable[[], None] = lambda: None

    def make(self, kind: TokenKind = TokenKind.TOKEN) -> str:
        """A new token, as its bearer writes it."""
        token_id, secret = new_id(), make_secret()
        self.tokens[token_id] = Token(token_id, kind, Role.ADMIN, Scope("org-1", "store-1"), digest=digest_of(secret))
        return written(token_id, secret)

    def revoke(self, token: str) -> None:
        del self.tokens[token.split("_")[1]]

    async def get(self, token_id: str) -> Token | None:
        self.looked_up += 1
        found = self.tokens.get(token_id)
        self.meanwhile()
        return found

    async def note_use(self, token_id: str) -> None:
        if self.full:
            raise LedgerFull("Redis is full")
        self.noted.append(token_id)


@dataclass
class Request:
    """What is looked at of a request."""

    remote: str | None
    headers: dict[str, str] = field(default_factory=dict)


def request(token: str | None, address: str | None = HERE, scheme: str = "Bearer") -> web.Request:
    headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
    return cast(web.Request, Request(address, headers))


def written_as(header: str) -> web.Request:
    """A request whose Authorization is as written."""
    return cast(web.Request, Request(HERE, {"Authorization": header}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def access(ledger: Ledger, clock: Clock) -> Access:
    return Access(ledger, clock)


async def done() -> None:
    """Let the loop finish what requests do not wait for."""
    await asyncio.sleep(0)


async def test_the_use_of_a_token_is_noted_once_a_minute(access: Access, ledger: Ledger, clock: Clock) -> None:
    token = ledger.make()
    token_id = token.split("_")[1]
    for _ in range(5):
        await access.caller(request(token))
        clock.passes(FRESH_SECONDS + 1)
        await done()
    assert ledger.noted == [token_id]
    clock.passes(60)
    await access.caller(request(token))
    await done()
    assert ledger.noted == [token_id, token_id]


async def test_the_use_of_a_bearer_or_a_session_is_its_clients_or_tokens(access: Access, ledger: Ledger) -> None:
    bearer = ledger.make(TokenKind.BEARER)
    found = ledger.tokens[bearer.split("_")[1]]
    ledger.tokens[found.id] = replace(found, parent="c" * 16)
    await access.caller(request(bearer))
    access.note_use(replace(found, id="d" * 16, parent="e" * 16))
    await done()
    assert ledger.noted == ["c" * 16, "e" * 16]


async def test_bad_tokens_are_not_noted_and_a_full_ledger_refuses_nobody(access: Access, ledger: Ledger) -> None:
    await refused(access, request(BAD))
    await done()
    assert ledger.noted == []
    ledger.full = True
    assert (await access.caller(request(ledger.make()))).role is Role.ADMIN
    await done()


async def refused(access: Access, call: web.Request, *, basic: bool = False) -> ApiError:
    with pytest.raises(ApiError) as error:
        await access.caller(call, basic=basic)
    return error.value


async def use_up(access: Access, address: str = HERE) -> None:
    for _ in range(ATTEMPTS):
        assert (await refused(access, request(BAD, address))).status == 401


class TestAttempts:
    def test_an_address_has_so_many_and_then_waits_for_each_further_one(self, clock: Clock) -> None:
        attempts = BadCredentialLimiter(clock)
        for _ in range(ATTEMPTS):
            assert attempts.left_in(HERE) == 0
            attempts.failed(HERE)

        assert attempts.left_in(HERE) == SECONDS_PER_ATTEMPT
        clock.passes(SECONDS_PER_ATTEMPT / 2)
        assert attempts.left_in(HERE) == SECONDS_PER_ATTEMPT / 2
        clock.passes(SECONDS_PER_ATTEMPT / 2)
        assert attempts.left_in(HERE) == 0
        attempts.failed(HERE)
        assert attempts.left_in(HERE) == SECONDS_PER_ATTEMPT

    def test_who_waits_long_enough_has_all_of_them_again_and_no_more(self, clock: Clock) -> None:
        attempts = BadCredentialLimiter(clock)
        for _ in range(ATTEMPTS):
            attempts.failed(HERE)
        clock.passes(100 * ATTEMPTS * SECONDS_PER_ATTEMPT)

        for _ in range(ATTEMPTS):
            assert attempts.left_in(HERE) == 0
            attempts.failed(HERE)
        assert attempts.left_in(HERE) > 0

    def test_other_addresses_have_their_own(self, clock: Clock) -> None:
        attempts = BadCredentialLimiter(clock)
        for _ in range(ATTEMPTS):
            attempts.failed(HERE)

        assert attempts.left_in(ELSEWHERE) == 0

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:fffe"),
            ("2001:DB8:1:2::1", "2001:0db8:0001:0002::2"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("::ffff:192.0.2.1", "::ffff:c000:201"),
            ("fe80::1%eth0", "fe80::2%eth1"),
            ("192.0.2.1%eth0", "192.0.2.1"),
            ("unknown", "_hidden"),
            ("", "192.0.2.1.5"),
            ("é", "x" * 10_000),
        ],
    )
    def test_addresses_that_one_caller_can_choose_from_share_their_attempts(
        self, clock: Clock, first: str, second: str
    ) -> None:
        attempts = BadCredentialLimiter(clock)
        for number in range(ATTEMPTS):
            attempts.failed((first, second)[number % 2])

        assert attempts.left_in(first) > 0
        assert attempts.left_in(second) > 0
        assert len(attempts) == 1

    @pytest.mark.parametrize(
        ("first", "second"),
        [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.2"), ("::1", "127.0.0.1")],
    )
    def test_other_networks_have_their_own(self, clock: Clock, first: str, second: str) -> None:
        attempts = BadCredentialLimiter(clock)
        for _ in range(ATTEMPTS):
            attempts.failed(first)

        assert attempts.left_in(second) == 0

    def test_so_many_networks_are_remembered_at_most_and_none_of_them_loses_its_limit_to_newcomers(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access_module, "NETWORKS_MOST", 3)
        attempts = BadCredentialLimiter(clock)
        for _ in range(ATTEMPTS):
            attempts.failed(HERE)

        for number in range(200):
            attempts.failed(f"198.51.100.{number}")

        assert attempts.left_in(HERE) > 0
        assert len(attempts) == 3

    def test_networks_that_have_all_their_attempts_are_forgotten(self, clock: Clock) -> None:
        attempts = BadCredentialLimiter(clock)
        for number in range(100):
            attempts.failed(f"198.51.100.{number}")
        clock.passes(SECONDS_PER_ATTEMPT)

        attempts.failed(HERE)

        assert len(attempts) == 1


class TestBearers:
    async def test_a_good_token_is_its_caller(self, access: Access, ledger: Ledger) -> None:
        token = ledger.make()

        assert (await access.caller(request(token))).id == token.split("_")[1]
        assert (await access.caller(request(token, scheme="bearer"))).role is Role.ADMIN
        assert (await access.caller(request(f" {token} "))).scope == Scope("org-1", "store-1")

    @pytest.mark.parametrize(
        "header",
        ["Bearer: {}", "bearer:{}", "BEARER : {}", "Bearer:\t{}", "Bearer\t{}", "Bearer   {}", "{}", " {} "],
    )
    async def test_it_is_taken_as_the_platforms_clients_write_it(
        self, access: Access, ledger: Ledger, header: str
    ) -> None:
        token = ledger.make()

        assert (await access.caller(written_as(header.format(token)))).id == token.split("_")[1]

    @pytest.mark.parametrize("header", ["Bearer: {}", "{}", "bearer:{}"])
    async def test_a_bad_one_is_a_bad_attempt_however_it_is_written(self, access: Access, header: str) -> None:
        for _ in range(ATTEMPTS):
            assert (await refused(access, written_as(header.format(BAD)))).status == 401
        assert (await refused(access, written_as(header.format(BAD)))).status == 429

    @pytest.mark.parametrize(
        "header", ["Token {}", "Bearers {}", "BearerX{}", "{} {}", "{},{}", "Digest {}", "Basic {}"]
    )
    async def test_other_schemes_are_none(self, access: Access, ledger: Ledger, header: str) -> None:
        token = ledger.make()

        assert (await refused(access, written_as(header.format(token, token)))).status == 401
        assert ledger.looked_up == 0

    async def test_without_one_there_is_a_challenge_and_no_attempt_is_spent(
        self, access: Access, ledger: Ledger
    ) -> None:
        for _ in range(ATTEMPTS + 1):
            error = await refused(access, request(None))
            assert (error.status, error.headers["WWW-Authenticate"]) == (401, 'Bearer realm="edw"')
        assert ledger.looked_up == 0

    async def test_a_bad_one_is_reported(self, access: Access) -> None:
        error = await refused(access, request(BAD))

        assert error.status == 401
        assert error.headers["WWW-Authenticate"] == 'Bearer realm="edw", error="invalid_token"'

    @pytest.mark.parametrize("text", ["", "x", "edw_", "é" * 70, "A" * 100_000])
    async def test_what_is_no_token_is_not_looked_up(self, access: Access, ledger: Ledger, text: str) -> None:
        assert (await refused(access, request(text))).status == 401
        assert ledger.looked_up == 0

    async def test_another_tokens_secret_does_not_do(self, access: Access, ledger: Ledger) -> None:
        one, other = ledger.make(), ledger.make()

        mixed = written(one.split("_")[1], other.split("_", 2)[2])

        assert (await refused(access, request(mixed))).status == 401

    async def test_a_clients_secret_is_no_bearer(self, access: Access, ledger: Ledger) -> None:
        client = ledger.make(TokenKind.CLIENT)

        assert (await refused(access, request(client))).status == 401

    async def test_a_bearer_of_a_client_is_one(self, access: Access, ledger: Ledger) -> None:
        assert (await access.caller(request(ledger.make(TokenKind.BEARER)))).kind is TokenKind.BEARER

    async def test_basic_is_taken_where_a_browser_may_ask_and_nowhere_else(
        self, access: Access, ledger: Ledger
    ) -> None:
        pair = b64encode(f"any:{ledger.make()}".encode()).decode()

        assert (await refused(access, request(pair, scheme="Basic"))).status == 401
        assert (await access.caller(request(pair, scheme="Basic"), basic=True)).role is Role.ADMIN

    async def test_a_browser_is_asked_for_a_password(self, access: Access) -> None:
        assert "Basic realm=" in (await refused(access, request(None), basic=True)).headers["WWW-Authenticate"]

    @pytest.mark.parametrize(
        "pair", ["", "%", "é", "\udcff", b64encode(b"no colon").decode(), b64encode(b"\xff:\xfe").decode()]
    )
    async def test_a_pair_that_is_none_is_a_bad_attempt(self, access: Access, pair: str) -> None:
        assert basic_pair(pair) is None
        assert (await refused(access, request(pair, scheme="Basic"), basic=True)).status == 401


class TestFreshness:
    async def test_within_a_second_a_token_is_looked_up_once(
        self, access: Access, ledger: Ledger, clock: Clock
    ) -> None:
        token = ledger.make()
        for _ in range(5):
            await access.caller(request(token))
        assert ledger.looked_up == 1

        clock.passes(FRESH_SECONDS)
        await access.caller(request(token))

        assert ledger.looked_up == 2

    async def test_a_revoked_one_is_refused_after_that(self, access: Access, ledger: Ledger, clock: Clock) -> None:
        token = ledger.make()
        await access.caller(request(token))
        ledger.revoke(token)

        clock.passes(FRESH_SECONDS - 0.01)
        await access.caller(request(token))
        clock.passes(0.01)
        assert (await refused(access, request(token))).status == 401

    async def test_one_that_is_revoked_during_a_slow_look_up_is_refused_a_second_after_that(
        self, access: Access, ledger: Ledger, clock: Clock
    ) -> None:
        token = ledger.make()

        def revoked_meanwhile() -> None:
            ledger.revoke(token)
            clock.passes(FRESH_SECONDS - 0.01)

        ledger.meanwhile = revoked_meanwhile
        await access.caller(request(token))
        ledger.meanwhile = lambda: None
        clock.passes(0.01)

        assert (await refused(access, request(token))).status == 401

    async def test_a_changed_one_is_what_it_is_now(self, access: Access, ledger: Ledger, clock: Clock) -> None:
        token = ledger.make()
        await access.caller(request(token))
        token_id = token.split("_")[1]
        ledger.tokens[token_id] = replace(ledger.tokens[token_id], role=Role.READ)

        clock.passes(FRESH_SECONDS)

        assert (await access.caller(request(token))).role is Role.READ

    async def test_so_many_are_remembered_at_most(
        self, access: Access, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access_module, "KNOWN_MOST", 2)
        tokens = [ledger.make() for _ in range(3)]
        for token in tokens:
            await access.caller(request(token))
        assert ledger.looked_up == 3

        await access.caller(request(tokens[2]))
        assert ledger.looked_up == 3
        await access.caller(request(tokens[0]))
        assert ledger.looked_up == 4


class TestGuessing:
    async def test_after_too_many_bad_ones_nothing_is_looked_up(self, access: Access, ledger: Ledger) -> None:
        await use_up(access)
        looked_up = ledger.looked_up

        error = await refused(access, request(BAD))

        assert (error.status, error.headers["Retry-After"]) == (429, str(int(SECONDS_PER_ATTEMPT)))
        assert "WWW-Authenticate" not in error.headers
        assert ledger.looked_up == looked_up

    async def test_other_addresses_go_on(self, access: Access) -> None:
        await use_up(access)

        assert (await refused(access, request(BAD, ELSEWHERE))).status == 401

    async def test_an_unknown_good_token_waits_with_its_address(
        self, access: Access, ledger: Ledger, clock: Clock
    ) -> None:
        await use_up(access)
        token = ledger.make()

        assert (await refused(access, request(token))).status == 429
        clock.passes(SECONDS_PER_ATTEMPT)
        await access.caller(request(token))

    @pytest.mark.parametrize("later", [0.0, FRESH_SECONDS, KNOWN_SECONDS - 0.01])
    async def test_one_that_was_good_within_the_hour_is_not_held_up(
        self, access: Access, ledger: Ledger, clock: Clock, later: float
    ) -> None:
        token = ledger.make()
        await access.caller(request(token))
        clock.passes(later)
        await use_up(access)

        await access.caller(request(token))

    async def test_one_that_was_good_longer_ago_is(self, access: Access, ledger: Ledger, clock: Clock) -> None:
        token = ledger.make()
        await access.caller(request(token))
        clock.passes(KNOWN_SECONDS)
        await use_up(access)

        assert (await refused(access, request(token))).status == 429

    async def test_guesses_at_its_secret_do_not_make_it_unknown(self, access: Access, ledger: Ledger) -> None:
        token = ledger.make()
        await access.caller(request(token))

        for _ in range(ATTEMPTS):
            assert (await refused(access, request(written(token.split("_")[1], make_secret())))).status == 401

        await access.caller(request(token))

    async def test_no_guess_is_good_because_the_id_was_known(
        self, access: Access, ledger: Ledger, clock: Clock
    ) -> None:
        token = ledger.make()
        await access.caller(request(token))
        await use_up(access)

        assert (await refused(access, request(written(token.split("_")[1], make_secret())))).status == 429

    async def test_a_socket_without_an_address_is_one_address(self, access: Access) -> None:
        for _ in range(ATTEMPTS):
            assert (await refused(access, request(BAD, None))).status == 401
        assert (await refused(access, request(BAD, None))).status == 429

    async def test_a_client_that_has_logged_in_is_not_held_up_and_neither_is_its_bearer(
        self, access: Access, ledger: Ledger
    ) -> None:
        client, bearer = ledger.make(TokenKind.CLIENT), ledger.make(TokenKind.BEARER)
        (_, client_id, secret), bearer_id = client.split("_", 2), bearer.split("_")[1]
        access.logged_in(ledger.tokens[client_id], ledger.tokens[bearer_id])
        await use_up(access)

        access.check(request(None), client_id, secret)
        await access.caller(request(bearer))
        for stranger, its_secret in ((client_id, make_secret()), (new_id(), secret)):
            with pytest.raises(ApiError) as error:
                access.check(request(None), stranger, its_secret)
            assert error.value.status == 429
        assert (await refused(access, request(client))).status == 429, "a client's secret is no bearer token"

    async def test_a_client_that_logged_in_longer_ago_is(self, access: Access, ledger: Ledger, clock: Clock) -> None:
        _, client_id, secret = ledger.make(TokenKind.CLIENT).split("_", 2)
        bearer_id = ledger.make(TokenKind.BEARER).split("_")[1]
        access.logged_in(ledger.tokens[client_id], ledger.tokens[bearer_id])
        clock.passes(KNOWN_SECONDS)
        await use_up(access)

        with pytest.raises(ApiError):
            access.check(request(None), client_id, secret)

    async def test_a_bearer_that_was_issued_and_revoked_at_once_is_refused(
        self, access: Access, ledger: Ledger
    ) -> None:
        client, bearer = ledger.make(TokenKind.CLIENT), ledger.make(TokenKind.BEARER)
        access.logged_in(ledger.tokens[client.split("_")[1]], ledger.tokens[bearer.split("_")[1]])
        ledger.revoke(bearer)

        assert (await refused(access, request(bearer))).status == 401


def through(address: str, *hops: str) -> web.Request:
    headers = CIMultiDict([("Authorization", f"Bearer {BAD}"), *(("X-Forwarded-For", hop) for hop in hops)])
    return cast(web.Request, Request(address, cast(dict[str, str], headers)))


class TestThroughProxies:
    PROXIES = networks("10.0.0.0/24 fd00::/64")

    @pytest.mark.parametrize(
        ("peer", "hops", "address"),
        [
            ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
            ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
            # What a caller says of itself counts for nothing, however many lines of it there are.
            ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
            ("203.0.113.9", ["10.0.0.1"], "203.0.113.9"),
            # A port would make another address of each connection.
            ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", ["unknown"], "unknown"),
            ("10.0.0.1", [""], ""),
        ],
    )
    def test_it_is_the_first_stranger_from_the_right(self, peer: str, hops: list[str], address: str) -> None:
        assert address_of(through(peer, *hops), self.PROXIES) == address

    def test_only_the_last_hops_are_read(self) -> None:
        for hops in (["203.0.113.9" + ", 10.0.0.2" * HOPS_MOST], ["203.0.113.9", *["10.0.0.2"] * HOPS_MOST]):
            assert address_of(through("10.0.0.1", *hops), self.PROXIES) == "10.0.0.2"

    async def test_who_guesses_from_one_network_through_a_proxy_is_held_up(self, ledger: Ledger, clock: Clock) -> None:
        access = Access(ledger, clock, self.PROXIES)
        for number in range(ATTEMPTS):
            assert (await refused(access, through("10.0.0.1", f"2001:db8::{number}"))).status == 401

        assert (await refused(access, through("fd00::1", "[2001:db8::ffff]:4711"))).status == 429

    async def test_hops_that_are_no_addresses_are_one_caller(self, ledger: Ledger, clock: Clock) -> None:
        access = Access(ledger, clock, self.PROXIES)
        for number in range(ATTEMPTS):
            assert (await refused(access, through("10.0.0.1", f"{number:x} garbage"))).status == 401

        assert (await refused(access, through("10.0.0.1", "more of it"))).status == 429

    def test_without_proxies_the_header_counts_for_nothing(self) -> None:
        assert address_of(through("10.0.0.1", "203.0.113.9"), ()) == "10.0.0.1"

    async def test_who_guesses_through_a_proxy_holds_up_nobody_else(self, ledger: Ledger, clock: Clock) -> None:
        access = Access(ledger, clock, self.PROXIES)
        for _ in range(ATTEMPTS):
            assert (await refused(access, through("10.0.0.1", "203.0.113.9"))).status == 401

        assert (await refused(access, through("10.0.0.1", "203.0.113.9"))).status == 429
        assert (await refused(access, through("10.0.0.1", "198.51.100.1"))).status == 401
