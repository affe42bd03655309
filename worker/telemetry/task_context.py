"""The Celery task for which work is done; its id follows the work through the event loop into every log line."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

_task: ContextVar[str] = ContextVar("celery_task", default="")


@contextmanager
def in_task(task_id: str | None) -> Iterator[None]:
    """Mark everything that starts in the block, on any loop, as done for this Celery task."""
    token = _task.set(task_id or "")
    try:
        with structlog.contextvars.bound_contextvars(task=task_id):
            yield
    finally:
        _task.reset(token)


def celery_task() -> str:
    """Return the id of the Celery task for which this runs; empty if there is none."""
    return _task.get()
