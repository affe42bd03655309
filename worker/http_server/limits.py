"""The numbers: how long a client may take, and how many connections leave enough descriptors for deliveries."""

import resource
from dataclasses import dataclass

from config.settings import Settings

#: Connections that wait to be accepted, beside those that are open.
BACKLOG = 64
#: Bytes of a request's head, and of further requests that wait behind it on the same connection.
HEAD_BYTES = 64 * 1024
#: Requests that wait behind another one on a connection before no more is read.
PIPELINED_MOST = 4
#: An unread body is discarded for at most so many bytes and seconds, so that the client reads the answer.
DISCARDED_BYTES = 256 * 1024
DISCARDED_SECONDS = 2.0

#: A process raises its limit of open files to this many, where the hard limit allows it.
DESCRIPTORS_WANTED = 65_536
#: Descriptors of a process beside its deliveries: store, broker, logs, interpreter.
DESCRIPTORS_SPARE = 100
#: Descriptors of one delivery: the receiver's connection, and one that is being closed.
DESCRIPTORS_PER_DELIVERY = 2
#: Descriptors of a process of the API for test deliveries.
DESCRIPTORS_API = 100
#: Connections that a server has however low the limit is: a probe gets its answer.
CONNECTIONS_LEAST = 8


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server."""

    #: Connections that are open at once.
    connections: int
    #: From the connection, or a request's first byte, to the end of its head (seconds).
    head_seconds: float = 10.0
    #: Between two requests (seconds); longer than load balancers keep their connections.
    idle_seconds: float = 75.0
    #: A client that waits for an answer reads `write_bytes` of it in so many seconds.
    write_seconds: float = 30.0
    write_bytes: int = 16 * 1024


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one; return the limit that holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY:
        return DESCRIPTORS_WANTED
    if soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # macOS refuses what its kernel cannot do, whatever the hard limit says.
        return soft
    return wanted


def descriptor_limit() -> int:
    """Return the limit of open files of this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft


def deliveries_need(settings: Settings) -> int:
    """Return the descriptors that a worker process needs beside its metrics port."""
    return settings.max_in_flight * DESCRIPTORS_PER_DELIVERY + DESCRIPTORS_SPARE


def metrics_limits(settings: Settings, descriptors: int) -> HttpLimits:
    """Return the limits of a process's metrics port; deliveries have their descriptors first."""
    return HttpLimits(connections_within(settings.metrics_connections, descriptors, deliveries_need(settings)))


def api_limits(settings: Settings, descriptors: int) -> HttpLimits:
    """Return the limits of the API; its metrics port, its store and its test deliveries have theirs first."""
    reserved = settings.metrics_connections + BACKLOG + DESCRIPTORS_API + DESCRIPTORS_SPARE
    return HttpLimits(connections_within(settings.api_connections, descriptors, reserved))


def connections_within(wanted: int, descriptors: int, reserved: int) -> int:
    """Return how many connections a server may have: `wanted`, or fewer where `reserved` descriptors must be left."""
    return min(wanted, max(CONNECTIONS_LEAST, descriptors - reserved - BACKLOG))
