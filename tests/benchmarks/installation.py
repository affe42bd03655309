"""A whole installation to measure: a private Redis, one worker process as anybody would type it, and a producer."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

from config.settings import Settings
from tests.benchmarks.order import OBSERVABLE_KEY
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import START_SECONDS, ProcessEnded, Program
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import Ledger, LedgerPolicy
from worker.publisher import Publisher

_Answer = TypeVar("_Answer")

#: Between two looks whether a worker is there (seconds).
_LOOK_SECONDS = 0.02


class Installation:
    """One worker process with its Redis server, and a producer in this process. All is as shipped but for `changes`."""

    #: Known once started.
    program: Program

    def __init__(
        self, redis_server: PrivateRedis, log: Path, changes: Mapping[str, str], checkout: Path | None = None
    ) -> None:
        self.redis_server = redis_server
        # Another checkout of this project, with an environment of its own; by default this one.
        self._checkout = checkout
        self._log = log
        self._own = {
            "EDW_REDIS_URL": redis_server.url,
            "EDW_EGRESS_ALLOW": "127.0.0.0/8",
            "EDW_METRICS_PORT": "0",
            **changes,
        }
        self.settings = _settings(self._own)
        self._runner = asyncio.Runner()
        self._publisher: Publisher | None = None
        self._ledger: Ledger | None = None

    def connect(self) -> None:
        """Connects the producer, and the reader of the ledger; Redis must be running."""
        self._ledger = Ledger(self.redis_server.url, LedgerPolicy.of(self.settings), self.settings.shard)
        self.run(self._ledger.open())
        self._publisher = Publisher(self.settings)

    def start_worker(self) -> None:
        """Start the worker process; do not wait for it."""
        self.program = self._worker("ours", self._log)

    def start_another_worker(self) -> Program:
        """Start a second worker process, which the caller stops; do not wait for it."""
        return self._worker("another", self._log.with_suffix(".another.log"))

    def _worker(self, name: str, log: Path) -> Program:
        command = self.python("-m", "celery", "-A", "worker.app", "worker", "--hostname", f"{name}@bench")
        return Program("our worker", command, log, self.environment)

    def start_api(self, log: Path) -> Program:
        """Start the API, which the caller stops; its port is in its log (see Program.logged_port())."""
        return Program("the API", self.python("-m", "worker.cli", "api"), log, self.environment)

    def python(self, *arguments: str) -> Sequence[str]:
        """Return the command line of a Python process of the checkout."""
        if self._checkout is None:
            return [sys.executable, *arguments]
        return ["env", "-C", str(self._checkout), str(self._checkout / ".venv/bin/python"), *arguments]

    def await_worker(self, workers: int = 1) -> None:
        """Wait until the fleet has so many workers. Raises ProcessEnded."""
        end = monotonic() + START_SECONDS
        while self.run(self.ledger.status.workers()) < workers:
            self.program.check()
            if monotonic() > end:
                raise ProcessEnded(f"our worker did not join within {START_SECONDS:g} s:\n{self.program.tail()}")
            sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Ends the producer. Repeating is safe."""
        if self._publisher is not None:
            self._publisher.close()
        if self._ledger is not None:
            self.run(self._ledger.close())
        self._publisher = self._ledger = None
        self._runner.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of its processes; no setting of this process is among them."""
        return {name: value for name, value in os.environ.items() if not name.startswith("EDW_")} | self._own

    @property
    def publisher(self) -> Publisher:
        """The producer, once connected."""
        assert self._publisher is not None
        return self._publisher

    @property
    def ledger(self) -> Ledger:
        """The ledger, once connected."""
        assert self._ledger is not None
        return self._ledger

    def run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Has work of the ledger done."""
        return self._runner.run(work)

    def register(
        self, url: str, scope: Scope, name: str = "ERP", *, paused: bool = False, rate_limit: float | None = None
    ) -> Integration:
        """A webhook of `scope` that observes paid orders. It has no secret, so that no key is needed."""
        return self.put(
            Integration(
                id=str(uuid4()),
                scope=scope,
                name=name,
                integration_type="webhook",
                observes=(OBSERVABLE_KEY,),
                configuration={"url": url},
                paused=paused,
                rate_limit=rate_limit,
            )
        )

    def put(self, integration: Integration) -> Integration:
        """Write a new integration, whose secrets are sealed."""
        return self.run(self.ledger.integrations.put(integration, expect=0)).integration

    def token(self, scope: Scope, role: Role) -> str:
        """Put a token of the API into the ledger; return it as callers send it."""
        token_id, secret = new_id(), make_secret()
        self.run(self.ledger.tokens.put(Token(token_id, TokenKind.TOKEN, role, scope, digest=digest_of(secret))))
        return written(token_id, secret)

    def owes_nothing(self) -> bool:
        """True where the ledger has no event and no job that is not over, and every one that ended was delivered."""
        status = self.run(self.ledger.status.read())
        return status.inbox == 0 and status.pending == 0 and status.counter("succeeded") == status.counter("opened")


def _settings(own: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {name.removeprefix("EDW_").lower(): value for name, value in own.items()}
    return Settings(**values)
