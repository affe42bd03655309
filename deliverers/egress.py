"""Which addresses may be dialled.

The decision is made where a socket is created, on the address that will really be dialled: a literal, or the answer of
a DNS query that nobody can change any more (so rebinding gains nothing). Networks and their names follow the IANA
special-purpose address registries (RFC 6890) rather than `ipaddress.is_global`, whose answer changes with Python's
version; outside them IPv6 is allowed only in 2000::/3, the only block that IANA has given out as global unicast.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from deliverers.sockets import DiallingSocket

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: (family, type, protocol, canonical name, socket address), as `socket.getaddrinfo` returns it.
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class NotAllowed(PermissionError):
    """The policy is against it. Its text is what a log says."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.EACCES, words)

    def __str__(self) -> str:
        return str(self.strerror)


class AddressNotAllowed(NotAllowed):
    """The address may not be dialled. Its text is `address not allowed: 10.0.0.1 (private network)`."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"address not allowed: {address} ({why})")


# The first match wins, so a single address stands before the network around it.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("169.254.169.254/32", "cloud metadata"),
        ("169.254.170.2/32", "cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("192.0.0.192/32", "cloud metadata"),
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private network"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private network"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private network"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("fd00:ec2::254/128", "cloud metadata"),
        ("fd20:ce::254/128", "cloud metadata"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private network"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_LOOPBACK = IPv4Address("127.0.0.1")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")  # the kernel dials the IPv4 address itself
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: a gateway dials the IPv4 address; hosts without IPv4 depend on it
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215; its length, and so the embedded address, is the network's own
_IPV4_LAST = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1: the interface identifier ends in an IPv4 address


def _ipv4_at(address: IPv6Address, shift: int) -> IPv4Address:
    return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a tunnel or a translator may dial for this IPv6 one."""
    if address in _NAT64 or any(address in network for network in _IPV4_LAST):
        # `::` and `::1` are addresses of their own.
        return () if int(address) <= 1 else (_ipv4_at(address, 0),)
    if address in _LOCAL_NAT64:
        # RFC 6052, section 2.2: after a /48 the address lies around the reserved byte at bits 64 to 71.
        around = ((int(address) >> 64) & 0xFFFF) << 16 | ((int(address) >> 40) & 0xFFFF)
        # One of the two readings is right; a zero there is the filling of the other.
        return tuple(inner for inner in (_ipv4_at(address, 0), IPv4Address(around)) if int(inner))
    if address in _6TO4:
        return (_ipv4_at(address, 80),)
    if address in _TEREDO:
        return (_ipv4_at(address, 64), IPv4Address(int(_ipv4_at(address, 0)) ^ 0xFFFFFFFF))
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP_MARKS:
        return (_ipv4_at(address, 0),)
    return ()


def _special(address: Address) -> str | None:
    """What the registries say against an address; `None` for a public one."""
    for network, why in _REFUSED:
        if address in network:  # an address is in no network of the other version
            return why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST and address not in _NAT64:
        return "reserved"
    return None


# What stands for an address that is refused, on every machine or in every cloud.
_REFUSED_NAMES = {
    "localhost": "loopback",
    "localhost.localdomain": "loopback",
    "ip6-localhost": "loopback",
    "ip6-loopback": "loopback",
    "metadata": "cloud metadata",
    "metadata.google.internal": "cloud metadata",
    "instance-data": "cloud metadata",
}


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public addresses may be dialled, and those in the networks of `allow`; of both, only these ports and schemes."""

    allow: tuple[Network, ...] = ()
    #: Empty for every port.
    ports: tuple[range, ...] = ()
    #: Of URLs, in lower case; empty for every scheme that a deliverer speaks.
    schemes: frozenset[str] = frozenset()

    def scheme_refusal(self, scheme: str) -> str | None:
        """Say why a URL's scheme may not be used; `None` when it may."""
        if not self.schemes or scheme.lower() in self.schemes:
            return None
        return f"scheme not allowed: {scheme} (only {', '.join(sorted(self.schemes))})"

    def proxied_refusal(self, host: str, port: int) -> str | None:
        """Say why a proxy may not be asked for a host; `None` when it may.

        Through a proxy nobody here sees the address that is dialled: a literal can be judged, and a few names. The rest
        is the proxy's to refuse.
        """
        try:
            ip_address(host.partition("%")[0])
        except ValueError:
            name = host.rstrip(".").lower()
            why = "loopback" if name.endswith(".localhost") else _REFUSED_NAMES.get(name)
            if why is None or (why == "loopback" and self._refusal(_LOOPBACK) is None):
                why = None if self._takes(port) else f"port {port}"
        else:
            why = self.refusal(host, port)
        return f"address not allowed: {host} ({why})" if why else None

    def refusal(self, address: str, port: int | None = None) -> str | None:
        """Say why an address may not be dialled; `None` when it may. A scope id (`fe80::1%eth0`) changes nothing."""
        if port is not None and not self._takes(port):
            return f"port {port}"
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        if isinstance(parsed, IPv6Address):
            if parsed in _MAPPED:
                return self._refusal(_ipv4_at(parsed, 0))
            for inner in _embedded(parsed):
                if why := self._refusal(inner):
                    return f"{inner}, {why}"
        return self._refusal(parsed)

    def check(self, address: str, port: int | None = None) -> None:
        """Raise `AddressNotAllowed` unless the address may be dialled, at this port where one is given."""
        if why := self.refusal(address, port):
            raise AddressNotAllowed(address, why)

    def _takes(self, port: int) -> bool:
        return not self.ports or any(port in allowed for allowed in self.ports)

    def _refusal(self, address: Address) -> str | None:
        if any(address in network for network in self.allow):
            return None
        return _special(address)


def socket_factory(
    policy: EgressPolicy | None, dialled: Callable[[], None] = lambda: None
) -> Callable[[AddressInfo], socket.socket]:
    """Make the function that creates sockets for aiohttp, aiobotocore and the like, and refuses what the policy does.

    It raises `AddressNotAllowed`, an `OSError`, before a socket exists, and calls `dialled` for each that does. Without
    a policy it refuses nothing: the address is a proxy's.
    """

    def create(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise AddressNotAllowed(str(address), "not an IP address")
        if policy is not None:
            policy.check(str(address[0]), int(address[1]))
        dialled()
        sock = DiallingSocket(family, kind, protocol)
        sock.setblocking(False)
        return sock

    return create
