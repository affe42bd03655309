from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest

from deliverers.egress import AddressNotAllowed, EgressPolicy, socket_factory

PUBLIC_ONLY = EgressPolicy()


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:830::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_may_be_dialled(address: str) -> None:
    PUBLIC_ONLY.check(address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "this network"),
        ("10.0.0.1", "private network"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "cloud metadata"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "cloud metadata"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.170.2", "cloud metadata"),
        ("169.254.1.1", "link-local"),
        ("172.16.0.1", "private network"),
        ("172.31.255.255", "private network"),
        ("192.0.0.192", "cloud metadata"),
        ("192.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.1.1", "private network"),
        ("198.18.0.1", "benchmarking"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "127.0.0.1, loopback"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:a9fe:a9fe", "cloud metadata"),
        ("::ffff:0:10.0.0.1", "10.0.0.1, private network"),
        ("64:ff9b::10.0.0.1", "10.0.0.1, private network"),
        ("64:ff9b::169.254.169.254", "169.254.169.254, cloud metadata"),
        ("64:ff9b:1::8.8.8.8", "local NAT64"),
        ("64:ff9b:1::10.0.0.1", "10.0.0.1, private network"),
        ("64:ff9b:1:a00:0:100::", "10.0.0.1, private network"),
        ("100::1", "discard"),
        ("2001::1", "0.0.0.0, unspecified"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45, documentation"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "127.0.0.1, loopback"),
        ("2002:808:808::1", "6to4"),
        ("2606:4700::5efe:10.0.0.1", "10.0.0.1, private network"),
        ("3fff::1", "documentation"),
        ("fc00::1", "private network"),
        ("fd00:ec2::254", "cloud metadata"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("4000::1", "reserved"),
        ("5f00::1", "reserved"),
        ("2130706433", "not an IP address"),
        ("0177.0.0.1", "not an IP address"),
        ("0x7f.1", "not an IP address"),
        ("localhost", "not an IP address"),
        ("", "not an IP address"),
    ],
)
def test_other_addresses_are_refused_in_words(address: str, why: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        PUBLIC_ONLY.check(address)
    assert str(caught.value) == f"address not allowed: {address} ({why})"
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
def test_allowing_an_ipv4_network_lets_its_translated_forms_through(address: str) -> None:
    EgressPolicy((ip_network("10.0.0.0/8"),)).check(address)


@pytest.mark.parametrize("address", ["::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1"])
def test_allowing_all_of_ipv6_lets_no_private_ipv4_address_through(address: str) -> None:
    with pytest.raises(AddressNotAllowed):
        EgressPolicy((ip_network("::/0"),)).check(address)


def test_a_local_nat64_network_may_be_allowed() -> None:
    policy = EgressPolicy((ip_network("64:ff9b:1::/48"),))
    policy.check("64:ff9b:1::8.8.8.8")
    policy.check("64:ff9b:1:808:8:800::")


def test_a_link_local_network_may_be_allowed_whatever_the_scope() -> None:
    EgressPolicy((ip_network("fe80::/10"),)).check("fe80::1%eth0")


def test_only_the_allowed_ports_are_reached() -> None:
    policy = EgressPolicy((ip_network("127.0.0.0/8"),), ports=(range(443, 444), range(8000, 9000)))
    for port in (443, 8000, 8999):
        policy.check("8.8.8.8", port)
        policy.check("127.0.0.1", port)
    for port in (25, 80, 444, 7999, 9000):
        with pytest.raises(AddressNotAllowed, match=rf"^address not allowed: 8\.8\.8\.8 \(port {port}\)$"):
            policy.check("8.8.8.8", port)
    with pytest.raises(AddressNotAllowed, match="private network"):
        policy.check("10.0.0.1", 443)


def test_a_socket_to_another_port_is_not_made() -> None:
    create = socket_factory(EgressPolicy((ip_network("127.0.0.0/8"),), ports=(range(443, 444),)))
    with pytest.raises(AddressNotAllowed, match="port 80"):
        create((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80)))


def test_only_the_allowed_schemes_are_used() -> None:
    assert EgressPolicy().scheme_refusal("http") is None
    policy = EgressPolicy(schemes=frozenset({"https", "stomp+ssl"}))
    assert policy.scheme_refusal("HTTPS") is None
    assert policy.scheme_refusal("http") == "scheme not allowed: http (only https, stomp+ssl)"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("10.0.0.1", "private network"),
        ("::ffff:169.254.169.254", "cloud metadata"),
        ("localhost", "loopback"),
        ("shop.localhost.", "loopback"),
        ("metadata.google.internal", "cloud metadata"),
    ],
)
def test_what_can_be_judged_is_not_asked_of_a_proxy(host: str, why: str) -> None:
    assert PUBLIC_ONLY.proxied_refusal(host, 80) == f"address not allowed: {host} ({why})"


def test_a_proxy_is_asked_for_every_other_name_at_an_allowed_port() -> None:
    assert PUBLIC_ONLY.proxied_refusal("erp.example", 8443) is None
    assert PUBLIC_ONLY.proxied_refusal("8.8.8.8", 80) is None
    limited = EgressPolicy((ip_network("127.0.0.0/8"),), ports=(range(443, 444),))
    assert limited.proxied_refusal("localhost", 443) is None
    assert limited.proxied_refusal("erp.example", 80) == "address not allowed: erp.example (port 80)"


def test_a_socket_is_made_only_for_an_allowed_address() -> None:
    create = socket_factory(EgressPolicy((ip_network("127.0.0.0/8"),)))
    with create((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))) as made:
        assert made.family == socket.AF_INET
    with pytest.raises(AddressNotAllowed):
        create((socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 80, 0, 0)))
    with pytest.raises(AddressNotAllowed):
        create((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("/run/docker.sock",)))
