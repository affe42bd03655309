"""The URLs of the ledger and the broker: from the settings, else of the embedded Redis of the data folder."""

from dataclasses import dataclass

from config.settings import Settings
from worker.ledger.connection import embedded_redis


class NoRedisError(Exception):
    """The settings name no Redis, and no embedded one runs; the text says what to start."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs to use; both may hold a password."""

    ledger_url: str
    broker_url: str

    def __repr__(self) -> str:
        return "Endpoints(…)"


def find_endpoints(settings: Settings) -> Endpoints:
    """Return the URLs to use. Raises NoRedisError if there is neither a setting nor a running embedded Redis."""
    if settings.redis_url:
        ledger_url = settings.redis_url.get_secret_value()
    else:
        found = embedded_redis.running(settings.data_dir)
        if found is None:
            raise NoRedisError(
                f"no Redis: EDW_REDIS_URL is not set, and none runs on the data folder {settings.data_dir}. "
                'Start "edw dev", or set EDW_REDIS_URL, such as redis://localhost:6379/0'
            )
        ledger_url = found
    return Endpoints(ledger_url, settings.broker_url.get_secret_value() if settings.broker_url else ledger_url)
