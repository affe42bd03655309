"""The notation of quantities in settings: `10s`, `64KiB`, `5s 30s 2m`, `10.0.0.0/8 fd00::/8`.

Every function takes what a setting may hold: text, or the value itself. It raises ValueError with what was expected.
The text does not repeat the value: the caller who reports the problem knows whether it is a secret.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

LARGEST_PORT = 65_535
Network = IPv4Network | IPv6Network

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# ASCII only, because `\d` matches the digits of every script. The number of digits is limited so that no float
# overflows.
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(ms|s|m|h|d)?")
_SIZE = re.compile(r"([0-9](?:_?[0-9]){0,17})\s*([A-Za-z]*)")
_COUNT = re.compile(r"[0-9](?:_?[0-9]){0,17}")


@dataclass(frozen=True, slots=True)
class SettingKind:
    """What a setting holds, in the words of the settings table."""

    words: str


def seconds(value: Any) -> float:
    """Parse a duration in seconds: `10`, `10s`, `500ms`, `2m`, `3h`, `7d`."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2] or "s"]
    if _is_number(value) and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError("expected a duration: a number and a unit (ms, s, m, h or d), such as 10s")


def byte_size(value: Any) -> int:
    """Parse a size in bytes: `1048576`, `64KiB`, `1MiB`; kB, MB and GB are powers of 1000."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())) and match[2] in _BYTES:
        return int(match[1]) * _BYTES[match[2]]
    if isinstance(value, int) and _is_number(value) and value >= 0:
        return value
    raise ValueError("expected a size: a whole number and a unit (B, KiB, MiB or GiB), such as 64KiB")


def count(value: Any) -> int:
    """Parse a whole number of at least 0: `1000000`, `1_000_000`."""
    if isinstance(value, str) and _COUNT.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and _is_number(value) and value >= 0:
        return value
    raise ValueError("expected a whole number, such as 200")


def fraction(value: Any) -> float:
    """Parse a share above 0 and at most 1: `0.85`, `85%`."""
    divisor = 100 if isinstance(value, str) and value.strip().endswith("%") else 1
    try:
        number = float(value.strip().removesuffix("%") if isinstance(value, str) else value) / divisor
    except (TypeError, ValueError):
        number = math.nan
    if 0 < number <= 1:
        return number
    raise ValueError("expected a share above 0 and at most 1, such as 0.85 or 85%")


def share_or_none(value: Any) -> float:
    """Parse a share like fraction(), or 0 for none."""
    return 0.0 if value in (0, "0", "0%") else fraction(value)


def words(value: Any) -> Any:
    """Split text at spaces and commas; return anything else unchanged."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def durations(value: Any) -> tuple[float, ...]:
    """Parse a schedule in seconds: `5s 30s 2m`."""
    return tuple(seconds(word) for word in _several(value))


def port_ranges(value: Any) -> tuple[range, ...]:
    """Parse ports and ranges of ports: `443 8000-8999`."""
    return tuple(_port_range(word) for word in _several(value))


def networks(value: Any) -> tuple[Network, ...]:
    """Parse networks in CIDR notation, or single addresses."""
    return tuple(_network(word) for word in _several(value))


def _several(value: Any) -> Iterable[Any]:
    found = words(value)
    if isinstance(found, Iterable) and not isinstance(found, (bytes, dict)):
        return found
    raise ValueError("expected words with spaces or commas between them")


def _port_range(word: Any) -> range:
    if isinstance(word, range):
        return word
    first, dash, last = str(word).partition("-")
    try:
        low, high = (count(part) for part in (first, last if dash else first))
    except ValueError:
        low, high = 0, -1
    if 1 <= low <= high <= LARGEST_PORT:
        return range(low, high + 1)
    raise ValueError(f"expected ports from 1 to {LARGEST_PORT}, and ranges such as 8000-8999")


def _network(word: Any) -> Network:
    try:
        return ip_network(word)
    except ValueError as error:
        # The library's text repeats the value, which may be long.
        why = ": it has host bits set" if str(error).endswith("has host bits set") else ""
        raise ValueError(f"expected networks such as 10.0.0.0/8{why}") from None


def _is_number(value: Any) -> bool:
    # Python counts True and False as ints, but they are not quantities.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def between(low: float, high: float, unit: str = "") -> Callable[[Any], Any]:
    """Return a check that takes numbers from `low` to `high`, both included."""
    bounds = f"must be between {_plain(low)} and {_plain(high)} {unit}".rstrip()

    def check(value: Any) -> Any:
        if low <= value <= high:
            return value
        raise ValueError(bounds)

    return check


def _plain(number: float) -> str:
    return f"{number:,.15g}".replace(",", "_")


def entries(low: int, high: int) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a check that takes lists of `low` to `high` entries."""

    def check(value: tuple[Any, ...]) -> tuple[Any, ...]:
        if low <= len(value) <= high:
            return value
        raise ValueError(f"must have {low} to {high} entries, and has {len(value)}")

    return check


def each(check: Callable[[Any], Any]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a check that applies `check` to every entry of a list."""
    return lambda value: tuple(check(entry) for entry in value)


Seconds = Annotated[float, SettingKind("duration"), BeforeValidator(seconds)]
Bytes = Annotated[int, SettingKind("size"), BeforeValidator(byte_size)]
Count = Annotated[int, SettingKind("number"), BeforeValidator(count)]
Port = Annotated[int, SettingKind("port"), BeforeValidator(count), AfterValidator(between(0, LARGEST_PORT))]
Fraction = Annotated[float, SettingKind("share of 1"), BeforeValidator(fraction)]
Schedule = Annotated[tuple[float, ...], SettingKind("durations"), BeforeValidator(durations)]
Ports = Annotated[tuple[range, ...], SettingKind("ports"), BeforeValidator(port_ranges)]
Networks = Annotated[tuple[Network, ...], SettingKind("networks"), BeforeValidator(networks)]
