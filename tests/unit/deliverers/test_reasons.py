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

from deliverers.egress import AddressNotAllowed
from deliverers.reasons import WORDS, AttemptedConnection, Phase, reason

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
            "connection refused by shop.example:443 (198.51.100.7)",
        ),
        (
            dialled(OSError(errno.EHOSTUNREACH, CALL_FAILED.format("198.51.100.7"))),
            "no route to shop.example:443 (198.51.100.7)",
        ),
        (
            dialled(
                OSError(
                    "Multiple exceptions: [Errno 111] Connect call failed ('198.51.100.7', 443), "
                    "[Errno 101] Connect call failed ('2001:db8::1', 443, 0, 0)"
                )
            ),
            "connection refused by shop.example:443 (198.51.100.7); "
            "no route to the network of shop.example:443 (2001:db8::1)",
        ),
        (dialled(AddressNotAllowed("10.0.0.1", "private network")), "address not allowed: 10.0.0.1 (private network)"),
        (
            dialled(
                OSError(
                    "Multiple exceptions: address not allowed: 10.0.0.1 (private network), "
                    "[Errno 111] Connect call failed ('198.51.100.7', 443)"
                )
            ),
            "address not allowed: 10.0.0.1 (private network)",
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
def test_a_failure_is_told_in_words(error: BaseException, words: str) -> None:
    assert reason(error, TRIED) == words


def test_an_exception_that_is_new_is_spoken_of_as_its_base_class() -> None:
    class NewError(aiohttp.ServerDisconnectedError):
        pass

    assert reason(NewError(), TRIED) == "connection closed by the receiver before it answered"


def test_an_ipv6_host_is_bracketed() -> None:
    assert AttemptedConnection("2001:db8::1", 443, 10.0, Phase.WAITING).peer == "[2001:db8::1]:443"
