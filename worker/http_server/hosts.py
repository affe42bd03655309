"""Host and the request target, as RFC 9112, section 3.2 wants them."""

import re
from ipaddress import IPv6Address

_LARGEST_PORT = 65_535
_LARGEST_NAME = 253
# A registered name (RFC 3986, 3.2.2) without percent-encoding and sub-delimiters, which no name in DNS has: links of
# answers are made of it. Each repetition is separated by a dot, so that matching takes linear time.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r"[0-9]{0,5}")
_EXPECTED = "expected a name or an address, and optionally a port"


def host_problem(version: tuple[int, int], hosts: list[str], target: str) -> str:
    """Return what is wrong with the Host fields and the target of a request; an empty text where nothing is.

    HTTP/1.0 knows no Host, and may leave it out. A target in absolute form must name the same authority.
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
    """Return whether a text is a name or an address, with a port or without one."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        return bool(bracket) and _is_ipv6(address) and (not rest or (rest[0] == ":" and _is_port(rest[1:])))
    name, _, port = text.partition(":")
    return len(name) <= _LARGEST_NAME and _NAME.fullmatch(name) is not None and _is_port(port)


def _is_ipv6(text: str) -> bool:
    # A zone means nothing to another machine (RFC 6874), and Python's parser takes one.
    if "%" in text:
        return False
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text or "0") <= _LARGEST_PORT
