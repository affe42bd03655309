"""How a webhook authenticates: what its configuration takes, and what it refuses at which field."""

from base64 import b64decode
from typing import Any

import pytest

from deliverers.registry import ConfigurationError, DelivererRegistry
from deliverers.webhook import WebhookConfiguration

TYPES = DelivererRegistry.built_in()
URL = "https://shop.example/hook"
SECRET = "planted-secret-value"
OAUTH = {"oauth_token_url": "https://a.example/t", "oauth_client_id": "shop", "oauth_client_secret": SECRET}


def taken(**given: Any) -> WebhookConfiguration:
    parsed = TYPES.parse_configuration("webhook", {"url": URL, **given})
    assert isinstance(parsed, WebhookConfiguration)
    return parsed


def refused(**given: Any) -> dict[tuple[str, ...], str]:
    with pytest.raises(ConfigurationError) as caught:
        TYPES.parse_configuration("webhook", {"url": URL, **given})
    assert SECRET not in str(caught.value)
    return {problem.path[1:]: problem.message for problem in caught.value.problems}


def test_headers_of_an_integration_are_sent_and_none_is_in_its_repr() -> None:
    configuration = taken(headers={"X-Api-Key": SECRET, "Authorization": f"Token {SECRET}"}, secret_key="s3cret")
    assert configuration.secret_headers == {
        "X-Api-Key": SECRET,
        "Authorization": f"Token {SECRET}",
        "X-MOLTIN-SECRET-KEY": "s3cret",
    }
    assert SECRET not in repr(configuration)
    assert configuration.masked_headers == {"x-api-key", "authorization"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Connection", "about one connection"),
        ("transfer-encoding", "about one connection"),
        ("Proxy-Authorization", "about one connection"),
        ("Content-Type", "the worker sets this header itself"),
        ("webhook-signature", "the worker sets this header itself"),
        ("Host", "the worker sets this header itself"),
        ("X-Moltin-Integration-Trigger", "the worker sets this header itself"),
        ("X-MOLTIN-SECRET-KEY", "use configuration.secret_key"),
    ],
)
def test_hop_by_hop_headers_and_ours_are_refused_at_their_name(name: str, words: str) -> None:
    ((path, message),) = refused(headers={"X-Fine": SECRET, name: SECRET}).items()
    assert path == ("headers", name)
    assert words in message


@pytest.mark.parametrize(
    ("headers", "place", "words"),
    [
        ([SECRET], (), "must be an object"),
        ({f"X-{n}": SECRET for n in range(21)}, (), "at most 20 headers, and are 21"),
        ({"X Y": SECRET}, (), "has a name that is not"),
        ({"X" * 101: SECRET}, (), "has a name that is not"),
        ({"X-A\r\nX-B": SECRET}, (), "has a name that is not"),
        ({"X-A": SECRET, "x-a": SECRET}, ("x-a",), "is given twice"),
        ({"X.Dotted.Name": f"{SECRET}\r\nX-B: c"}, ("X.Dotted.Name",), "visible ASCII"),
        ({"X-A": ""}, ("X-A",), "must not be empty"),
        ({"X-A": 7}, ("X-A",), "must be a string"),
        ({"X-A": "x" * 4097}, ("X-A",), "at most 4096 characters"),
        ({"X-A": "x" * 4096, "X-B": "x" * 4096}, (), "6144 characters together"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_where_they_are(headers: Any, place: Any, words: str) -> None:
    ((path, message),) = refused(headers=headers).items()
    assert path == ("headers", *place)
    assert words in message


def test_basic_and_bearer_become_the_header_authorization() -> None:
    basic = taken(basic_username="shöp", basic_password=f"{SECRET}:ü").secret_headers["Authorization"]
    assert b64decode(basic.removeprefix("Basic ")).decode() == f"shöp:{SECRET}:ü"
    assert taken(bearer_token=SECRET).secret_headers == {"Authorization": f"Bearer {SECRET}"}
    assert taken(basic_username="key", basic_password="").secret_headers["Authorization"] == "Basic a2V5Og=="


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"basic_username": "a"}, ("basic_password",), "is required with basic_username"),
        ({"basic_password": SECRET}, ("basic_username",), "is required with basic_password"),
        ({"basic_username": "a:b", "basic_password": SECRET}, ("basic_username",), "colon"),
        ({"basic_username": "a", "basic_password": f"{SECRET}\n"}, ("basic_password",), "control characters"),
        ({"bearer_token": f"Bearer {SECRET}"}, ("bearer_token",), "the token alone"),
        ({"bearer_token": f"{SECRET}\n"}, ("bearer_token",), "visible ASCII"),
        ({"oauth_token_url": "https://a.example/t"}, ("oauth_client_id",), "is required with oauth_token_url"),
        ({"oauth_scope": "x"}, ("oauth_token_url",), "is required with oauth_scope"),
        ({"oauth_client_secret": SECRET}, ("oauth_token_url",), "is required with oauth_client_secret"),
        ({**OAUTH, "oauth_token_url": "ftp://a.example"}, ("oauth_token_url",), "must begin with https://"),
        ({**OAUTH, "oauth_client_id": "a\nb"}, ("oauth_client_id",), "control characters"),
        ({**OAUTH, "oauth_auth_method": "none"}, ("oauth_auth_method",), "client_secret_basic"),
        ({**OAUTH, "bearer_token": SECRET}, ("oauth_token_url",), "cannot be combined with bearer_token"),
        (
            {"basic_username": "a", "basic_password": SECRET, "bearer_token": SECRET},
            ("bearer_token",),
            "cannot be combined with basic_username",
        ),
        (
            {"bearer_token": SECRET, "headers": {"authorization": SECRET}},
            ("headers", "Authorization"),
            "cannot be combined with bearer_token",
        ),
    ],
)
def test_authentication_that_contradicts_itself_is_refused_at_its_field(
    given: dict[str, Any], place: tuple[str, ...], words: str
) -> None:
    ((path, message),) = refused(**given).items()
    assert path == place
    assert words in message


def test_what_an_answer_may_echo_is_known_in_each_form_and_what_is_short_is_left() -> None:
    forms = taken(headers={"X-Env": "prod", "X-Key": 'quo"ted-key', "Authorization": f"Token {SECRET}"}).secret_forms
    assert set(forms) == {b'quo"ted-key', b'quo\\"ted-key', f"Token {SECRET}".encode(), SECRET.encode()}
    assert b"prod" not in forms
