"""What a setting must be beyond its unit. Each check answers the value, or raises ValueError that says what is wrong.

No text repeats the value: it may be a secret.
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.sentinel import NO_TLS, SCHEME, TLS_SCHEMES, SentinelUrl, is_sentinel

_SHARD = re.compile(r"[a-z0-9-]{1,32}")
#: What the extra `otel` installs.
_EXPORTER = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def url_of(schemes: tuple[str, ...]) -> Callable[[SecretStr | None], SecretStr | None]:
    """Takes URLs of these schemes; several brokers may be named, for failover, with semicolons between them."""

    def check(value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else ""
        if SCHEME in schemes and is_sentinel(text):
            SentinelUrl.parse(text)
            return value
        for url in text.split(";") if text else ():
            if SCHEME in schemes and _scheme(url) in TLS_SCHEMES:
                raise ValueError(NO_TLS)
            if _scheme(url) not in schemes:
                raise ValueError(f"expected a URL that starts with {', '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return check


def web_address(value: str) -> str:
    """An address that paths can be put behind: scheme and host, and a path where a proxy adds one."""
    if value and (_scheme(value) not in ("http", "https") or not urlsplit(value).netloc or set(value) & set("?# ")):
        raise ValueError("expected a URL with a scheme and a host, and neither query nor fragment")
    return value.strip().rstrip("/")


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        # urllib's own text is left out: it quotes parts of the URL, which may hold a password.
        raise ValueError(
            "is not a valid URL; a password's special characters are written as %40 and the like"
        ) from None
    return parts.scheme


def fernet_key(key: SecretStr) -> SecretStr:
    """A key that cryptography's Fernet takes."""
    try:
        Fernet(key.get_secret_value())
    except ValueError:
        raise ValueError("expected Fernet keys: 32 bytes each, in URL-safe base64") from None
    return key


def shard_name(value: str) -> str:
    """A name that is safe inside a Redis key."""
    if _SHARD.fullmatch(value):
        return value
    raise ValueError("expected up to 32 lower-case letters, digits and hyphens")


def existing_file(value: Path | None) -> Path | None:
    """A file that is there when the process starts."""
    if value is None or value.is_file():
        return value
    raise ValueError("there is no such file")


def not_blank(value: str) -> str:
    """Text with something in it."""
    if value.strip():
        return value.strip()
    raise ValueError("must not be blank")


def one_of(*known: str) -> Callable[[str], str]:
    """Takes one of these words, in any case."""

    def check(value: str) -> str:
        if value.lower() in known:
            return value.lower()
        raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}")

    return check


def lower(value: Any) -> Any:
    """Words are taken in any case."""
    return value.strip().lower() if isinstance(value, str) else value


def exporter_installed(value: str) -> str:
    """`otlp` where OpenTelemetry's SDK and exporter can be imported."""
    if value == "otlp" and not all(map(_is_installed, _EXPORTER)):
        raise ValueError('needs the extra "otel": pip install "event-delivery-worker[otel]"')
    return value


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Of what it is in.
        return False
