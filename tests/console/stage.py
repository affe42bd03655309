"""A served console that outlives a test: the API in a thread of its own, on a Redis of its own."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, TypeVar

import pytest

from config.settings import Settings, load_settings
from tests.api_client import Api, served
from tests.counterparts.redis_server import RedisServer
from tests.fleet.environment import quick_environment
from worker.cli.console_part import console_part
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Scope

Result = TypeVar("Result")

STORE = Scope("acme", "store-7")
OTHER = Scope("acme", "store-8")


@dataclass
class Stage:
    """The console, and what a test needs to act on its ledger."""

    api: Api
    environment: dict[str, str]
    redis: RedisServer
    loop: asyncio.AbstractEventLoop
    tokens: dict[tuple[Role, Scope | None], str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.api.url}/console"

    @property
    def redis_url(self) -> str:
        """The URL of the ledger's server."""
        return self.redis.url

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine where the console runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop_ledger(self) -> None:
        """Stop the ledger's server; nothing that needs it works from now on."""
        self.redis.stop()

    def token(self, role: Role, scope: Scope | None) -> str:
        """A token of a store, or of an operator; the same one each time."""
        if (role, scope) not in self.tokens:
            self.tokens[role, scope] = self.new_token(role, scope)
        return self.tokens[role, scope]

    def new_token(self, role: Role, scope: Scope | None, *, platform: bool = False) -> str:
        """A new token; without a scope, an operator's."""
        secret = make_secret()
        operator = scope is None and not platform
        kind = TokenKind.OPERATOR if operator else TokenKind.TOKEN
        token = Token(new_id(), kind, role, scope or Scope(), platform, "a test", digest_of(secret), operator=operator)
        self.do(self.api.ledger.tokens.put(token))
        return written(token.id, secret)


@contextmanager
def staged(**changes: str) -> Iterator[Stage]:
    """Serve a console until the end of the block; `changes` are settings."""
    with RedisServer() as redis:
        environment = quick_environment(redis.url) | changes
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                if name.startswith("EDW_"):
                    patch.setenv(name, value)
            settings = load_settings().model_copy(update={"drain_seconds": 0.1})
            with _served(settings) as (api, loop):
                yield Stage(api, environment, redis, loop)


@contextmanager
def _served(settings: Settings) -> Iterator[tuple[Api, asyncio.AbstractEventLoop]]:
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        yield run(stack.enter_async_context(served(settings, parts=console_part))), loop
    finally:
        run(stack.aclose())
        run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
