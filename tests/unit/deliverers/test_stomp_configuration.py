from __future__ import annotations

from typing import Any

import pytest

from deliverers.registry import ConfigurationError, DelivererRegistry
from deliverers.stomp import StompConfiguration

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
