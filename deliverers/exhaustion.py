"""Exhaustion of our own: exceptions that mean that this process or machine lacks a resource, for any receiver.

An attempt that fails for such a lack says nothing about its receiver. It counts as not made, and costs nothing
(`NotAttempted`). The error may be buried: c-ares hides that it could open no socket, a plug-in raises what it likes,
and aiohttp's client, which a plug-in may use, wraps the error of a socket. So the whole chain of causes is searched.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator

from deliverers.contract import NotAttempted, Resource

_RESOURCES = {
    errno.EMFILE: Resource.FILES,
    errno.ENFILE: Resource.FILES,
    errno.EADDRNOTAVAIL: Resource.PORTS,
    errno.ENOBUFS: Resource.MEMORY,
    errno.ENOMEM: Resource.MEMORY,
}
_WORDS = {
    Resource.FILES: "this worker may open no more files or connections (raise the limit of open files)",
    Resource.PORTS: "this worker has no free local port for another connection",
    Resource.MEMORY: "this worker's machine has no memory for another connection",
    Resource.THREADS: "this worker may start no more threads (raise the limit of processes)",
}
_NO_THREAD = "can't start new thread"
#: aiohttp joins the errors of several addresses into one text.
_NUMBERS = re.compile(r"\[Errno (\d{1,5})\]")
#: Attribute of an error: the certificate was refused while no trusted authority could be read.
_UNREAD = "edw_unread_authorities"
#: Exceptions of one chain that are searched at most; a chain may be circular.
_MOST_LINKS = 50


def exhausted(error: BaseException) -> NotAttempted | None:
    """Return the outcome of an attempt that failed for lack of a resource of ours; None for any other failure."""
    for link in _chain(error):
        if (resource := _lacking(link)) is not None:
            return not_attempted(resource)
    return None


def not_attempted(resource: Resource) -> NotAttempted:
    """Return the outcome of an attempt for which `resource` was lacking."""
    return NotAttempted(resource, _WORDS[resource])


def note_unread_authorities(error: ssl.SSLCertVerificationError) -> None:
    """Mark a refused certificate if no file can be opened now: OpenSSL reads trusted authorities only when needed."""
    if not _can_open_a_file():
        setattr(error, _UNREAD, True)


def loaded(module: str, name: str) -> tuple[type[BaseException], ...]:
    """Return an exception's class for isinstance(); an empty tuple if its module is not loaded, so nothing raised it.

    Importing it here would cost a process's start a tenth of a second, and would fail where files are exhausted.
    """
    found = getattr(sys.modules.get(module), name, None)
    return () if found is None else (found,)


def _lacking(error: BaseException) -> Resource | None:
    match error:
        case MemoryError():
            return Resource.MEMORY
        case RuntimeError() if str(error) == _NO_THREAD:
            return Resource.THREADS
        case ssl.SSLError():
            # The errno of an SSLError is OpenSSL's.
            if getattr(error, _UNREAD, False):
                return Resource.FILES
            return Resource.MEMORY if getattr(error, "reason", None) == "MALLOC_FAILURE" else None
        case socket.gaierror():
            return _of_name(error.errno == socket.EAI_MEMORY)
        case _ if isinstance(error, loaded("aiodns.error", "DNSError")):
            return _of_name(error.args[:1] == (sys.modules["aiodns.error"].ARES_ENOMEM,))
        case _ if isinstance(error, loaded("aiohttp", "ClientConnectorError")):
            # Its errno is copied from the error within, and what it means depends on that error's type.
            return None
        case OSError():
            return _of_socket(error)
    return None


def _of_name(lacks_memory: bool) -> Resource | None:
    if lacks_memory:
        return Resource.MEMORY
    # A resolver that can open neither a socket nor the hosts file reports that no server answers, or that the name does
    # not exist. Opening a file here shows whether that is the cause.
    return None if _can_open_a_file() else Resource.FILES


def _of_socket(error: OSError) -> Resource | None:
    numbers = {error.errno, *(int(found) for found in _NUMBERS.findall(str(error)))}
    found = {_RESOURCES[number] for number in numbers if number in _RESOURCES}
    return next((resource for resource in Resource if resource in found), None)


def _can_open_a_file() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything that caused it."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_LINKS:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        if (
            isinstance(link, loaded("aiohttp", "ClientConnectorError"))
            and (within := getattr(link, "os_error", None)) is not None
        ):
            waiting.append(within)
        if link.__cause__ is not None:
            waiting.append(link.__cause__)
        elif link.__context__ is not None and not link.__suppress_context__:
            waiting.append(link.__context__)
