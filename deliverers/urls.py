"""Checks of a configured URL, before anything is sent to it."""

from __future__ import annotations

import re
from functools import lru_cache

from yarl import URL

#: Characters; the length that every browser and proxy accepts.
LONGEST_URL = 2048
#: Parsed hosts that are kept: many integrations share a host, and each host is parsed to check it and to use it.
_HOSTS_KEPT = 1_000
#: Characters, RFC 1035 section 2.3.4.
_LONGEST_HOST = 253
_LONGEST_LABEL = 63

_AFTER_HOST = re.compile(r"[/?#]")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_LAST_LABEL_IS_A_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z", re.IGNORECASE | re.ASCII)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


def checked_url(text: str, schemes: tuple[str, ...]) -> URL:
    """Parse an absolute URL of one of the schemes. Raises what `check_url` raises."""
    check_url(text, schemes)
    return URL(text)


def check_url(text: str, schemes: tuple[str, ...]) -> None:
    """Check an absolute URL of one of the schemes.

    Raises `ValueError` with what is wrong. The text never repeats the URL, whose query may hold a token.
    """
    if len(text) > LONGEST_URL:
        raise ValueError(f"must be at most {LONGEST_URL} characters long, and has {len(text)}")
    if _UNSAFE.search(text):
        raise ValueError("must not contain spaces, control characters or backslashes")
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    authority = _AFTER_HOST.split(rest, maxsplit=1)[0]
    try:
        host, port = parsed_authority(scheme.lower(), authority)
        # Decoding the name raises for an invalid `xn--` label.
        if host is not None and "xn--" in host:
            _ = URL(f"//{host}").host
    except (ValueError, IndexError):  # yarl raises IndexError for `http://[::1]@/`
        raise ValueError("is not a valid URL (look at its host and port)") from None
    if "@" in authority:
        raise ValueError("must not contain a user name or a password: what is in a URL is shown and logged")
    if not host:
        raise ValueError("must name a host")
    if port == 0:  # None if none is written and the scheme has no default
        raise ValueError("must have a port from 1 to 65535, or none")
    _check_host(host)


@lru_cache(_HOSTS_KEPT)
def parsed_authority(scheme: str, authority: str) -> tuple[str | None, int | None]:
    """Return the host, in ASCII and without brackets, and the port, which may be the scheme's default.

    Raises what yarl raises for what is no host or no port.
    """
    url = URL(f"{scheme}://{authority}")
    return url.raw_host, url.port


def origin(text: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a valid URL, in lower case and ASCII, with the scheme's default port."""
    url = URL(text)
    return url.scheme, url.raw_host or "", url.port


@lru_cache(_HOSTS_KEPT)
def _check_host(host: str) -> None:
    if ":" in host:  # an IPv6 literal, which yarl has parsed
        return
    if "%" in host:  # no name has one; a proxy might decode it, and reach a host that was not checked
        raise ValueError("must write its host as it is, without percent signs")
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST_HOST or "" in labels or max(map(len, labels)) > _LONGEST_LABEL:
        raise ValueError("is not a valid URL: its host name has an empty or an overlong part")
    # WHATWG URL, section 3.5: such a host is an IPv4 address, and `0x7f.1` or `2130706433` hide which one.
    if _LAST_LABEL_IS_A_NUMBER.match(labels[-1]) and not _IPV4.fullmatch(host):
        raise ValueError("must write an IPv4 address as four decimal numbers")
