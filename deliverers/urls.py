"""Checks of a configured URL, before anything is sent to it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from yarl import URL

#: Characters; the length that every browser and proxy accepts.
LONGEST_URL = 2048
#: Characters, RFC 1035 section 2.3.4.
_LONGEST_HOST = 253
_LONGEST_LABEL = 63

_AFTER_HOST = re.compile(r"[/?#]")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_LAST_LABEL_IS_A_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z", re.IGNORECASE | re.ASCII)


def checked_url(text: str, schemes: tuple[str, ...]) -> URL:
    """Parse an absolute URL of one of the schemes.

    Raises `ValueError` with what is wrong. The text never repeats the URL, whose query may hold a token.
    """
    if len(text) > LONGEST_URL:
        raise ValueError(f"must be at most {LONGEST_URL} characters long, and has {len(text)}")
    if _UNSAFE.search(text):
        raise ValueError("must not contain spaces, control characters or backslashes")
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    if not text.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must begin with {expected}")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
        # Decoding the name raises for an invalid `xn--` label.
        _ = url.host
    except (ValueError, IndexError):  # yarl raises IndexError for `http://[::1]@/`
        raise ValueError("is not a valid URL (look at its host and port)") from None
    if "@" in _AFTER_HOST.split(text.partition("://")[2], maxsplit=1)[0]:
        raise ValueError("must not contain a user name or a password: what is in a URL is shown and logged")
    if not host:
        raise ValueError("must name a host")
    if port == 0:  # None if none is written and the scheme has no default
        raise ValueError("must have a port from 1 to 65535, or none")
    _check_host(host)
    return url


def origin(text: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a valid URL, in lower case and ASCII, with the scheme's default port."""
    url = URL(text)
    return url.scheme, url.raw_host or "", url.port


def _check_host(host: str) -> None:
    if ":" in host:  # an IPv6 literal, which yarl has parsed
        return
    if "%" in host:  # no name has one; a proxy might decode it, and reach a host that was not checked
        raise ValueError("must write its host as it is, without percent signs")
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST_HOST or not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError("is not a valid URL: its host name has an empty or an overlong part")
    # WHATWG URL, section 3.5: such a host is an IPv4 address, and `0x7f.1` or `2130706433` hide which one.
    if _LAST_LABEL_IS_A_NUMBER.match(labels[-1]):
        try:
            IPv4Address(host)
        except ValueError:
            raise ValueError("must write an IPv4 address as four decimal numbers") from None
