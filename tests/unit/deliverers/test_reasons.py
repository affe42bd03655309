from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiodns.error
import aiohttp
import pytest
from aiohttp import client_exceptions as foreign
from hypothesis import given
from hypothesis import strategies as st

from deliverers.egress import AddressNotAllowed
from deliverers.reasons import WORDS, AttemptedConnection, Phase, detail, reason, refused

TRIED = AttemptedConnection("shop.example", 443, 10.0, Phase.WAITING)
KEY: Any = SimpleNamespace(host="shop.example", port=443, is_ssl=True, ssl=True)


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


@pytest.mark.parametrize(
    "kind", sorted({one for one in subclasses(aiohttp.ClientError) if one.__module__.startswith("aiohttp")}, key=repr)
)
def test_every_exception_of_aiohttp_is_mapped_explicitly(kind: type[BaseException]) -> None:
    assert kind in WORDS


def dialled(error: OSError) -> foreign.ClientConnectorError:
    return foreign.ClientConnectorError(KEY, error)


def unresolved(code: int) -> foreign.ClientConnectorDNSError:
    error = OSError(None, "DNS")
    error.__cause__ = aiodns.error.DNSError(code, "DNS")
    return foreign.ClientConnectorDNSError(KEY, error)


CALL_FAILED = "Connect call failed ('{}', 443)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer within 10 s (connected, waiting for it)"),
        (foreign.ConnectionTimeoutError("x"), "no answer within 10 s (connecting to shop.example:443)"),
        (
            dialled(ConnectionRefusedError(errno.ECONNREFUSED, CALL_FAILED.format("198.51.100.7"))),
            "connection refused by shop.example:443",
        ),
        (
            dialled(OSError(errno.EHOSTUNREACH, CALL_FAILED.format("198.51.100.7"))),
            "no route to shop.example:443",
        ),
        (
            dialled(
                OSError(
                    "Multiple exceptions: [Errno 111] Connect call failed ('198.51.100.7', 443), "
                    "[Errno 101] Connect call failed ('2001:db8::1', 443, 0, 0)"
                )
            ),
            "connection refused by shop.example:443; no route to the network of shop.example:443",
        ),
        (
            dialled(AddressNotAllowed("10.0.0.1", "private network")),
            "address not allowed: shop.example (private network)",
        ),
        (
            dialled(AddressNotAllowed("64:ff9b::a00:1", "10.0.0.1, private network")),
            "address not allowed: shop.example (private network)",
        ),
        (
            foreign.ClientProxyConnectionError(
                KEY, ConnectionRefusedError(errno.ECONNREFUSED, CALL_FAILED.format("10.9.8.7"))
            ),
            "the egress proxy cannot be reached",
        ),
        (
            dialled(
                OSError(
                    "Multiple exceptions: address not allowed: 10.0.0.1 (private network), "
                    "[Errno 111] Connect call failed ('198.51.100.7', 443)"
                )
            ),
            "address not allowed: shop.example (private network)",
        ),
        (dialled(OSError(errno.EMFILE, "x")), "this worker may open no more files (raise its limit)"),
        (dialled(OSError()), "connection to shop.example:443 failed while connecting"),
        (unresolved(aiodns.error.ARES_ENOTFOUND), "host name shop.example does not resolve"),
        (unresolved(-1), "host name shop.example does not resolve"),
        (
            unresolved(aiodns.error.ARES_ETIMEOUT),
            "host name shop.example does not resolve (no name server answered in time)",
        ),
        (foreign.ServerDisconnectedError(), "connection closed by the receiver before it answered"),
        (
            foreign.ClientOSError(errno.ECONNRESET, "x"),
            "connection reset by shop.example:443 while waiting for the answer",
        ),
        (
            foreign.ClientConnectorSSLError(KEY, ssl.SSLError(1, "x")),
            "TLS handshake failed",
        ),
        (
            foreign.InvalidUrlClientError("https://shop.example/?token=t0p"),
            "the URL cannot be called (its host is shop.example)",
        ),
        (RuntimeError("t0p"), "failed while waiting for the answer"),
    ],
)
def test_a_failure_is_reported_in_words(error: BaseException, words: str) -> None:
    assert reason(error, TRIED) == words


def test_an_exception_that_is_new_is_spoken_of_as_its_base_class() -> None:
    class NewError(aiohttp.ServerDisconnectedError):
        pass

    assert reason(NewError(), TRIED) == "connection closed by the receiver before it answered"


def test_an_ipv6_host_is_bracketed() -> None:
    assert AttemptedConnection("2001:db8::1", 443, 10.0, Phase.WAITING).peer == "[2001:db8::1]:443"


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_an_address_that_was_written_as_a_literal_is_named(host: str) -> None:
    error = dialled(AddressNotAllowed(host, "private network"))
    assert (
        reason(error, AttemptedConnection(host, 443, 10.0, Phase.WAITING))
        == f"address not allowed: {host} (private network)"
    )


#: Whatever a name resolves to.
INSIDE = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
NUMBERS = st.sampled_from([None, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL, 9999])


@given(st.lists(st.tuples(NUMBERS, INSIDE, st.booleans()), min_size=1, max_size=4), st.sampled_from(list(Phase)))
def test_no_address_of_a_name_is_in_the_words_and_each_is_in_the_detail(
    found: list[tuple[int | None, str, bool]], phase: Phase
) -> None:
    texts = []
    for number, address, forbidden in found:
        failed = f"Connect call failed ('{address}', 443)"
        text = f"[Errno {number}] {failed}" if number else failed
        texts.append(f"address not allowed: {address} ({address}, private network)" if forbidden else text)
    joined = f"Multiple exceptions: {', '.join(texts)}"
    for kind in (foreign.ClientConnectorError, foreign.ClientProxyConnectionError):
        error = kind(KEY, OSError(joined))
        words = reason(error, AttemptedConnection("private.test", 443, 10.0, phase))
        # The shortest addresses, such as `::`, are in any text.
        assert not [address for _, address, _ in found if len(address) > 4 and address in words]
        assert all(address in detail(error) for _, address, _ in found)


def test_a_host_of_the_deployment_is_called_by_its_alias() -> None:
    ours = AttemptedConnection("10.0.0.9", 4566, 10.0, Phase.CONNECTING, "the SQS endpoint of this deployment")
    for error in (
        dialled(ConnectionRefusedError(errno.ECONNREFUSED, CALL_FAILED.format("10.0.0.9"))),
        dialled(AddressNotAllowed("10.0.0.9", "private network")),
        unresolved(aiodns.error.ARES_ENOTFOUND),
        TimeoutError(),
        foreign.ServerTimeoutError(),
        ssl.SSLError(1, "x"),
        ConnectionResetError(errno.ECONNRESET, "x"),
    ):
        assert "10.0.0.9" not in reason(error, ours)
        assert "4566" not in reason(error, ours)


def test_a_refusal_without_an_address_stays_as_it_is() -> None:
    assert refused("scheme not allowed: http (only https)", TRIED) == "scheme not allowed: http (only https)"
