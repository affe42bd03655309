from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from deliverers.aws_sqs import AwsSqsConfiguration
from deliverers.registry import ConfigurationError, DelivererRegistry

TYPES = DelivererRegistry.load()
PLANTED = "planted/secret+"
SOUND: dict[str, Any] = {
    "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders.fifo",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": PLANTED,
    "region": "eu-west-1",
}


def parsed(changes: dict[str, Any]) -> AwsSqsConfiguration:
    found = TYPES.parse_configuration("aws_sqs", SOUND | changes)
    assert isinstance(found, AwsSqsConfiguration)
    return found


def test_a_sound_configuration_knows_its_queue_and_prints_no_key() -> None:
    configuration = parsed({})

    assert configuration.queue_name == "orders.fifo"
    assert configuration.aws_secret_access_key == SecretStr(PLANTED)
    assert PLANTED not in repr(configuration)
    assert "AKIA" not in repr(configuration)


@pytest.mark.parametrize("url", ["http://localhost:4566/000000000000/orders", "https://queue.example/orders"])
def test_a_queue_of_another_server_is_taken(url: str) -> None:
    assert parsed({"url": url}).queue_name == "orders"


def test_everything_that_is_missing_is_said() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TYPES.parse_configuration("aws_sqs", {})

    assert [(each.field, each.message) for each in caught.value.problems] == [
        ("configuration.url", "is required"),
        ("configuration.aws_access_key_id", "is required"),
        ("configuration.aws_secret_access_key", "is required"),
        ("configuration.region", "is required"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("url", "https://sqs.eu-west-1.amazonaws.com", "name of a queue"),
        ("url", "https://sqs.eu-west-1.amazonaws.com/123456789/", "name of a queue"),
        ("url", "sqs://orders", "must begin with https:// or http://"),
        ("aws_access_key_id", "", "must not be empty"),
        ("aws_access_key_id", "  ", "must not be empty"),
        ("aws_access_key_id", PLANTED + " ", "without spaces"),
        ("aws_access_key_id", PLANTED + "\r\nx: y", "visible ASCII"),
        ("aws_access_key_id", PLANTED + "é", "visible ASCII"),
        ("aws_access_key_id", PLANTED + "x" * 128, "at most 128 characters"),
        ("aws_access_key_id", 7, "must be a string"),
        ("aws_access_key_id", None, "is required"),
        ("aws_secret_access_key", PLANTED + "\n", "visible ASCII"),
        ("aws_secret_access_key", PLANTED + "x" * 256, "at most 256 characters"),
        ("region", "", "such as eu-west-1"),
        ("region", "EU West", "such as eu-west-1"),
        ("region", "eu-west-1\n", "such as eu-west-1"),
        ("region", "a" * 65, "1 to 64"),
        ("regoin", "eu-west-1", 'did you mean "region"'),
    ],
)
def test_a_bad_value_is_refused_in_words_without_it(field: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed({field: value})

    (problem,) = caught.value.problems
    assert problem.path == ("configuration", field)
    assert words in problem.message
    assert PLANTED not in str(caught.value)


BARE = {"url": SOUND["url"], "region": SOUND["region"]}
ROLE = "arn:aws:iam::123456789012:role/path/events"


def test_a_role_takes_the_place_of_both_keys() -> None:
    configuration = TYPES.parse_configuration("aws_sqs", {**BARE, "role_arn": ROLE})
    assert isinstance(configuration, AwsSqsConfiguration)
    assert (configuration.role_arn, configuration.aws_access_key_id) == (ROLE, None)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"role_arn": "role/events"}, {"configuration.role_arn": "must be the ARN of a role"}),
        ({"role_arn": ROLE + " "}, {"configuration.role_arn": "must be the ARN of a role"}),
        ({"role_arn": ROLE, "aws_access_key_id": "A"}, {"configuration.aws_access_key_id": "cannot be combined"}),
        ({"aws_access_key_id": "A"}, {"configuration.aws_secret_access_key": "is required"}),
    ],
)
def test_keys_and_a_role_that_contradict_each_other_are_refused(given: dict[str, str], found: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TYPES.parse_configuration("aws_sqs", BARE | given)
    problems = {each.field: each.message for each in caught.value.problems}
    assert problems.keys() == found.keys()
    for field, words in found.items():
        assert words in problems[field]
