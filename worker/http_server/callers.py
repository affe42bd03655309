"""Networks of callers: what a limit for strangers counts as one caller."""

from ipaddress import IPv4Address, IPv6Address, ip_address

#: Leading bits of an IPv6 address that one caller has; the last 64 are the caller's own choice (RFC 4291, 2.5.4).
PREFIX_BITS = 64

_SUFFIX_BITS = 128 - PREFIX_BITS
#: All callers without a readable address are one.
UNKNOWN = "unknown"


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4-mapped one (::ffff:192.0.2.1) as IPv4; None for anything else.

    A zone (`fe80::1%eth0`) names an interface of ours, and is left out.
    """
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def network_of(text: str) -> str:
    """Return the caller's network: an IPv4 address, or the /64 of an IPv6 address; `unknown` for anything else."""
    found = parsed_address(text)
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return f"{IPv6Address(int(found) >> _SUFFIX_BITS << _SUFFIX_BITS)}/{PREFIX_BITS}"
    return str(found)
