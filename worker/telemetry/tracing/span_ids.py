"""Ids of attempts' spans, computed from the job's id and the attempt's number, so that any process knows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

_wanted: ContextVar[int | None] = ContextVar("edw_span_id", default=None)


def span_id_of(job_id: str, attempt: int) -> int:
    """Return the id of an attempt's span: 64 bits, never 0."""
    digest = blake2b(f"{job_id}:{attempt}".encode(), digest_size=8, person=b"edw-span")
    return int.from_bytes(digest.digest()) or 1


@contextmanager
def next_span_id(span_id: int) -> Iterator[None]:
    """Give this id to spans that are started in the block."""
    token = _wanted.set(span_id)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_span_id() -> int | None:
    """Return the id for the span that is being started; None for a random one."""
    return _wanted.get()
