"""The egress policy: which addresses may be dialled.

The decision is made where a socket is created, on the address that will really be dialled: a literal, or the answer of
a DNS query, which nobody can change any more. DNS rebinding therefore gains nothing. Networks and their names follow
the IANA special-purpose address registries (RFC 6890) rather than `ipaddress.is_global`, whose answer changes with
Python's version. Outside them, IPv6 is allowed only in 2000::/3, the only block that IANA has allocated as global
unicast.
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
    """A refusal by the policy; its text is fit for a log."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.EACCES, words)

    def __str__(self) -> str:
        return str(self.strerror)


class AddressNotAllowed(NotAllowed):
    """A refusal of an address; its text is `address not allowed: 10.0.0.1 (private network)`."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"address not allowed: {address} ({why})")


# The first match wins, so a single address precedes the network around it.
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
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: a gateway dials the IPv4 address; hosts without IPv4 need it
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: each network chooses its length, and so the embedded address
_IPV4_LAST = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1: the interface identifier ends in an IPv4 address


def _ipv4_at(address: IPv6Address, shift: int) -> IPv4Address:
    return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that a tunnel or a translator may dial for this IPv6 address."""
    if address in _NAT64 or any(address in network for network in _IPV4_LAST):
        # `::` and `::1` are addresses of their own.
        return () if int(address) <= 1 else (_ipv4_at(address, 0),)
    if address in _LOCAL_NAT64:
        # RFC 6052, section 2.2: after a /48, the address lies around the reserved byte at bits 64 to 71.
        around = ((int(address) >> 64) & 0xFFFF) << 16 | ((int(address) >> 40) & 0xFFFF)
        # One of the two readings is right; a zero is only the padding of the other.
        return tuple(inner for inner in (_ipv4_at(address, 0), IPv4Address(around)) if int(inner))
    if address in _6TO4:
        return (_ipv4_at(address, 80),)
    if address in _TEREDO:
        return (_ipv4_at(address, 64), IPv4Address(int(_ipv4_at(address, 0)) ^ 0xFFFFFFFF))
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP_MARKS:
        return (_ipv4_at(address, 0),)
    return ()


def _special(address: Address) -> str | None:
    """Return what the registries call a special address; None for a public one."""
    for network, why in _REFUSED:
        if address in network:  # an address is in no network of the other version
            return why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST and address not in _NAT64:
        return "reserved"
    return None


# Names that mean a refused address, on every machine or in every cloud.
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
    """A policy that allows public addresses and the networks of `allow`, at the given ports and schemes only."""

    allow: tuple[Network, ...] = ()
    #: Ports that may be dialled; empty allows all.
    ports: tuple[range, ...] = ()
    #: Schemes of URLs, in lower case; empty allows every scheme that a deliverer speaks.
    schemes: frozenset[str] = frozenset()

    def scheme_refusal(self, scheme: str) -> str | None:
        """Return why a URL's scheme may not be used, or None if it may."""
        if not self.schemes or scheme.lower() in self.schemes:
            return None
        return f"scheme not allowed: {scheme} (only {', '.join(sorted(self.schemes))})"

    def proxied_refusal(self, host: str, port: int) -> str | None:
        """Return why a proxy may not be asked for a host, or None if it may.

        Behind a proxy, we do not see the address that is dialled. Only a literal and a few names can be judged here;
        the proxy must refuse the rest.
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
        """Return why an address may not be dialled, or None if it may.

        A scope id (`fe80::1%eth0`) makes no difference.
        """
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
        """Raise `AddressNotAllowed` unless the address, and the port if given, may be dialled."""
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
    """Return a function that creates sockets for aiohttp, aiobotocore and others, and enforces the policy.

    The function raises `AddressNotAllowed`, an `OSError`, before a socket exists. It calls `dialled` for each socket
    that it creates. Without a policy it refuses nothing: the address is then a proxy's.
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
