"""Checks of settings beyond their unit.

Each check returns the value, or raises ValueError with what was expected. No error text repeats the value, which may
be a secret.
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.sentinel import NO_TLS, SCHEME, TLS_SCHEMES, SentinelUrl, is_sentinel

_SHARD = re.compile(r"[a-z0-9-]{1,32}")
#: The module that the extra `history` installs.
_DRIVER = "psycopg"
#: Modules that the extra `otel` installs.
_EXPORTER = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def url_of(schemes: tuple[str, ...]) -> Callable[[SecretStr | None], SecretStr | None]:
    """Return a check that takes URLs of these schemes; several brokers are separated by semicolons (failover)."""

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
    """Check an address to which paths can be appended: scheme and host, and a path where a proxy adds one."""
    if value and (_scheme(value) not in ("http", "https") or not urlsplit(value).netloc or set(value) & set("?# ")):
        raise ValueError("expected a URL with a scheme and a host, and neither query nor fragment")
    return value.strip().rstrip("/")


def web_origin(value: str) -> str:
    """Check an origin as a browser sends it (RFC 6454, section 6.2); return it in a browser's spelling."""
    expected = "expected origins such as https://shop.example.com (scheme, host and port, without a path)"
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    default = {"http": 80, "https": 443}
    if parts.scheme not in default or not host or "@" in parts.netloc or value.rstrip("/").count("/") != 2:
        raise ValueError(expected)
    # None of these may add another directive to a header.
    if parts.query or parts.fragment or not parts.netloc.isascii() or set(parts.netloc) & set(";,'\"* \\"):
        raise ValueError(expected)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default[parts.scheme]) else "")


def web_origin_or_all(value: str) -> str:
    """Check an origin, or `*` for all origins."""
    if value == "*":
        return value
    try:
        return web_origin(value)
    except ValueError as error:
        raise ValueError(f"{error}, or *") from None


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if the port is not a number
    except ValueError:
        # urllib's own text is left out: it quotes parts of the URL, which may contain a password.
        raise ValueError(
            "is not a valid URL; percent-encode special characters of the password, such as @ as %40"
        ) from None
    return parts.scheme


def fernet_key(key: SecretStr) -> SecretStr:
    """Check a key for cryptography's Fernet."""
    from cryptography.fernet import Fernet

    try:
        Fernet(key.get_secret_value())
    except ValueError:
        raise ValueError("expected Fernet keys: 32 bytes each, in URL-safe base64") from None
    return key


def shard_name(value: str) -> str:
    """Check a name that is safe inside a Redis key."""
    if _SHARD.fullmatch(value):
        return value
    raise ValueError("expected up to 32 lower-case letters, digits and hyphens")


def existing_file(value: Path | None) -> Path | None:
    """Check that the file exists when the process starts."""
    if value is None or value.is_file():
        return value
    raise ValueError("there is no such file")


def not_blank(value: str) -> str:
    """Check that the text is not blank; return it without surrounding spaces."""
    if value.strip():
        return value.strip()
    raise ValueError("must not be blank")


def one_of(*known: str) -> Callable[[str], str]:
    """Return a check that takes one of these words in any case, and returns it in lower case."""

    def check(value: str) -> str:
        if value.lower() in known:
            return value.lower()
        raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}")

    return check


def lower(value: Any) -> Any:
    """Return text in lower case, without surrounding spaces; anything else unchanged."""
    return value.strip().lower() if isinstance(value, str) else value


def driver_installed(value: SecretStr | None) -> SecretStr | None:
    """Check that PostgreSQL's driver is there, if there is a history."""
    if value is not None and find_spec(_DRIVER) is None:
        raise ValueError("needs the extra \"history\": pip install 'event-delivery-worker[history]'")
    return value


def exporter_installed(value: str) -> str:
    """Check that OpenTelemetry's SDK and exporter can be imported if the value is `otlp`."""
    if value == "otlp" and not all(map(_is_installed, _EXPORTER)):
        raise ValueError('needs the extra "otel": pip install "event-delivery-worker[otel]"')
    return value


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # The package that contains the module is missing.
        return False
