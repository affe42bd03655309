"""Which failures are a lack of ours: by their numbers, wherever in a chain they are, and by the real thing."""

import errno
import socket
import ssl
from typing import Any

import aiodns.error
import pytest
from aiohttp import ClientConnectorError
from aiohttp.client_reqrep import ConnectionKey

from deliverers.contract import Resource
from deliverers.exhaustion import exhausted, not_attempted, note_unread_authorities
from deliverers.sockets import DiallingSocket
from tests.counterparts.limits import no_more_files

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
        with pytest.raises(ValueError, match="outer") as raised:
            try:
                try:
                    raise error
                except Exception as inner:
                    raise RuntimeError("middle") from inner
            except RuntimeError:
                raise ValueError("outer")  # noqa: B904  (what a plug-in may do)
        assert exhausted(raised.value) == not_attempted(resource)

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
    with no_more_files():
        assert exhausted(error) == not_attempted(Resource.FILES)
    assert exhausted(error) is None


def test_a_certificate_that_was_refused_while_no_authority_could_be_read_is_a_lack() -> None:
    unread, refused = ssl.SSLCertVerificationError(1, "unread"), ssl.SSLCertVerificationError(1, "refused")
    with no_more_files():
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
    """All of them dial from one port, as though no other were free: the kernel refuses the second to one peer."""

    port = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.family is socket.AF_INET and not OnePort.port:
            self.bind(("127.0.0.1", 0))
            OnePort.port = self.getsockname()[1]
        elif OnePort.port:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", OnePort.port))
