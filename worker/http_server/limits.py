"""Limits of HTTP servers: how long clients may take, and how many connections leave descriptors for deliveries."""

import resource
from dataclasses import dataclass

from config.settings import Settings

#: Connections that wait to be accepted, beside those that are open.
BACKLOG = 64
#: Bytes at most of a request's head, together with further requests that wait behind it on the connection.
HEAD_BYTES = 64 * 1024
#: Requests that may wait on a connection; beyond these, reading stops until some are answered.
PIPELINED_MOST = 4
#: Bytes and seconds at most for which an unread body is discarded, so that the client reads the answer.
DISCARDED_BYTES = 256 * 1024
DISCARDED_SECONDS = 2.0

#: The limit of open files to which a process raises its own, if the hard limit allows it.
DESCRIPTORS_WANTED = 65_536
#: Descriptors of a process beside its deliveries: Redis, broker, logs, interpreter.
DESCRIPTORS_SPARE = 100
#: Descriptors of one delivery: the receiver's connection, and one that is being closed.
DESCRIPTORS_PER_DELIVERY = 2
#: Descriptors that an API process reserves for test deliveries.
DESCRIPTORS_API = 100
#: Connections that a server always has, even with a very low limit, so that probes are answered.
CONNECTIONS_LEAST = 8


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server."""

    #: Connections that may be open at once.
    connections: int
    #: Seconds for the head of a request, from its first byte or from the opening of the connection.
    head_seconds: float = 10.0
    #: Seconds between two requests; longer than load balancers keep idle connections.
    idle_seconds: float = 75.0
    #: Seconds within which a client must read `write_bytes` of its answer.
    write_seconds: float = 30.0
    write_bytes: int = 16 * 1024


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one; return the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY:
        return DESCRIPTORS_WANTED
    if soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # macOS refuses more than its kernel supports, even below the hard limit.
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
    """Return the limits of a process's metrics port; descriptors of deliveries have priority."""
    return HttpLimits(connections_within(settings.metrics_connections, descriptors, deliveries_need(settings)))


def api_limits(settings: Settings, descriptors: int) -> HttpLimits:
    """Return the limits of the API; its metrics port, Redis and test deliveries have priority for descriptors."""
    reserved = settings.metrics_connections + BACKLOG + DESCRIPTORS_API + DESCRIPTORS_SPARE
    return HttpLimits(connections_within(settings.api_connections, descriptors, reserved))


def connections_within(wanted: int, descriptors: int, reserved: int) -> int:
    """Return how many connections a server may have: `wanted`, or fewer to leave `reserved` descriptors free."""
    return min(wanted, max(CONNECTIONS_LEAST, descriptors - reserved - BACKLOG))
