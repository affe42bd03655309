"""Webhooks as the textbook has them: a task for each delivery, `requests`, `autoretry_for`, a log record in Redis.

Started with `celery -A tests.benchmarks.textbook_app -b redis+socket:///… worker`; the log goes to the broker's Redis.
"""

import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import redis
import requests
from celery import Celery, Task

#: The list that the log records are pushed to.
LOG_KEY = "log"
TIMEOUT_SECONDS = 10.0
_KEPT_CHARACTERS = 4096

app = Celery("textbook")
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@cache
def _redis() -> redis.Redis:
    """One client for a process of the pool, made when it is first needed: a connection does not survive a fork."""
    return redis.Redis(unix_socket_path=urlsplit(app.conf.broker_url).path)


@app.task(  # type: ignore[untyped-decorator]  # Celery has no types
    bind=True,
    autoretry_for=(requests.RequestException,),
    retry_backoff=True,
    max_retries=11,
)
def deliver(self: Task, url: str, headers: dict[str, str], body: str) -> None:
    """One attempt; a failed one is tried again by Celery."""
    began = time.perf_counter()
    status, answer, error = None, "", ""
    try:
        response = requests.post(url, data=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS)
        status, answer = response.status_code, response.text[:_KEPT_CHARACTERS]
        response.raise_for_status()
    except requests.RequestException as failure:
        error = str(failure)
        raise
    finally:
        record: dict[str, Any] = {
            "id": str(uuid4()),
            "job_id": self.request.id,
            "attempt": self.request.retries + 1,
            "succeeded": not error,
            "body": answer,
            "status_code": status,
            "error_detail": error,
            "processing_time": time.perf_counter() - began,
            "created_at": time.time(),
        }
        _redis().lpush(LOG_KEY, msgspec.json.encode(record))
