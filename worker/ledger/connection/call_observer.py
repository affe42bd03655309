"""The observer of a process's calls to Redis, which a process with metrics injects."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol


class CallObserver(Protocol):
    """What a ledger reports about its calls."""

    def observed(self, script: str, seconds: float) -> None:
        """A round trip of a script is over, failed or not; waiting for a connection is part of it."""

    def failed(self, script: str) -> None:
        """The call did not bring the answer that was asked for."""


class NoObserver:
    """The observer of a process without metrics."""

    def observed(self, script: str, seconds: float) -> None:
        pass

    def failed(self, script: str) -> None:
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
