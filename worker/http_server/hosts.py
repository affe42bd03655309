"""Checks of Host and the request target (RFC 9112, section 3.2)."""

import re
from functools import lru_cache
from ipaddress import IPv6Address

_LARGEST_PORT = 65_535
_LARGEST_NAME = 253
#: A name, a colon and the five digits of a port.
_LONGEST = _LARGEST_NAME + 6
# A registered name (RFC 3986, 3.2.2) without percent-encoding and sub-delimiters, which no DNS name has. The check
# matters because answers contain links made of this name. Dots separate the repetitions, so matching takes linear time.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r"[0-9]{0,5}")
_EXPECTED = "expected a name or an address, and optionally a port"


def host_problem(version: tuple[int, int], hosts: list[str], target: str) -> str:
    """Return the problem of a request's Host fields and target; an empty text if they are valid.

    Requests of HTTP/1.0, which does not define Host, may omit it. A target in absolute form must name the authority
    of Host.
    """
    if len(hosts) > 1:
        return "Host: expected one, got several"
    if not hosts and version >= (1, 1):
        return f"Host: is missing; {_EXPECTED}"
    if hosts and not is_host(hosts[0]):
        return f"Host: {_EXPECTED}"
    if target.startswith("/") or target == "*":
        return ""
    scheme, slashes, rest = target.partition("://")
    if not slashes:
        return "request target: expected a path"
    if scheme.lower() not in ("http", "https"):
        return "request target: expected the scheme http or https"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not is_host(authority):
        return f"request target: {_EXPECTED}"
    if hosts and authority.lower() != hosts[0].lower():
        return "request target: its host and port differ from Host"
    return ""


def is_host(text: str) -> bool:
    """Return whether a text is a name or an address, with an optional port."""
    return len(text) <= _LONGEST and _is_host(text)


@lru_cache(256)  # nearly all requests name the same host
def _is_host(text: str) -> bool:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        return bool(bracket) and _is_ipv6(address) and (not rest or (rest[0] == ":" and _is_port(rest[1:])))
    name, _, port = text.partition(":")
    return len(name) <= _LARGEST_NAME and _NAME.fullmatch(name) is not None and _is_port(port)


def _is_ipv6(text: str) -> bool:
    # Python's parser accepts a zone, but zones have no meaning to another machine (RFC 6874).
    if "%" in text:
        return False
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text or "0") <= _LARGEST_PORT
