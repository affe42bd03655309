"""What commands share: settings, the open ledger, and errors when either is unavailable."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from getpass import getuser
from typing import TYPE_CHECKING, Any

import click

from config.logging import configure_logging
from config.observable_events import Catalogue, load_catalogue
from config.settings import Settings, SettingsError, load_settings, unknown_variables
from worker.cli.keys import secrets_keys
from worker.domain.change import Actor
from worker.domain.event import Scope
from worker.domain.secrets_box import SecretsBox, SecretsError
from worker.ledger import Ledger, LedgerError, LedgerFault, LedgerPolicy, LedgerUnavailable
from worker.ledger.connection.embedded_redis import EmbeddedRedisError
from worker.ledger.connection.endpoints import NoRedisError, find_endpoints

if TYPE_CHECKING:
    from deliverers.registry import DelivererRegistry
    from worker.integrations.integration_service import IntegrationService

#: Something was refused, or failed.
EXIT_FAILED = 1
#: No Redis was found, or it does not answer.
EXIT_NO_REDIS = 3


class CommandFailure(click.ClickException):
    """An error that ends the command with this message and exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        # click declares it as a class constant, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]


@contextmanager
def reported_errors() -> Iterator[None]:
    """Raise expected errors of the block as CommandFailure."""
    try:
        yield
    except (NoRedisError, LedgerUnavailable) as error:
        raise CommandFailure(str(error), EXIT_NO_REDIS) from error
    except (SettingsError, LedgerError, LedgerFault, EmbeddedRedisError, SecretsError) as error:
        raise CommandFailure(str(error)) from error


@dataclass(frozen=True)
class CliSession:
    """The settings and the open ledger, which most commands need."""

    settings: Settings
    ledger: Ledger

    @cached_property
    def actor(self) -> Actor:
        """Return the user of the command line, as the audit names changes."""
        try:
            user = getuser()
        except (KeyError, OSError):
            # The user of a container may have no name.
            user = f"user {os.getuid()}"
        return Actor("", f"edw, by {user}")

    @cached_property
    def types(self) -> "DelivererRegistry":
        """Return the installed deliverers. Raises CommandFailure if one of them is broken."""
        # Imported here because deliverers load an HTTP client, which most commands do not need.
        from deliverers.registry import DelivererRegistry, RegistryError

        try:
            return DelivererRegistry.load()
        except RegistryError as error:
            raise CommandFailure(str(error)) from error

    @cached_property
    def catalogue(self) -> Catalogue:
        """Return the observable keys of this deployment."""
        return load_catalogue(self.settings.observable_keys)

    @cached_property
    def registrar(self) -> "IntegrationService":
        """Return the service that changes integrations."""
        from worker.integrations.integration_service import IntegrationService, patience_limits

        secrets = SecretsBox(secrets_keys(self.settings))
        limits = patience_limits(self.settings)
        return IntegrationService(self.ledger.integrations, self.types, self.catalogue, secrets, limits=limits)


def read_settings(*, for_people: bool = True) -> Settings:
    """Return the settings, and configure logging to standard error. Raises CommandFailure if a setting is wrong.

    With `for_people`, logs are brief (console format, warnings and above) unless the settings say otherwise.
    """
    with reported_errors():
        settings = load_settings()
    brief = {"log_format": "console", "log_level": "warning"} if for_people else {}
    defaults = {name: value for name, value in brief.items() if name not in settings.model_fields_set}
    configure_logging(settings.model_copy(update=defaults))
    return settings


def settings_of_history() -> Settings:
    """Return the settings. Raises CommandFailure where there is no history, before anything of it is imported."""
    settings = read_settings()
    if settings.history_url is None:
        raise CommandFailure("there is no history: EDW_HISTORY_URL is not set")
    return settings


def warn_of_unknown_settings() -> None:
    """Print a warning for each variable that looks like a setting but is none."""
    for warning in unknown_variables():
        click.echo(f"warning: {warning}", err=True)


@asynccontextmanager
async def session() -> AsyncIterator[CliSession]:
    """Open the ledger for the block. Raises CommandFailure if there is none, or if it fails while in use."""
    settings = read_settings()
    with reported_errors():
        ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
        try:
            await ledger.open()
            async with _with_history(settings, ledger):
                yield CliSession(settings, ledger)
        finally:
            await ledger.close()


@asynccontextmanager
async def _with_history(settings: Settings, ledger: Ledger) -> AsyncIterator[None]:
    """Have what reads the ledger go on in the history, if there is one, for the block."""
    if settings.history_url is None:
        yield
        return
    from worker.history.database import HistoryDatabase
    from worker.history.seam import join

    database = HistoryDatabase(settings.history_url.get_secret_value())
    join(ledger, database)
    try:
        yield
    finally:
        await database.close()


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command's work; a number that it returns is the exit code."""
    code = asyncio.run(work)
    if code:
        raise SystemExit(code)


def heed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled and a callee swallowed the cancellation.

    asyncio.wait_for() of Python 3.11 swallows it if the awaited future finishes at that moment, and redis-py sends
    through wait_for().
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `--store` and `--org`; scope_of() reads them."""
    with_org = click.option("--org", metavar="ID", help="The organisation.")(function)
    decorated: Callable[..., Any] = click.option("--store", metavar="ID", help="The store.")(with_org)
    return decorated


def scope_of(store: str | None, org: str | None) -> Scope:
    """Return the scope that the options name."""
    return Scope(org or None, store or None)


def scope_words(scope: Scope) -> str:
    """Return a scope in words."""
    named = [f"{word} {value}" for word, value in (("organisation", scope.org_id), ("store", scope.store_id)) if value]
    return ", ".join(named) or "no store named"
