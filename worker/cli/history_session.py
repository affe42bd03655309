"""The history of the settings, for commands. It is imported only where EDW_HISTORY_URL is set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import Settings
from worker.cli.cli_session import reported_errors
from worker.history.database import HistoryDatabase


@asynccontextmanager
async def history_session(settings: Settings) -> AsyncIterator[HistoryDatabase]:
    """Open the history for the block. Raises CommandFailure if it fails while in use."""
    assert settings.history_url is not None  # noqa: S101  (callers check it)
    with reported_errors():
        database = HistoryDatabase(settings.history_url.get_secret_value())
        try:
            yield database
        finally:
            await database.close()
