"""Failures in the words of their owners: nothing of an exception's own text, and no address of a name."""

from __future__ import annotations

import errno
import ssl

import aiodns.error
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverers.egress import AddressNotAllowed
from deliverers.reasons import AttemptedConnection, Phase, detail, dial_reason, reason, refused, unresolved

TRIED = AttemptedConnection("shop.example", 443, 10.0, Phase.WAITING)
CONNECTING = AttemptedConnection("shop.example", 443, 10.0, Phase.CONNECTING)


def tls(said: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = said
    return error


@pytest.mark.parametrize(
    ("error", "tried", "words"),
    [
        (TimeoutError(), TRIED, "no answer within 10 s (connected, waiting for it)"),
        (TimeoutError(), CONNECTING, "no answer within 10 s (connecting to shop.example:443)"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "('198.51.100.7', 443)"),
            CONNECTING,
            "connection refused by shop.example:443",
        ),
        (OSError(errno.EHOSTUNREACH, "x"), CONNECTING, "no route to shop.example:443"),
        (
            AddressNotAllowed("10.0.0.1", "private network"),
            CONNECTING,
            "address not allowed: shop.example (private network)",
        ),
        (
            AddressNotAllowed("64:ff9b::a00:1", "10.0.0.1, private network"),
            CONNECTING,
            "address not allowed: shop.example (private network)",
        ),
        (OSError(errno.EMFILE, "x"), CONNECTING, "this worker may open no more files (raise its limit)"),
        (OSError(), CONNECTING, "connection to shop.example:443 failed while connecting"),
        (
            ConnectionResetError(errno.ECONNRESET, "x"),
            TRIED,
            "connection reset by shop.example:443 while waiting for the answer",
        ),
        (ConnectionResetError(), CONNECTING, "connection closed by shop.example:443 during the TLS handshake"),
        (ssl.SSLError(1, "x"), CONNECTING, "TLS handshake failed"),
        (tls("NO_PROTOCOLS_AVAILABLE"), CONNECTING, "TLS handshake failed (no protocols available)"),
        (
            tls("WRONG_VERSION_NUMBER"),
            CONNECTING,
            "shop.example:443 does not speak TLS (is its URL http rather than https?)",
        ),
        (UnicodeError("label t0p too long"), CONNECTING, "the URL cannot be called (its host is shop.example)"),
        (RuntimeError("t0p"), TRIED, "failed while waiting for the answer"),
    ],
)
def test_a_failure_is_reported_in_words(error: BaseException, tried: AttemptedConnection, words: str) -> None:
    assert reason(error, tried) == words


def test_an_exception_that_is_new_is_spoken_of_as_its_base_class() -> None:
    class NewError(ConnectionRefusedError):
        pass

    assert reason(NewError(errno.ECONNREFUSED, "x"), TRIED) == "connection refused by shop.example:443"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (aiodns.error.ARES_ENOTFOUND, "does not resolve"),
        (-1, "does not resolve"),
        (aiodns.error.ARES_ETIMEOUT, "does not resolve (no name server answered in time)"),
    ],
)
def test_a_name_without_an_address(code: int, words: str) -> None:
    error = OSError(None, "DNS")
    error.__cause__ = aiodns.error.DNSError(code, "DNS")
    assert unresolved(error, "shop.example") == f"host name shop.example {words}"


def test_an_ipv6_host_is_bracketed() -> None:
    assert AttemptedConnection("2001:db8::1", 443, 10.0, Phase.WAITING).peer == "[2001:db8::1]:443"


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_an_address_that_was_written_as_a_literal_is_named(host: str) -> None:
    error = AddressNotAllowed(host, "private network")
    literal = AttemptedConnection(host, 443, 10.0, Phase.WAITING)
    assert reason(error, literal) == f"address not allowed: {host} (private network)"


#: Whatever a name resolves to.
INSIDE = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
NUMBERS = st.sampled_from([None, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL, 9999])


@given(st.lists(NUMBERS, min_size=1, max_size=4), INSIDE, st.sampled_from(list(Phase)))
def test_no_address_of_a_name_is_in_the_words(numbers: list[int | None], address: str, phase: Phase) -> None:
    private = AttemptedConnection("private.test", 443, 10.0, phase)
    forbidden = AddressNotAllowed(address, f"{address}, private network")
    found = [
        dial_reason(numbers, private),
        reason(forbidden, private),
        *(reason(OSError(number, f"('{address}', 443)"), private) for number in numbers),
    ]
    # The shortest addresses, such as `::`, are in any text.
    assert len(address) <= 4 or not [words for words in found if address in words]
    assert address in detail(forbidden)


def test_a_host_of_the_deployment_is_called_by_its_alias() -> None:
    ours = AttemptedConnection("10.0.0.9", 4566, 10.0, Phase.CONNECTING, "the SQS endpoint of this deployment")
    for error in (
        ConnectionRefusedError(errno.ECONNREFUSED, "('10.0.0.9', 4566)"),
        AddressNotAllowed("10.0.0.9", "private network"),
        TimeoutError(),
        ssl.SSLError(1, "x"),
        ConnectionResetError(errno.ECONNRESET, "x"),
    ):
        assert "10.0.0.9" not in reason(error, ours)
        assert "4566" not in reason(error, ours)


def test_a_refusal_without_an_address_stays_as_it_is() -> None:
    assert refused("scheme not allowed: http (only https)", TRIED) == "scheme not allowed: http (only https)"
