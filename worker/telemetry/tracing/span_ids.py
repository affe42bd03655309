"""Ids of attempts' spans: they follow from the job and the attempt's number, so that any process knows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

_wanted: ContextVar[int | None] = ContextVar("edw_span_id", default=None)


def span_id_of(job_id: str, attempt: int) -> int:
    """The id of an attempt's span, of 64 bits and never 0."""
    digest = blake2b(f"{job_id}:{attempt}".encode(), digest_size=8, person=b"edw-span")
    return int.from_bytes(digest.digest()) or 1


@contextmanager
def next_span_id(span_id: int) -> Iterator[None]:
    """A span that is started within has this id."""
    token = _wanted.set(span_id)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_span_id() -> int | None:
    """The id that the span which is started now is to have; None where it may have any."""
    return _wanted.get()
