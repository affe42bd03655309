"""A PUT's `configuration` replaces the stored one, and no stored secret goes to a destination that came without it."""

from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, SecretStr, field_validator

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.contract import Destination, NotDestination
from deliverers.registry import MOST_KEYS, DelivererRegistry
from deliverers.stomp import StompDeliverer
from deliverers.webhook import WebhookDeliverer
from worker.domain.configuration_replacement import SHOWN_CHARS, WARNINGS_MOST, configured, ignored_keys
from worker.domain.masking import masked


class PigeonConfiguration(BaseModel):
    """A plug-in's, that marks nothing."""

    model_config = ConfigDict(extra="allow")

    loft: str
    route: dict[str, Any] = {}
    token: SecretStr
    spare: SecretStr | None = None
    rings: list[SecretStr] = []


class MarkedConfiguration(BaseModel):
    """A plug-in's, that marks what counts."""

    loft: Annotated[str, Destination(str.lower)]
    title: Annotated[str, NotDestination()] = ""
    breeder: Annotated[SecretStr | None, Destination()] = None
    token: SecretStr | None = None


class PigeonDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "pigeon"
    configuration_model: ClassVar[type[BaseModel]] = PigeonConfiguration


class MarkedDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "marked"
    configuration_model: ClassVar[type[BaseModel]] = MarkedConfiguration


TYPES = DelivererRegistry((WebhookDeliverer, AwsSqsDeliverer, StompDeliverer, PigeonDeliverer, MarkedDeliverer))
KEYS = ["whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV" + last for last in "0123"]
STORED: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://shop.example/hook", "secret_key": "correct horse battery", "signing_keys": KEYS[:2]},
    "aws_sqs": {
        "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "region": "eu-west-1",
    },
    "stomp": {
        "username": "shop",
        "password": "guest",
        "destination": "/queue/orders",
        "addresses": ["stomp+ssl://a.example", "stomp+ssl://b.example:61614"],
    },
    "pigeon": {
        "loft": "north",
        "route": {"via": ["sea"]},
        "token": "a token of its own",
        "spare": "short",
        "rings": ["first-ring-1111", "second-ring-2222"],
    },
    "marked": {"loft": "north", "title": "t", "breeder": "breeder-of-doves", "token": "a token of its own"},
}


def replaced(kind: str, configuration: dict[str, Any], stored: dict[str, Any] | None = None) -> dict[str, Any]:
    """What becomes of it; refused, by the fields that are named."""
    found = configured(configuration, kind, TYPES, STORED[kind] if stored is None else stored)
    assert not isinstance(found, list), found
    return dict(found)


def refused(kind: str, configuration: dict[str, Any], stored: dict[str, Any] | None = None) -> dict[str, str]:
    found = configured(configuration, kind, TYPES, STORED[kind] if stored is None else stored)
    assert isinstance(found, list), found
    shown = str(found)
    for name in TYPES.secret_fields(kind):
        for value in _listed(STORED[kind].get(name)):
            assert value not in shown
    return {each.field: each.reason for each in found}


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def shown(kind: str, **changes: Any) -> dict[str, Any]:
    """The stored configuration as an API client reads it, with some keys changed."""
    return masked(STORED[kind], TYPES.secret_fields(kind)) | changes


def without(configuration: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in configuration.items() if name not in names}


@pytest.mark.parametrize("kind", STORED)
def test_what_was_shown_can_be_sent_back_and_changes_nothing(kind: str) -> None:
    assert replaced(kind, shown(kind)) == STORED[kind]


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("webhook", ("secret_key", "signing_keys")),
        ("webhook", ("signing_keys",)),
        ("stomp", ("password",)),
        ("pigeon", ("spare",)),
        ("marked", ("token",)),
    ],
)
def test_an_optional_secret_that_is_left_out_is_gone_and_null_is_the_same(kind: str, left_out: tuple[str, ...]) -> None:
    expected = without(STORED[kind], *left_out)

    assert replaced(kind, without(shown(kind), *left_out)) == expected
    assert replaced(kind, shown(kind, **dict.fromkeys(left_out))) == expected


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [("aws_sqs", "aws_secret_access_key"), ("aws_sqs", "aws_access_key_id"), ("pigeon", "token"), ("webhook", "url")],
)
def test_a_required_key_that_is_left_out_is_refused(kind: str, left_out: str) -> None:
    assert refused(kind, without(shown(kind), left_out)) == {f"configuration.{left_out}": "is required"}


def test_what_is_no_secret_is_replaced_as_well() -> None:
    bare = {"destination": "/queue/orders", "addresses": STORED["stomp"]["addresses"]}

    assert replaced("stomp", bare) == bare


# Each changes the destination of its type.
MOVES = [
    ("webhook", {"url": "https://evil.example/hook"}),
    ("webhook", {"url": "http://shop.example/hook"}),
    ("webhook", {"url": "https://shop.example:8443/hook"}),
    ("webhook", {"url": "https://shop.example./hook"}),
    ("webhook", {"url": "https://shop.example.evil.example/hook"}),
    ("webhook", {"url": "https://192.0.2.1/hook"}),
    ("webhook", {"url": "https://sh\u043ep.example/hook"}),
    ("aws_sqs", {"url": "https://sqs.eu-west-1.amazonaws.com.evil.example/123456789/orders"}),
    ("aws_sqs", {"url": "https://sqs.eu-west-1.amazonaws.com/123456789/other"}),
    ("aws_sqs", {"url": "https://sqs.eu-west-1.amazonaws.com/987654321/orders"}),
    ("aws_sqs", {"url": "http://sqs.eu-west-1.amazonaws.com/123456789/orders"}),
    ("aws_sqs", {"region": "eu-west-2"}),
    ("aws_sqs", {"aws_access_key_id": "AKIAIOSFODNN7ANOTHER"}),
    ("stomp", {"addresses": ["stomp+ssl://evil.example"]}),
    ("stomp", {"addresses": [*STORED["stomp"]["addresses"], "stomp+ssl://evil.example"]}),
    ("stomp", {"addresses": ["stomp://a.example:61614", "stomp+ssl://b.example"]}),
    ("stomp", {"addresses": ["stomp+ssl://a.example/other", "stomp+ssl://b.example"]}),
    ("stomp", {"addresses": ["stomp+ssl://a.example:61615", "stomp+ssl://b.example"]}),
    ("stomp", {"addresses": None, "url": "stomp+ssl://evil.example"}),
    ("stomp", {"destination": "/queue/others"}),
    ("stomp", {"username": "admin"}),
    ("stomp", {"username": None}),
    ("pigeon", {"loft": "south"}),
    ("pigeon", {"route": {"via": ["sea", "land"]}}),
    ("pigeon", {"route": {}}),
    ("pigeon", {"proxy": "evil.example"}),
    ("marked", {"loft": "south"}),
    ("marked", {"breeder": "another breeder"}),
    ("marked", {"breeder": None}),
]


@pytest.mark.parametrize(("kind", "changes"), MOVES)
def test_a_changed_destination_wants_its_secrets_again(kind: str, changes: dict[str, Any]) -> None:
    masks = {name for name in TYPES.secret_fields(kind) if name not in changes and STORED[kind].get(name)}

    problems = refused(kind, shown(kind, **changes))

    assert set(problems) == {f"configuration.{name}" for name in masks}
    for reason in problems.values():
        assert reason.startswith("must be given again, because the destination changed (configuration.")


@pytest.mark.parametrize(("kind", "changes"), MOVES)
def test_a_changed_destination_takes_no_secret_along(kind: str, changes: dict[str, Any]) -> None:
    """Whatever is sent but the secrets themselves: no stored one is in what is kept."""
    secrets = TYPES.secret_fields(kind)
    given = {name: value for name, value in shown(kind, **changes).items() if name not in secrets - set(changes)}

    found = configured(given, kind, TYPES, STORED[kind])

    stored = {each for name in secrets for each in _listed(STORED[kind].get(name))}
    if isinstance(found, list):
        assert {(each.field, each.reason) for each in found} <= {
            (f"configuration.{name}", "is required") for name in secrets
        }
    else:
        kept = {each for name in secrets for each in _listed(found.get(name))}
        assert not kept & stored


@pytest.mark.parametrize(("kind", "changes"), MOVES)
def test_a_changed_destination_is_taken_with_its_secrets(kind: str, changes: dict[str, Any]) -> None:
    given = STORED[kind] | changes
    expected = {name: value for name, value in TYPES.normalised(kind, given).items() if value is not None}

    assert replaced(kind, given) == expected


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("webhook", {"url": "https://shop.example/other?x=1#y"}),
        ("webhook", {"url": "HTTPS://SHOP.example:443/hook"}),
        ("webhook", {"secret_key": "another horse battery"}),
        ("aws_sqs", {"url": "https://SQS.eu-west-1.amazonaws.com:443/123456789/orders"}),
        ("aws_sqs", {"aws_secret_access_key": "another-key"}),
        ("stomp", {"addresses": ["stomp+ssl://B.example", "STOMP+SSL://a.example:61614/"]}),
        ("pigeon", {"token": "another token"}),
        ("marked", {"loft": "NORTH", "title": "other"}),
    ],
)
def test_what_leads_to_the_same_destination_keeps_the_secrets(kind: str, changes: dict[str, Any]) -> None:
    assert replaced(kind, shown(kind, **changes)) == STORED[kind] | changes


@pytest.mark.parametrize(
    ("stored", "changed"),
    [
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://[2001:DB8::1]/", "https://[2001:db8:0::1]/"),
    ],
)
def test_two_spellings_of_one_host_are_one_destination(stored: str, changed: str) -> None:
    before = {"url": stored, "secret_key": "correct horse battery"}
    sent_back = {"url": changed, "secret_key": "*" * 17 + "tery"}

    assert replaced("webhook", sent_back, before) == before | {"url": changed}


def test_null_and_a_default_are_one_destination() -> None:
    stored = without(STORED["stomp"], "username")

    assert replaced("stomp", shown("stomp", username=""), stored) == {**stored, "username": ""}
    assert replaced("stomp", shown("stomp", username=None), stored) == stored


def test_a_mask_in_a_field_that_is_no_secret_is_what_it_is() -> None:
    problems = refused("webhook", shown("webhook", url="*" * 21 + "hook"))

    assert list(problems) == ["configuration.url"]
    assert "must begin with" in problems["configuration.url"]


def test_keys_can_be_added_and_dropped_by_their_masks() -> None:
    first, second = shown("webhook")["signing_keys"]

    assert first != second
    assert replaced("webhook", shown("webhook", signing_keys=[KEYS[2], first]))["signing_keys"] == [KEYS[2], KEYS[0]]
    assert replaced("webhook", shown("webhook", signing_keys=[second]))["signing_keys"] == [KEYS[1]]


def test_a_mask_of_two_keys_that_end_alike_is_refused_where_it_may_be_either() -> None:
    stored = STORED["pigeon"] | {"rings": ["left", "right"]}

    problems = refused("pigeon", shown("pigeon", rings=["********"]), stored)

    assert problems == {
        "configuration.rings": "has a mask that several of its secrets share: send the secrets themselves"
    }
    assert replaced("pigeon", shown("pigeon", rings=["********", "********"]), stored) == stored


def test_eight_stars_stand_for_a_short_secret_and_for_no_other() -> None:
    same = {"url": "https://shop.example/hook"}
    for short in ("guest", "*", "********", "elevenchars"):
        stored = same | {"secret_key": short}
        assert replaced("webhook", same | {"secret_key": "********"}, stored) == stored
    for long in ("twelve-chars", "correct horse battery"):
        problems = refused("webhook", same | {"secret_key": "********"}, same | {"secret_key": long})
        assert "mask" in problems["configuration.secret_key"]


@pytest.mark.parametrize("secret", ["********", "****", "********ijkl", "*********", "********a*b*"])
def test_a_secret_that_looks_like_a_mask_moves_nowhere_by_itself(secret: str) -> None:
    stored = {"url": "https://shop.example/hook", "secret_key": secret}

    assert replaced("webhook", dict(stored), stored) == stored
    problems = refused("webhook", {"url": "https://evil.example/hook", "secret_key": secret}, stored)
    assert list(problems) == ["configuration.secret_key"]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40))
def test_no_mask_moves_a_secret_whatever_that_is(secret: str) -> None:
    stored = {"url": "https://shop.example/hook", "secret_key": secret}
    sent_back = masked(stored, ["secret_key"])

    assert replaced("webhook", sent_back | {"url": "https://shop.example/"}, stored)["secret_key"] == secret
    moved = configured(sent_back | {"url": "https://evil.example/"}, "webhook", TYPES, stored)
    assert isinstance(moved, list)
    assert [each.field for each in moved] == ["configuration.secret_key"]


def test_another_type_has_no_secret_that_a_mask_could_stand_for() -> None:
    problems = refused("stomp", shown("stomp"), {})

    assert list(problems) == ["configuration.password"]
    assert "mask" in problems["configuration.password"]


def test_a_plug_ins_secret_that_holds_a_url_leads_to_a_destination() -> None:
    """`spare` might be a receiver's address with a token in it."""
    stored = STORED["pigeon"] | {"spare": "https://shop.example/t0ken"}
    kept = shown("pigeon", spare="*" * 22 + "0ken")

    assert replaced("pigeon", kept, stored) == stored
    for changed in ("https://evil.example/", "none any more", None):
        problems = refused("pigeon", kept | {"spare": changed}, stored)
        assert set(problems) == {"configuration.token", "configuration.rings"}


def test_a_stored_configuration_that_is_not_sound_any_more_has_no_known_destination() -> None:
    problems = refused("webhook", shown("webhook"), STORED["webhook"] | {"url": "gopher://shop.example"})

    assert set(problems) == {"configuration.secret_key", "configuration.signing_keys"}


def test_every_problem_is_said_at_once_and_a_field_has_one() -> None:
    given = {"url": "ftp://shop.example", "secret_key": "*" * 12 + "none", "signing_keys": ["********none"], "x": 1}

    assert set(refused("webhook", given)) == {
        "configuration.url",
        "configuration.secret_key",
        "configuration.signing_keys",
    }


@pytest.mark.parametrize("value", [7, {"a": 7}, ["a", 7], [["a"]]])
def test_a_secret_that_would_not_be_sealed_is_refused_whatever_its_model_takes(value: Any) -> None:
    class LooseConfiguration(BaseModel):
        token: SecretStr | list[SecretStr] | None = None

        @field_validator("token", mode="before")
        @classmethod
        def _takes_anything(cls, value: Any) -> Any:
            return value if isinstance(value, str) else str(value)

    class LooseDeliverer(WebhookDeliverer):
        integration_type: ClassVar[str] = "loose"
        configuration_model: ClassVar[type[BaseModel]] = LooseConfiguration

    found = configured({"token": value}, "loose", DelivererRegistry((LooseDeliverer,)), None)

    assert isinstance(found, list)
    assert [str(each) for each in found] == ["configuration.token: must be a string, or a list or object of strings"]


class AliasedConfiguration(BaseModel):
    """A plug-in's, whose keys have other names too, and which ignores what it does not know."""

    loft: str = Field(validation_alias=AliasChoices("loft", "home", AliasPath("place", 0)))
    ring: str = Field(default="", alias="band")


class AliasedDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "aliased"
    configuration_model: ClassVar[type[BaseModel]] = AliasedConfiguration


ALIASED = DelivererRegistry((AliasedDeliverer,))


@pytest.mark.parametrize(
    ("kind", "beside", "named"),
    [
        (
            "webhook",
            {"secret": "plain-text"},
            '.secret is not a known key, and was ignored; did you mean "secret_key"?',
        ),
        ("webhook", {"zzz": 1}, ".zzz is not a known key, and was ignored"),
        ("webhook", {"a.b": {"deep": []}}, ".a.b is not a known key, and was ignored"),
        (
            "webhook",
            {"secretKey": "plain-text"},
            '.secretKey is not a known key, and was ignored; did you mean "secret_key"',
        ),
        ("aws_sqs", {"queue_url": "https://q.example/1/q"}, ".queue_url is not a known key, and was ignored"),
        ("stomp", {"user": "me"}, '.user is not a known key, and was ignored; did you mean "username"?'),
        ("marked", {"weight": 7}, ".weight is not a known key, and was ignored"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_an_unknown_key_is_ignored_and_named(kind: str, beside: dict[str, Any], named: str, *, new: bool) -> None:
    base = STORED.get(kind, {"loft": "north"})
    assert configured(base | beside, kind, TYPES, None if new else base) == base, "it is not stored either"
    (warning,) = ignored_keys(base | beside, kind, TYPES)
    assert warning.startswith(f"configuration{named}")
    assert "plain-text" not in warning
    assert ignored_keys(base, kind, TYPES) == []


def test_known_keys_are_known_by_every_name_that_the_model_reads() -> None:
    given = {"home": "north", "band": "42", "place": ["x"], "loft": "north", "ring": "42"}
    assert ignored_keys(given, "aliased", ALIASED) == []
    assert configured({"home": "north", "nest": 1}, "aliased", ALIASED, None) == {"home": "north"}
    # A model that takes any key has no unknown ones.
    assert ignored_keys({"loft": "n", "token": "t", "anything": 1}, "pigeon", TYPES) == []


def test_an_unknown_key_that_may_stand_for_a_required_one_is_named_in_the_refusal() -> None:
    assert refused("webhook", {"uri": "https://shop.example"}) == {
        "configuration.url": 'is required; "uri" is not a known key'
    }


def test_warnings_are_few_and_short() -> None:
    given = {"url": "https://shop.example"} | {f"{n}-" + "k" * 500: n for n in range(WARNINGS_MOST + 7)}
    warnings = ignored_keys(given, "webhook", TYPES)
    assert len(warnings) == WARNINGS_MOST + 1
    assert warnings[-1] == "configuration: 7 more keys are not known, and were ignored"
    assert max(map(len, warnings)) < SHOWN_CHARS + 100


def test_too_many_keys_are_refused_before_they_are_compared() -> None:
    given = {"url": "https://shop.example"} | {f"key-{n}": n for n in range(MOST_KEYS)}
    assert refused("webhook", given) == {"configuration": "must have at most 100 keys, and has 101"}


@pytest.mark.parametrize("given", [None, "x", [], 7])
def test_what_is_no_configuration_has_no_unknown_keys(given: Any) -> None:
    assert ignored_keys(given, "webhook", TYPES) == []


HEADERS = {"url": "https://shop.example/hook", "headers": {"X-Api-Key": "first-key-of-1111", "X-Tenant": "short"}}


def test_headers_are_masked_by_name_and_a_mask_keeps_the_value_of_its_own_header() -> None:
    sent_back = masked(HEADERS, ["headers"])
    assert sent_back["headers"] == {"X-Api-Key": "*************1111", "X-Tenant": "********"}
    assert replaced("webhook", sent_back, HEADERS) == HEADERS
    changed = {"X-Tenant": "********", "X-New": "a new value"}
    assert replaced("webhook", sent_back | {"headers": changed}, HEADERS)["headers"] == changed | {"X-Tenant": "short"}


def test_the_mask_of_another_header_or_for_another_destination_is_refused() -> None:
    sent_back = masked(HEADERS, ["headers"])
    problems = refused("webhook", sent_back | {"headers": {"X-Other": "*************1111"}}, HEADERS)
    assert list(problems) == ["configuration.headers.X-Other"]
    moved = refused("webhook", sent_back | {"url": "https://evil.example/"}, HEADERS)
    assert list(moved) == ["configuration.headers"]
    assert "must be given again" in moved["configuration.headers"]
