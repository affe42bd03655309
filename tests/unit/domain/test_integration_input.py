import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.domain.integration_input import attributes_of, register
from worker.domain.sealing import opened, sealed, shown, warnings_of
from worker.domain.secrets_box import SecretsBox, SecretsError

SPECIFICATION = json.loads((Path(__file__).parents[2] / "contract" / "integrations.schema.json").read_text())["$defs"]


def examples(definition: str) -> dict[str, Any]:
    properties = SPECIFICATION[definition]["properties"]
    return {name: each["example"] for name, each in properties.items() if "example" in each}


STORE = Scope("org-1", "store-1")
ORGANISATION = Scope("org-1")
TYPES = DelivererRegistry.load()
CATALOGUE = load_catalogue()
BODY: dict[str, Any] = {
    "name": "Orders",
    "observes": ["order.paid"],
    "integration_type": "webhook",
    "configuration": {"url": "https://example.com/hook", "secret_key": "abcdefghijkl"},
}
SQS: dict[str, Any] = {
    "integration_type": "aws_sqs",
    "configuration": {
        "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders.fifo",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "region": "eu-west-1",
    },
}
STOMP: dict[str, Any] = {
    "integration_type": "stomp",
    "configuration": {
        "destination": "/queue/orders",
        "username": "shop",
        "password": "correct-staple",
        "addresses": ["stomp+ssl://a.example:61614", "stomp+ssl://b.example:61614"],
    },
}
SPECIFIED = examples("IntegrationCreate") | {"observers": ["order.paid"]}
EXAMPLES = {
    "webhook": examples("WebhookConfigurationObject"),
    "aws_sqs": examples("AWSSQSConfigurationObject"),
    "stomp": examples("STOMPConfigurationObject"),
}


def made(document: dict[str, Any], current: Integration | None = None, scope: Scope = STORE) -> Integration:
    found = register(document, scope, TYPES, CATALOGUE, current=current)
    assert isinstance(found, Integration), found
    return found


def refused(document: dict[str, Any], current: Integration | None = None, scope: Scope = STORE) -> dict[str, str]:
    found = register(document, scope, TYPES, CATALOGUE, current=current)
    assert isinstance(found, list), found
    return {each.field: each.reason for each in found}


def box() -> SecretsBox:
    return SecretsBox([SecretStr(Fernet.generate_key().decode())])


def test_a_sound_body_becomes_an_integration() -> None:
    integration = made(BODY | {"description": "to the warehouse", "type": "integration"})

    assert UUID(integration.id).version == 4
    assert integration == Integration(
        id=integration.id,
        scope=STORE,
        name="Orders",
        integration_type="webhook",
        observes=("order.paid",),
        configuration=BODY["configuration"],
        description="to the warehouse",
        enabled=True,
    )


def test_each_new_integration_has_an_id_of_its_own_unless_it_is_given_one() -> None:
    assert made(BODY).id != made(BODY).id
    found = register(BODY, STORE, TYPES, CATALOGUE, new_id="00000000-0000-4000-8000-000000000001")
    assert isinstance(found, Integration)
    assert found.id == "00000000-0000-4000-8000-000000000001"


def test_the_type_is_a_webhook_where_none_is_named() -> None:
    assert (
        made({name: value for name, value in BODY.items() if name != "integration_type"}).integration_type == "webhook"
    )


def test_observers_is_taken_for_observes() -> None:
    body = {name: value for name, value in BODY.items() if name != "observes"} | {"observers": ["order.paid"]}

    assert made(body).observes == ("order.paid",)


def test_a_key_that_is_named_twice_is_observed_once() -> None:
    assert made(BODY | {"observes": ["order.paid", "order.created", "order.paid"]}).observes == (
        "order.paid",
        "order.created",
    )


def test_everything_that_is_wrong_is_said_at_once_with_its_field() -> None:
    problems = refused(
        {
            "name": " ",
            "observes": ["order.payed", 7],
            "enabled": "yes",
            "description": 1,
            "type": "hook",
            "configuration": {"url": "ftp://x", "sekret_key": "s"},
        }
    )

    assert set(problems) == {
        "name",
        "observes.0",
        "observes.1",
        "enabled",
        "description",
        "type",
        "configuration.url",
    }
    assert "order.paid" in problems["observes.0"]


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        ({"name": None}, "name", "string"),
        ({"name": "x" * 256}, "name", "at most 255"),
        ({"observes": []}, "observes", "at least one"),
        ({"observes": "order.paid"}, "observes", "list"),
        ({"integration_type": "webhok"}, "integration_type", 'did you mean "webhook"'),
        ({"integration_type": 5}, "integration_type", "string"),
        ({"configuration": "https://example.com"}, "configuration", "object"),
        ({"configuration": {}}, "configuration.url", "required"),
        (
            {"configuration": {"url": "https://e.com", "secret_key": "a\r\nb"}},
            "configuration.secret_key",
            "line breaks",
        ),
        ({"descripton": "x"}, "descripton", 'did you mean "description"'),
    ],
)
def test_a_bad_attribute_is_refused_and_named(changes: dict[str, Any], field: str, part: str) -> None:
    problems = refused(BODY | changes)

    assert list(problems) == [field]
    assert part in problems[field]


def test_no_refusal_repeats_a_secret() -> None:
    problems = refused(BODY | {"configuration": {"url": "https://e.com", "secret_key": "hunter2\nhunter2"}})

    assert "hunter2" not in str(problems)


def test_a_key_that_does_not_exist_at_the_level_is_refused() -> None:
    problems = refused(BODY, scope=ORGANISATION)

    assert "organization level" in problems["observes.0"]


def test_what_a_client_sends_besides_is_let_pass() -> None:
    made(BODY | {"id": "x", "links": {}, "meta": {}, "tenant": "t"})


def test_an_update_changes_only_what_is_given() -> None:
    current = replace(made(BODY), revision=3, created_at=1, disabled_reason="gone", enabled=False)

    changed = made({"name": "New"}, current)

    assert changed == replace(current, name="New")


def test_a_mask_sent_back_leaves_the_secret_and_a_foreign_one_is_refused() -> None:
    current, url = made(BODY), "https://example.com/hook"

    kept = made({"configuration": {"url": url, "secret_key": "********ijkl"}}, current)
    problems = refused({"configuration": {"url": url, "secret_key": "********xxxx"}}, current)

    assert kept.configuration == current.configuration
    assert "mask" in problems["configuration.secret_key"]


def test_with_another_type_come_no_secrets_that_a_mask_could_stand_for() -> None:
    problems = refused({"integration_type": "aws_sqs", "configuration": EXAMPLES["aws_sqs"]}, made(BODY))

    assert set(problems) == {"configuration.aws_access_key_id", "configuration.aws_secret_access_key"}
    assert all("mask" in reason for reason in problems.values())


def test_a_new_integrations_mask_is_its_secret_and_the_sender_is_warned() -> None:
    copied = made(BODY | {"configuration": {"url": "https://e.com", "secret_key": "********ijkl"}})

    assert copied.configuration["secret_key"] == "********ijkl"
    assert warnings_of(copied, TYPES) == [
        "configuration.secret_key looks like the mask of a secret: "
        "if it was copied from an answer, send the secret itself"
    ]
    for written, is_kept in (("********ijkl", True), ("*********ijkl", False)):
        update = {"configuration": {"url": "https://e.com", "secret_key": written}}
        if is_kept:
            assert made(update, copied).configuration == copied.configuration
        else:
            assert "mask" in refused(update, copied)["configuration.secret_key"]


def test_there_is_nothing_to_report_of_secrets_that_look_like_secrets() -> None:
    assert warnings_of(made(BODY), TYPES) == []
    assert warnings_of(sealed(made(BODY), TYPES, box()), TYPES) == []
    assert warnings_of(replace(made(BODY), integration_type="homing-pigeon"), TYPES) == []


def test_who_enables_it_has_answered_the_reason_for_which_it_was_disabled() -> None:
    current = replace(made(BODY), enabled=False, disabled_reason="the receiver asks for no more")

    assert made({"name": "New"}, current).disabled_reason
    assert not made({"enabled": True}, current).disabled_reason
    assert not made({"enabled": False}, current).disabled_reason


def test_another_type_needs_a_configuration_of_its_own() -> None:
    current = replace(made(BODY), integration_type="stomp", configuration={"destination": "/queue/x"})

    assert refused({"integration_type": "webhook"}, current) == {"configuration.url": "is required"}


def test_an_update_that_leaves_the_configuration_needs_no_open_secret() -> None:
    stored = sealed(made(BODY), TYPES, box())

    assert made({"enabled": False}, stored).configuration == stored.configuration


def test_secrets_are_sealed_for_the_ledger_and_masked_for_people() -> None:
    secrets, integration = box(), made(BODY)

    stored = sealed(integration, TYPES, secrets)

    assert "abcdefghijkl" not in str(stored.configuration)
    assert "abcdefghijkl" not in repr(integration)
    assert opened(stored, TYPES, secrets) == integration
    assert shown(stored, TYPES, secrets).configuration["secret_key"] == "********ijkl"
    assert shown(stored, TYPES, SecretsBox()).configuration["secret_key"] == "********"


def test_an_admin_sees_a_webhooks_secret_key_and_no_other_secret() -> None:
    secrets = box()
    webhook = sealed(made(BODY), TYPES, secrets)
    queue = sealed(made(BODY | SQS), TYPES, secrets)
    broker = sealed(made(BODY | STOMP), TYPES, secrets)

    assert shown(webhook, TYPES, secrets, reveal=True).configuration == BODY["configuration"]
    assert shown(webhook, TYPES, SecretsBox(), reveal=True).configuration["secret_key"] == "********"
    for each in (queue, broker):
        assert shown(each, TYPES, secrets, reveal=True) == shown(each, TYPES, secrets)
    assert shown(queue, TYPES, secrets).configuration == SQS["configuration"] | {
        "aws_access_key_id": "****************MPLE",
        "aws_secret_access_key": "************************************EKEY",
    }
    assert shown(broker, TYPES, secrets).configuration["password"] == "**********aple"


@pytest.mark.parametrize("kind", ["webhook", "aws_sqs", "stomp"])
def test_every_example_of_the_specification_is_accepted_on_creation(kind: str) -> None:
    integration = made(SPECIFIED | {"integration_type": kind, "configuration": EXAMPLES[kind]})

    assert integration.integration_type == kind
    assert integration.configuration == EXAMPLES[kind]
    assert len(warnings_of(integration, TYPES)) == {"webhook": 0, "aws_sqs": 2, "stomp": 1}[kind]


def test_the_described_spelling_of_sqs_is_stored_as_the_enums() -> None:
    assert made(BODY | SQS | {"integration_type": "aws-sqs"}).integration_type == "aws_sqs"


def test_a_brokers_url_is_stored_as_its_addresses_and_replaces_them() -> None:
    first, second = "stomp+ssl://a.example:61614", "stomp://b.example"
    broker = made(BODY | STOMP)

    by_url = made(BODY | {"integration_type": "stomp", "configuration": {"destination": "/queue/a", "url": first}})
    moved = made({"configuration": {"destination": "/queue/a", "url": second, "password": "another"}}, broker)

    assert by_url.configuration == {"destination": "/queue/a", "addresses": [first]}
    assert moved.configuration == {"destination": "/queue/a", "addresses": [second], "password": "another"}


@pytest.mark.parametrize(
    ("configuration", "field", "part"),
    [
        ({"addresses": None}, "configuration.addresses", "is required: at least one address"),
        ({"url": "http://b.example"}, "configuration.url", "must begin with stomp+ssl:// or stomp://"),
        ({"url": 7}, "configuration.url", "string"),
        ({"url": "stomp://b.example", "addresses": ["stomp://c.example"]}, "configuration.addresses", "url"),
        ({"addresses": ["stomp://b.example", "x"]}, "configuration.addresses.1", "must begin with"),
    ],
)
def test_a_brokers_bad_addresses_are_refused_where_they_were_written(
    configuration: dict[str, Any], field: str, part: str
) -> None:
    problems = refused({"configuration": {"destination": "/queue/a"} | configuration}, made(BODY | STOMP))

    assert list(problems) == [field]
    assert part in problems[field]


def test_a_refusal_of_a_configuration_has_its_exact_path() -> None:
    configuration = {"destination": "/queue/a", "addresses": ["stomp://b.example", "b.example"]}
    found = register(BODY | {"integration_type": "stomp", "configuration": configuration}, STORE, TYPES, CATALOGUE)

    assert isinstance(found, list)
    place = ("configuration", "addresses", "1")
    assert [(each.field, each.path) for each in found] == [("configuration.addresses.1", place)]


def test_no_secret_is_stored_without_a_key() -> None:
    with pytest.raises(SecretsError, match="EDW_SECRETS_KEYS"):
        sealed(made(BODY), TYPES, SecretsBox())
    sealed(made(BODY | {"configuration": {"url": "https://example.com"}}), TYPES, SecretsBox())


def test_of_an_unknown_type_nothing_is_shown() -> None:
    foreign = replace(made(BODY), integration_type="homing-pigeon", configuration={"loft": "n1", "ring": "42"})

    assert shown(foreign, TYPES, SecretsBox()).configuration == {"loft": "********", "ring": "********"}


def test_attributes_come_wrapped_or_bare() -> None:
    assert attributes_of({"data": BODY}) == BODY
    assert attributes_of(BODY) == BODY
    assert attributes_of({"data": [BODY]}) == Refusal("data", "expected an object: the integration's attributes")
    assert attributes_of([1]) == Refusal("", "expected an object: the integration's attributes")
