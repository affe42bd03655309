"""The ledger's connection and its keys. Only this module knows how a `Ledger` holds them.

It is for `tests.ledger` and the ledger's own tests. Other tests use the ledger's methods, `surgery` or `inspection`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from worker.ledger import Ledger
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.redis_errors import mapped

#: Calls a script of the ledger by its name, with its arguments.
Run = Callable[..., Awaitable[Any]]


def connection(ledger: Ledger) -> RedisClient:
    """Return the ledger's connection."""
    return ledger.redis


def client(ledger: Ledger) -> Any:
    """Return the client of redis-py below the connection."""
    return connection(ledger).client


def prefix(ledger: Ledger) -> str:
    """Return what every key of the ledger begins with."""
    return connection(ledger).prefix


def key(ledger: Ledger, name: str) -> str:
    """Return a key's full name."""
    return connection(ledger).key(name)


async def command(ledger: Ledger, name: str, on: str, *arguments: Any) -> Any:
    """Call a plain command on one of the ledger's keys; raise what the ledger raises."""
    with mapped(connection(ledger).server):
        return await client(ledger).execute_command(name, key(ledger, on), *arguments)


async def now(ledger: Ledger) -> int:
    """Return the clock of Redis (ms since 1970)."""
    return await connection(ledger).now()


async def memory(ledger: Ledger) -> Mapping[str, Any]:
    """Return what Redis says of its memory."""
    return await connection(ledger).memory()


@contextmanager
def intercepted(ledger: Ledger, made: Callable[[Run], Run]) -> Iterator[None]:
    """Replace how this process calls scripts; `made` gets the real way, and returns another."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connection(ledger), "run", made(connection(ledger).run))
        yield
