"""The key for secrets that `edw dev` makes in its data folder, so that a newcomer needs none."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.settings import Settings, process_environment

#: In the data folder; for every process that uses the embedded Redis of that folder.
KEY_FILE = "secrets.key"


def secrets_keys(settings: Settings) -> Sequence[SecretStr]:
    """The keys to seal and open secrets with.

    Those of EDW_SECRETS_KEYS; without any, the one that `edw dev` made, for its own embedded Redis and no other.
    """
    if settings.secrets_keys or settings.redis_url:
        return settings.secrets_keys
    found = made_key(settings.data_dir)
    return [found] if found else []


def with_made_keys(settings: Settings) -> Settings:
    """The settings of a process that runs beside `edw dev`: with its key, and with that in the environment too."""
    keys = secrets_keys(settings)
    if keys and not settings.secrets_keys:
        process_environment()["EDW_SECRETS_KEYS"] = " ".join(key.get_secret_value() for key in keys)
    return settings.model_copy(update={"secrets_keys": tuple(keys)})


def made_key(data_dir: Path) -> SecretStr | None:
    """The key of a data folder, where one was made."""
    try:
        return SecretStr((data_dir / KEY_FILE).read_text().strip())
    except FileNotFoundError:
        return None


def make_key(data_dir: Path) -> SecretStr:
    """The key of a data folder, made where there is none; nobody else may read the file."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (known := made_key(data_dir)) is not None:
        return known
    draft = data_dir / f"{KEY_FILE}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
    # Whole or not at all, and the first one stays: a link never replaces what is there.
    with suppress(FileExistsError):
        os.link(draft, data_dir / KEY_FILE)
    draft.unlink()
    key = made_key(data_dir)
    assert key is not None  # noqa: S101  (it is there by now)
    return key
