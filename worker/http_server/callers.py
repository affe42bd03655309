"""Networks of callers; a limit for unauthenticated callers counts each network as one caller."""

from ipaddress import IPv4Address, IPv6Address, ip_address

#: Leading bits of an IPv6 address that identify a caller, who can choose the other 64 freely (RFC 4291, 2.5.4).
PREFIX_BITS = 64

_SUFFIX_BITS = 128 - PREFIX_BITS
#: The network of every caller without a valid address.
UNKNOWN = "unknown"


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address; None if it is invalid.

    An IPv4-mapped address (::ffff:192.0.2.1) becomes IPv4. A zone (`fe80::1%eth0`) is dropped, since it names an
    interface of this machine.
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
