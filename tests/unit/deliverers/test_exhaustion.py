"""Which failures are a lack of ours: by their numbers, wherever in a chain they are, and by the real thing."""

import asyncio
import errno
import socket
import ssl
from typing import Any

import aiodns.error
import pytest
from aiohttp import ClientConnectorError, web
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.test_utils import TestServer

from deliverers import egress, sockets
from deliverers.contract import Delivered, DelivererOptions, Outcome, Resource, Unreachable
from deliverers.exhaustion import exhausted, not_attempted, note_unread_authorities
from deliverers.sockets import DiallingSocket
from deliverers.testing import LOOPBACK, a_delivery, no_descriptors
from deliverers.webhook import WebhookDeliverer
from tests.counterparts.ports import free_port

KEY = ConnectionKey("shop.example", 443, True, True, None, None, None)
LACKS = {
    OSError(errno.EMFILE, "Too many open files"): Resource.FILES,
    OSError(errno.ENFILE, "Too many open files in system"): Resource.FILES,
    OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"): Resource.PORTS,
    OSError(errno.ENOBUFS, "No buffer space available"): Resource.MEMORY,
    OSError(errno.ENOMEM, "Cannot allocate memory"): Resource.MEMORY,
    MemoryError(): Resource.MEMORY,
    RuntimeError("can't start new thread"): Resource.THREADS,
    socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"): Resource.MEMORY,
    aiodns.error.DNSError(aiodns.error.ARES_ENOMEM, "Out of memory"): Resource.MEMORY,
    # What aiohttp makes of several addresses.
    OSError("Multiple exceptions: [Errno 24] Too many open files, [Errno 111] Connect call failed"): Resource.FILES,
}
NO_LACKS = (
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] Connect call failed"),
    TimeoutError("timed out"),
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    aiodns.error.DNSError(aiodns.error.ARES_ECONNREFUSED, "Could not contact DNS servers"),
    aiodns.error.DNSError(errno.EMFILE, "an error of c-ares whose number is another table's"),
    ssl.SSLError(errno.EMFILE, "an error of OpenSSL whose number is another table's"),
    RuntimeError("a bug"),
)


@pytest.mark.parametrize(("error", "resource"), LACKS.items(), ids=lambda value: repr(value)[:60])
class TestALack:
    def test_is_found_as_it_is(self, error: Exception, resource: Resource) -> None:
        assert exhausted(error) == not_attempted(resource)
        assert not_attempted(resource).reason

    def test_is_found_behind_what_was_raised_from_it(self, error: Exception, resource: Resource) -> None:
        middle, outer = RuntimeError("raised from it"), ValueError("raised while that was handled")
        middle.__cause__, outer.__context__ = error, middle
        assert exhausted(outer) == not_attempted(resource)

    def test_is_found_in_a_group(self, error: Exception, resource: Resource) -> None:
        assert exhausted(ExceptionGroup("many", [ValueError(), error])) == not_attempted(resource)

    def test_is_found_in_aiohttps_wrapping(self, error: Exception, resource: Resource) -> None:
        if isinstance(error, OSError):
            assert exhausted(ClientConnectorError(KEY, error)) == not_attempted(resource)


@pytest.mark.parametrize("error", NO_LACKS, ids=lambda error: repr(error)[:60])
def test_a_receivers_failure_is_none_of_ours(error: Exception) -> None:
    assert exhausted(error) is None
    assert exhausted(ClientConnectorError(KEY, error) if isinstance(error, OSError) else error) is None


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        aiodns.error.DNSError(aiodns.error.ARES_ECONNREFUSED, "Could not contact DNS servers"),
        aiodns.error.DNSError(aiodns.error.ARES_ENOTFOUND, "Domain name not found"),
    ],
    ids=repr,
)
def test_a_name_that_was_not_found_while_no_file_could_be_opened_is_a_lack(error: Exception) -> None:
    with no_descriptors():
        assert exhausted(error) == not_attempted(Resource.FILES)
    assert exhausted(error) is None


def test_a_certificate_that_was_refused_while_no_authority_could_be_read_is_a_lack() -> None:
    unread, refused = ssl.SSLCertVerificationError(1, "unread"), ssl.SSLCertVerificationError(1, "refused")
    with no_descriptors():
        note_unread_authorities(unread)
    note_unread_authorities(refused)
    assert exhausted(unread) == not_attempted(Resource.FILES)
    assert exhausted(refused) is None


def test_an_original_that_was_put_aside_is_not_looked_at() -> None:
    error = ValueError("another way failed, too")
    error.__cause__ = None
    error.__context__ = OSError(errno.EMFILE, "handled")
    error.__suppress_context__ = True
    assert exhausted(error) is None


def test_a_circle_of_causes_has_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert exhausted(first) is None


class OnePort(DiallingSocket):
    """A socket that may dial from one port only: the kernel refuses the second connection to one peer."""

    port: int

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.bind(("127.0.0.1", self.port))


async def second_of_two(url: str, held: asyncio.Event, arrived: asyncio.Event) -> Outcome:
    """Return what comes of a delivery while the first one has the only port."""
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))
    await deliverer.open()
    delivery = a_delivery(WebhookDeliverer, {"url": url})
    try:
        first = asyncio.create_task(deliverer.deliver(delivery))
        await arrived.wait()
        second = await deliverer.deliver(delivery)
        held.set()
        assert await first == Delivered(200, "")
    finally:
        await deliverer.close()
    return second


@pytest.mark.parametrize("has_address", [True, False])
async def test_ports_are_lacking_only_where_there_is_an_address_to_dial_from(
    has_address: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, arrived = asyncio.Event(), asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        arrived.set()
        await held.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hold)
    monkeypatch.setattr(OnePort, "port", free_port(), raising=False)
    monkeypatch.setattr(egress, "DiallingSocket", OnePort)
    if not has_address:
        # As for an IPv6 address where this machine has none: the kernel's answer is the same.
        monkeypatch.setattr(sockets, "_has_source_address", lambda *_: False)
    async with TestServer(app, host="127.0.0.1") as server:
        port = server.port
        second = await second_of_two(f"http://127.0.0.1:{port}/", held, arrived)
    if has_address:
        assert second == not_attempted(Resource.PORTS)
    else:
        assert second == Unreachable(f"no route to the network of 127.0.0.1:{port}")


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9", "http://proxy.invalid:3128"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://localhost:9/", "https://shop.invalid/"])
async def test_without_files_no_name_no_receiver_and_no_proxy_is_blamed(proxy: str | None, url: str) -> None:
    # A new one for each: c-ares keeps the sockets of earlier queries, and asks by them.
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK, proxy=proxy))
    await deliverer.open()
    delivery = a_delivery(WebhookDeliverer, {"url": url})
    try:
        with no_descriptors():
            assert await deliverer.deliver(delivery) == not_attempted(Resource.FILES)
        assert isinstance(await deliverer.deliver(delivery), Unreachable)
    finally:
        await deliverer.close()
