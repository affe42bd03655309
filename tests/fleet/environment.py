"""The settings of processes under test."""

import os

from cryptography.fernet import Fernet

#: Seals the secrets of the tests.
SECRETS_KEY = Fernet.generate_key().decode()


def without_settings() -> dict[str, str]:
    """Return the environment of this process without the settings of anybody's own worker."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EDW_")}


def quick_environment(redis_url: str, broker_url: str | None = None) -> dict[str, str]:
    """Return an environment with short pauses, in which receivers on loopback may be reached."""
    broker = {} if broker_url is None else {"EDW_BROKER_URL": broker_url}
    return (
        without_settings()
        | broker
        | {
            "EDW_REDIS_URL": redis_url,
            "EDW_EGRESS_ALLOW": "127.0.0.0/8",
            "EDW_RETRY_SCHEDULE": "200ms 200ms 200ms",
            "EDW_LEASE_SECONDS": "2",
            "EDW_ANNOUNCE_SECONDS": "1s",
            "EDW_SWEEP_SECONDS": "200ms",
            "EDW_METRICS_PORT": "0",
            # Where a test lets a receiver fail, no circuit opens before the schedule's end.
            "EDW_CIRCUIT_FAILURES": "0",
            "EDW_CIRCUIT_SHARE": "0",
            "EDW_SECRETS_KEYS": SECRETS_KEY,
            "PYTHONFAULTHANDLER": "1",
        }
    )
