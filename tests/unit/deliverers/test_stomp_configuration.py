from __future__ import annotations

from typing import Any

import pytest

from deliverers.registry import ConfigurationError, DelivererRegistry
from deliverers.stomp import StompConfiguration
from deliverers.stomp.stomp_configuration import Address

TYPES = DelivererRegistry.load()
PLANTED = "planted-secret"
FIRST, SECOND = "stomp+ssl://a.example:61614", "stomp://b.example"
SOUND: dict[str, Any] = {
    "username": "shop",
    "password": PLANTED,
    "destination": "/queue/orders",
    "addresses": [FIRST, SECOND],
}


def parsed(configuration: dict[str, Any]) -> StompConfiguration:
    found = TYPES.parse_configuration("stomp", configuration)
    assert isinstance(found, StompConfiguration)
    return found


def test_a_sound_configuration_keeps_its_addresses_in_turn_and_prints_no_password() -> None:
    configuration = parsed(SOUND)

    assert configuration.addresses == (FIRST, SECOND)
    assert configuration.password is not None
    assert configuration.password.get_secret_value() == PLANTED
    assert PLANTED not in repr(configuration)


def test_a_destination_and_an_address_are_enough() -> None:
    configuration = parsed({"destination": "orders", "addresses": [FIRST], "username": "", "password": ""})

    assert configuration.username is None
    assert configuration.password is None


def test_a_url_is_an_address_and_is_never_emitted() -> None:
    configuration = parsed({"destination": "orders", "url": FIRST})

    assert configuration.addresses == (FIRST,)
    assert "url" not in configuration.model_dump()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"url": FIRST}, {"addresses": [FIRST]}),
        ({"url": FIRST, "addresses": None}, {"addresses": [FIRST]}),
        ({"url": SECOND, "addresses": [FIRST, SECOND]}, {"addresses": [FIRST, SECOND]}),
        # What is not turned: there is nothing to turn, or it is refused as it was written.
        ({"addresses": [FIRST]}, {"addresses": [FIRST]}),
        ({"addresses": None}, {"addresses": None}),
        ({"url": None}, {"url": None}),
        ({"url": "http://a.example"}, {"url": "http://a.example"}),
        ({"url": [FIRST]}, {"url": [FIRST]}),
        ({"url": FIRST, "addresses": [SECOND]}, {"url": FIRST, "addresses": [SECOND]}),
        ({"url": FIRST, "addresses": FIRST}, {"url": FIRST, "addresses": FIRST}),
        ({"destination": 1, "x": 2}, {"destination": 1, "x": 2}),
    ],
)
def test_one_spelling_is_stored(given: dict[str, Any], stored: dict[str, Any]) -> None:
    before = dict(given)

    assert StompConfiguration.normalised(given) == stored
    assert given == before


def test_everything_that_is_missing_is_said() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed({})

    assert [(each.field, each.message) for each in caught.value.problems] == [
        ("configuration.destination", "is required"),
        (
            "configuration.addresses",
            "is required: at least one address, such as stomp+ssl://broker.example.com:61614",
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"addresses": []}, ("addresses",), "at least one address"),
        ({"addresses": [FIRST] * 17}, ("addresses",), "at most 16"),
        ({"addresses": FIRST}, ("addresses",), "must be a list"),
        ({"addresses": [FIRST, 7]}, ("addresses", "1"), "must be a string"),
        ({"addresses": ["https://a.example"]}, ("addresses", "0"), "must begin with stomp+ssl:// or stomp://"),
        ({"addresses": ["stomp://"]}, ("addresses", "0"), "must name a host"),
        ({"addresses": ["stomp://a.example:0"]}, ("addresses", "0"), "port from 1 to 65535"),
        ({"addresses": ["stomp://a.example:65536"]}, ("addresses", "0"), "host and port"),
        ({"addresses": [f"stomp://u:{PLANTED}@a.example"]}, ("addresses", "0"), "user name or a password"),
        ({"addresses": ["stomp://a.example#x"]}, ("addresses", "0"), "must have no query"),
        ({"addresses": ["stomp://a.example?randomize=true"]}, ("addresses", "0"), "must have no query"),
        ({"addresses": ["stomp://a.example\r\nx"]}, ("addresses", "0"), "control characters"),
        ({"addresses": ["stomp://a.example/a%0Ab"]}, ("addresses", "0"), "control characters in its path"),
        ({"addresses": ["stomp://a.example/%00"]}, ("addresses", "0"), "control characters in its path"),
        ({"addresses": ["stomp://a.example/%ff"]}, ("addresses", "0"), "UTF-8 in its path"),
        ({"url": "https://a.example"}, ("url",), "must begin with stomp+ssl:// or stomp://"),
        ({"url": "stomp://c.example"}, ("addresses",), "must contain the url"),
        ({"url": FIRST, "addresses": []}, ("addresses",), "must contain the url"),
        ({"url": 7}, ("url",), "must be a string"),
        ({"destination": " "}, ("destination",), "must not be empty"),
        ({"destination": "a\nb"}, ("destination",), "control characters"),
        ({"destination": "a" * 1025}, ("destination",), "at most 1024 characters"),
        ({"username": "a\nb"}, ("username",), "control characters"),
        ({"password": PLANTED + "\nx:y"}, ("password",), "control characters"),
        ({"password": PLANTED + "x" * 1024}, ("password",), "at most 1024 characters"),
        ({"passwort": "x"}, ("passwort",), 'did you mean "password"'),
    ],
)
def test_a_bad_value_is_refused_in_words_without_it(changes: dict[str, Any], path: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(SOUND | changes)

    (problem,) = caught.value.problems
    assert problem.path == ("configuration", *path)
    assert words in problem.message
    assert PLANTED not in str(caught.value)


def test_a_bad_url_is_not_called_a_missing_address_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed({"destination": "orders", "url": "https://a.example"})

    assert [each.field for each in caught.value.problems] == ["configuration.url"]


@pytest.mark.parametrize("address", ["stomp://a.example/", "STOMP://[2606:4700::1111]:61613", "stomp://bücher.example"])
def test_a_sound_address_is_kept_as_it_was_written(address: str) -> None:
    assert parsed({"destination": "orders", "url": address}).addresses == (address,)


def test_an_address_may_name_a_virtual_host_by_its_path() -> None:
    given = {"addresses": ["stomp+ssl://a.example:61614/shop"], "destination": "/queue/q"}
    assert StompConfiguration.model_validate(given).addresses == ("stomp+ssl://a.example:61614/shop",)


@pytest.mark.parametrize(
    ("text", "address", "peer"),
    [
        ("stomp://a.example", Address("stomp", "a.example", 61613, "/"), "a.example:61613"),
        ("stomp+ssl://a.example/", Address("stomp+ssl", "a.example", 61614, "/"), "a.example:61614"),
        ("STOMP://A.example:1/shop", Address("stomp", "a.example", 1, "shop"), "a.example:1"),
        ("stomp://[2606:4700::1]/%2F", Address("stomp", "2606:4700::1", 61613, "/"), "[2606:4700::1]:61613"),
        ("stomp://bücher.example/a%2Fb%20ö", Address("stomp", "xn--bcher-kva.example", 61613, "a/b ö"), None),
    ],
)
def test_an_address_is_a_host_a_port_and_a_virtual_host(text: str, address: Address, peer: str | None) -> None:
    assert Address.parse(text) == address
    assert peer is None or address.peer == peer
    assert address.tls == text.startswith("stomp+ssl")


def test_integrations_of_one_account_share_what_they_have_in_common() -> None:
    one, another = parsed(SOUND), parsed(SOUND | {"destination": "/queue/else"})
    assert one.account == another.account
    assert hash(one.account) == hash(another.account)
    for change in ({"password": "x"}, {"username": "x"}, {"addresses": [SECOND, FIRST]}):
        assert parsed(SOUND | change).account != one.account
    assert PLANTED not in repr(one.account)


def test_a_password_is_known_in_the_forms_that_a_broker_may_repeat() -> None:
    assert set(parsed(SOUND | {"password": "a\\b"}).account.secrets) == {"a\\b", "a\\\\b"}
    assert parsed(SOUND | {"password": None}).account.secrets == ()
