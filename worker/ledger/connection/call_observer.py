"""The observer of a process's calls to Redis; a process with metrics passes one in."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol


class CallObserver(Protocol):
    """Receives reports about the calls of a ledger."""

    def observed(self, script: str, seconds: float) -> None:
        """Record a round trip of a script, failed or not; it includes the wait for a connection."""

    def failed(self, script: str) -> None:
        """Record that a call failed."""

    def left_to_newer(self, count: int) -> None:
        """Record lanes and jobs that a claim left to processes of a newer version."""


class NoObserver:
    """The observer of a process without metrics."""

    def observed(self, script: str, seconds: float) -> None:
        pass

    def failed(self, script: str) -> None:
        pass

    def left_to_newer(self, count: int) -> None:
        pass


NO_OBSERVER = NoObserver()


@contextmanager
def observing(observer: CallObserver, script: str) -> Iterator[None]:
    """Report a call of a script to the observer."""
    began = perf_counter()
    try:
        yield
    except Exception:
        observer.failed(script)
        raise
    finally:
        observer.observed(script, perf_counter() - began)
