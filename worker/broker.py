"""How wake-ups get onto the broker: one Celery message for many ids."""

from collections.abc import Sequence
from typing import Any

from celery import Celery

from worker.wakeups import EVENTS, LANES

#: The version of our messages.
MESSAGE_VERSION = 1

_TASKS = {EVENTS: ("worker.tasks.observe", "event_ids"), LANES: ("worker.tasks.deliver", "lane_ids")}


class WakeupSender:
    """Sends wake-ups through a Celery application's producers."""

    def __init__(self, app: Celery, shard: str) -> None:
        self._app = app
        self._shard = shard

    def __call__(self, kind: str, ids: Sequence[str]) -> None:
        """Sends one message; raises what the broker's client raises."""
        task, argument = _TASKS[kind]
        message: dict[str, Any] = {"v": MESSAGE_VERSION, "shard": self._shard, argument: list(ids)}
        self._app.send_task(task, kwargs=message, ignore_result=True, retry=False)
