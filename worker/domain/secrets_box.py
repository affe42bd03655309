"""Encryption of secrets at rest: sealed before they reach the ledger, opened only in the process that delivers.

A sealed value is a string that starts with `sealed:`; the rest is a Fernet token (AES-128-CBC and HMAC-SHA256).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

_PREFIX = "sealed:"


class SecretsError(Exception):
    """The available keys cannot seal or open a secret."""


class SecretsBox:
    """Seals and opens the secret fields of a configuration with the keys of `EDW_SECRETS_KEYS`, newest first."""

    def __init__(self, keys: Iterable[SecretStr] = ()) -> None:
        self._fernet: MultiFernet | None = None
        self._newest: Fernet | None = None
        if given := tuple(keys):
            # Imported only where there is a key: it takes as long as a tenth of a process's other imports.
            from cryptography.fernet import Fernet, MultiFernet

            fernets = [Fernet(key.get_secret_value()) for key in given]
            self._fernet, self._newest = MultiFernet(fernets), fernets[0]

    def seal(self, configuration: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
        """Return the configuration with the named fields sealed. Raises SecretsError if there is no key."""
        return self._apply(configuration, fields, self._seal)

    def open(self, configuration: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
        """Return the configuration as it was before `seal`. Raises SecretsError if no key opens it."""
        return self._apply(configuration, fields, self._open)

    def renewed(self, configuration: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
        """Return a sealed configuration with each secret sealed by the newest key.

        A secret that the newest key already sealed stays as it is. Raises SecretsError if no key opens a secret.
        """
        return self._apply(configuration, fields, self._renew)

    @staticmethod
    def _apply(configuration: Mapping[str, Any], fields: Iterable[str], change: Callable[[str], str]) -> dict[str, Any]:
        changed = dict(configuration)
        for field in fields:
            match changed.get(field):
                case None:
                    continue
                case str() as value:
                    changed[field] = change(value)
                case list() as values:
                    changed[field] = [change(value) for value in values]
                case Mapping() as values:
                    changed[field] = {name: change(value) for name, value in values.items()}
        return changed

    def _renew(self, value: str) -> str:
        from cryptography.fernet import InvalidToken

        opened = self._open(value)
        try:
            if self._newest is not None:
                self._newest.decrypt(value.removeprefix(_PREFIX))
        except InvalidToken:
            return self._seal(opened)
        return value

    def _seal(self, value: str) -> str:
        if self._fernet is None:
            raise SecretsError(
                "EDW_SECRETS_KEYS is not set, and no secret is stored in the clear. Make a key with\n"
                '  python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"\n'
                "and give it to every process of the fleet."
            )
        return _PREFIX + self._fernet.encrypt(value.encode()).decode()

    def _open(self, value: str) -> str:
        if not value.startswith(_PREFIX):
            raise SecretsError("a secret in the ledger is not sealed")
        if self._fernet is None:
            raise SecretsError("EDW_SECRETS_KEYS is not set, so the secrets in the ledger cannot be read")
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(value.removeprefix(_PREFIX)).decode()
        except (InvalidToken, ValueError):
            raise SecretsError("none of the keys in EDW_SECRETS_KEYS opens a secret in the ledger") from None
