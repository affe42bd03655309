"""What work is done for: ids that follow it through the event loop, into every log line on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

_task: ContextVar[str] = ContextVar("celery_task", default="")


@contextmanager
def in_task(task_id: str | None) -> Iterator[None]:
    """Everything that is begun in the block, on whichever loop, is done for this Celery task."""
    token = _task.set(task_id or "")
    try:
        with structlog.contextvars.bound_contextvars(task=task_id):
            yield
    finally:
        _task.reset(token)


def celery_task() -> str:
    """The Celery task that this is done for; empty where it is none."""
    return _task.get()
