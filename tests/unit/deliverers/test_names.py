"""The resolver of host names, with the names that every machine has."""

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from deliverers.http.names import LateResolver, numeric_address


@pytest.fixture
async def resolver() -> AsyncIterator[LateResolver]:
    made = LateResolver(5.0)
    yield made
    await made.close()


async def test_a_name_has_its_addresses(resolver: LateResolver) -> None:
    found = await resolver.resolve("localhost", 8080)

    assert [(each["host"], each["port"], each["family"]) for each in found] == [("127.0.0.1", 8080, socket.AF_INET)]


async def test_the_addresses_of_every_family_are_numbers(resolver: LateResolver) -> None:
    found = await resolver.resolve("localhost", 80, socket.AF_UNSPEC)

    assert {each["host"] for each in found} >= {"127.0.0.1"}
    assert all(ip_address(each["host"]).is_loopback for each in found)


async def test_a_closed_resolver_resolves_again(resolver: LateResolver) -> None:
    await resolver.resolve("localhost")
    await resolver.close()

    assert await resolver.resolve("localhost")


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, (b"192.0.2.7", 80), "192.0.2.7"),
        (socket.AF_INET6, (b"2001:db8::7", 80, 0, 0), "2001:db8::7"),
        (socket.AF_INET6, (b"fe80::7", 80, 0, 2), "fe80::7%2"),
    ],
)
def test_a_link_local_address_names_its_interface(family: int, address: tuple[object, ...], text: str) -> None:
    assert numeric_address(family, address) == text
