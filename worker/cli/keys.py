"""The key for secrets that `edw dev` creates in its data folder, so that a newcomer needs none."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from config.settings import Settings, process_environment

#: File in the data folder; its key serves every process that uses the embedded Redis of that folder.
KEY_FILE = "secrets.key"


def secrets_keys(settings: Settings) -> Sequence[SecretStr]:
    """Return the keys that seal and open secrets: EDW_SECRETS_KEYS, or else the key that `edw dev` made.

    The key of `edw dev` is used with its own embedded Redis only.
    """
    if settings.secrets_keys or settings.redis_url:
        return settings.secrets_keys
    found = made_key(settings.data_dir)
    return [found] if found else []


def with_made_keys(settings: Settings) -> Settings:
    """Return the settings with the key of `edw dev` if they have none, and put the key into the environment too."""
    keys = secrets_keys(settings)
    if keys and not settings.secrets_keys:
        process_environment()["EDW_SECRETS_KEYS"] = " ".join(key.get_secret_value() for key in keys)
    return settings.model_copy(update={"secrets_keys": tuple(keys)})


def made_key(data_dir: Path) -> SecretStr | None:
    """Return the key of a data folder, or None."""
    try:
        return SecretStr((data_dir / KEY_FILE).read_text().strip())
    except FileNotFoundError:
        return None


def make_key(data_dir: Path) -> SecretStr:
    """Return the key of a data folder; create it if there is none. Only the owner may read the file."""
    from cryptography.fernet import Fernet

    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (known := made_key(data_dir)) is not None:
        return known
    draft = data_dir / f"{KEY_FILE}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
    # A link is atomic and never replaces an existing file, so the first key stays.
    with suppress(FileExistsError):
        os.link(draft, data_dir / KEY_FILE)
    draft.unlink()
    key = made_key(data_dir)
    assert key is not None  # noqa: S101  (the file exists by now)
    return key
