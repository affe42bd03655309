"""The textbook: a Celery prefork worker with `requests` (see textbook_app.py), one process for each core."""

import os
import sys
from pathlib import Path

import redis

from tests.benchmarks.order import CONTENT_TYPE, order_body
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.textbook_app import LOG_KEY, app, deliver

PATH = "/textbook"


class Textbook:
    """A contestant: what most would write."""

    path = PATH
    rehearsal = 100
    step = 1
    fan_out = 1

    def __init__(self, url: str, redis_server: PrivateRedis, log: Path) -> None:
        processes = os.cpu_count() or 2
        self.name = f"textbook: prefork -c {processes}, requests"
        self.redis_server: Program | None = redis_server.program
        self._url = url
        self._body = order_body(url).decode()
        self._headers = {"Content-Type": CONTENT_TYPE}
        self._log = redis.Redis(unix_socket_path=str(redis_server.path))
        self._expected = 0
        app.conf.broker_url = redis_server.broker_url
        self.program = Program(
            "the textbook's worker",
            [
                *(
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "tests.benchmarks.textbook_app",
                    "-b",
                    redis_server.broker_url,
                ),
                *(
                    "worker",
                    "--pool",
                    "prefork",
                    "--concurrency",
                    str(processes),
                    "--hostname",
                    "textbook@bench",
                ),
            ],
            log,
        )

    def offer(self, count: int) -> None:
        """Sends a task for each delivery."""
        self._expected += count
        for _ in range(count):
            deliver.delay(self._url, self._headers, self._body)

    def recorded(self) -> bool:
        """True once every attempt has its log record."""
        return self._log.llen(LOG_KEY) >= self._expected
