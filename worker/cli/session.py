"""From a command to the ledger and back: settings, the open ledger, and what is told when either is not to be had."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from config.observable_events import Catalogue, load_catalogue
from config.settings import Settings, SettingsError, load_settings
from deliverers.registry import DelivererRegistry, RegistryError
from worker.cli.keys import secrets_keys
from worker.embedded import EmbeddedStoreError
from worker.endpoints import NoStoreError, find_endpoints
from worker.events import Scope
from worker.ledger import Ledger, LedgerError, LedgerPolicy, LedgerUnavailable
from worker.secrets import SecretsBox, SecretsError

#: Something was refused, or failed.
EXIT_FAILED = 1
#: No store was found, or it does not answer.
EXIT_NO_STORE = 3


class Failure(click.ClickException):
    """The command ends with this message and exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def told() -> Iterator[None]:
    """Raises what is expected to go wrong as the Failure that says so."""
    try:
        yield
    except (NoStoreError, LedgerUnavailable) as error:
        raise Failure(str(error), EXIT_NO_STORE) from error
    except (SettingsError, LedgerError, EmbeddedStoreError, SecretsError, RegistryError) as error:
        raise Failure(str(error)) from error


@dataclass(frozen=True)
class Session:
    """What most commands need."""

    settings: Settings
    ledger: Ledger

    @cached_property
    def types(self) -> DelivererRegistry:
        """The deliverers of this installation."""
        return DelivererRegistry.load()

    @cached_property
    def catalogue(self) -> Catalogue:
        """The observable keys of this deployment."""
        return load_catalogue(self.settings.observable_keys)

    @cached_property
    def secrets(self) -> SecretsBox:
        """What seals and opens secrets."""
        return SecretsBox(secrets_keys(self.settings))


def read_settings() -> Settings:
    """The settings. Raises Failure where one is wrong."""
    with told():
        return load_settings()


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    """The ledger, open. Raises Failure where there is none, and for what goes wrong with it while it is used."""
    settings = read_settings()
    with told():
        ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
        try:
            await ledger.open()
            yield Session(settings, ledger)
        finally:
            await ledger.close()


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Runs a command's work; what it answers, where it answers anything, is the exit code."""
    code = asyncio.run(work)
    if code:
        raise SystemExit(code)


def scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--store` and `--org`; scope_of() reads them."""
    with_org = click.option("--org", metavar="ID", help="The organisation.")(function)
    decorated: Callable[..., Any] = click.option("--store", metavar="ID", help="The store.")(with_org)
    return decorated


def scope_of(store: str | None, org: str | None) -> Scope:
    """The scope that the options name."""
    return Scope(org or None, store or None)


def scope_words(scope: Scope) -> str:
    """A scope as a reader would say it."""
    named = [f"{word} {value}" for word, value in (("organisation", scope.org_id), ("store", scope.store_id)) if value]
    return ", ".join(named) or "no store named"
