"""Integrations over HTTP: registered, read, changed by many at once, deleted; and what is answered where that fails."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import trustme
from cryptography.fernet import Fernet
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.api_client import Answer, Api, Client, Serve, consistent, webhook
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection, surgery
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE
from tests.waiting import eventually
from worker.domain.api_token import Role
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.masking import masked as mask_all
from worker.domain.sealing import opened
from worker.domain.secrets_box import SecretsBox
from worker.ledger.integration_repository import IntegrationRepository, SavedIntegration
from worker.ledger.lanes.job_lanes import JobLanes

ALL = "/v2/integrations"
SQS = {
    "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY",
    "region": "eu-west-1",
}
STOMP = {
    "username": "epcc",
    "password": "correct horse battery",
    "destination": "/queue/orders",
    "addresses": ["stomp+ssl://broker.example:61614"],
}


def at(integration: dict[str, Any]) -> str:
    return f"{ALL}/{integration['id']}"


def masked(secret: str) -> str:
    return "*" * (len(secret) - 4) + secret[-4:]


async def kept(api: Api, integration_id: str) -> Integration:
    """An integration as the ledger has it, with its secrets opened."""
    (found,) = await api.ledger.integrations.get([integration_id])
    return opened(found, api.services.types, SecretsBox(api.services.settings.secrets_keys))


# What a PUT changes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "CRM"),
        ("description", "informs the CRM"),
        ("enabled", False),
        ("paused", True),
        ("rate_limit", 2.5),
        ("observes", ["order.created", "order.fulfilled"]),
        ("configuration", {"url": "https://crm.example/hook", "secret_key": "s3cret"}),
    ],
)
async def test_a_put_changes_what_it_names_and_nothing_else(admin: Client, name: str, value: Any) -> None:
    before = await admin.create(
        description="of before", configuration={"url": "https://a.example", "secret_key": "s3cret"}
    )

    answer = await admin.put(at(before), {"data": {name: value}})

    assert answer.status == 200, answer.raw
    assert answer.data[name] == value != before.get(name)
    rest = [each for each in before if each not in (name, "meta")]
    assert {each: answer.data[each] for each in rest} == {each: before[each] for each in rest}
    assert answer.data == (await admin.get(at(before))).data


async def test_a_put_of_a_configuration_replaces_the_whole_of_it(api: Api, admin: Client) -> None:
    before = await admin.create(configuration={"url": "https://a.example", "secret_key": "s3cret"})
    for given in (
        {"url": "https://a.example/new", "secret_key": "another s3cret"},
        {"url": "https://a.example/new"},
        {"url": "https://b.example", "secret_key": "s3cret"},
        {"url": "https://c.example"},
    ):
        answer = await admin.put(at(before), {"data": {"configuration": given}})
        # Terraform compares what it wrote with what it reads.
        assert answer.data["configuration"] == given
        assert (await admin.get(at(before))).data["configuration"] == given
        assert (await kept(api, before["id"])).configuration == given
    null = await admin.put(at(before), {"data": {"configuration": {"url": "https://c.example", "secret_key": None}}})
    assert null.data["configuration"] == {"url": "https://c.example"}


async def test_a_put_without_a_configuration_keeps_it_with_its_secrets(api: Api, admin: Client) -> None:
    before = await admin.create(integration_type="stomp", configuration=STOMP)
    for change in ({"enabled": False}, {"name": "new"}, {"integration_type": "stomp"}, {}):
        assert (await admin.put(at(before), {"data": change})).status == 200
        assert (await kept(api, before["id"])).configuration == STOMP


async def test_an_update_moves_the_time_of_the_change_and_not_that_of_creation(api: Api, admin: Client) -> None:
    before = await admin.create()
    stamps = before["meta"]["timestamps"]
    await surgery.date_integration(api.ledger, before["id"], created_at=1000, updated_at=2000)
    after = (await admin.put(at(before), {"data": {"name": "new"}})).data["meta"]["timestamps"]
    assert after["created_at"] == "1970-01-01T00:00:01.000Z"
    assert after["updated_at"] >= stamps["updated_at"]


async def test_another_type_begins_with_an_empty_configuration(admin: Client) -> None:
    before = await admin.create(configuration={"url": "https://a.example", "secret_key": "s3cret"})
    refused = await admin.put(at(before), {"data": {"integration_type": "aws_sqs"}})
    assert refused.status == 422
    assert "/data/configuration/region" in refused.pointers
    changed = await admin.put(at(before), {"data": {"integration_type": "aws_sqs", "configuration": SQS}})
    assert changed.status == 200
    assert "secret_key" not in changed.data["configuration"]


# Secrets


async def test_a_webhooks_secret_is_clear_to_an_admin_and_masked_for_everybody_else(
    admin: Client, reader: Client
) -> None:
    created = await admin.create(configuration={"url": "https://a.example", "secret_key": "top-s3cret-9876"})
    changed = await admin.put(at(created), {"data": {"name": "new"}})
    shown = [created, changed.data, (await admin.get(at(created))).data, (await admin.get(ALL)).data[0]]
    assert [each["configuration"]["secret_key"] for each in shown] == ["top-s3cret-9876"] * 4

    for answer in (await reader.get(at(created)), await reader.get(ALL)):
        (document,) = answer.data if isinstance(answer.data, list) else [answer.data]
        assert document["configuration"]["secret_key"] == "***********9876"
        assert b"top-s3cret" not in answer.raw


@pytest.mark.parametrize(
    ("integration_type", "configuration", "secrets"),
    [
        ("aws_sqs", SQS, ["aws_access_key_id", "aws_secret_access_key"]),
        ("stomp", STOMP, ["password"]),
    ],
)
async def test_aws_keys_and_passwords_are_masked_for_everybody(
    admin: Client, reader: Client, integration_type: str, configuration: dict[str, Any], secrets: list[str]
) -> None:
    made = await admin.post(ALL, {"data": webhook(integration_type=integration_type, configuration=configuration)})
    path = at(made.data)
    expected = configuration | {name: masked(configuration[name]) for name in secrets}
    answers = [
        made,
        await admin.put(path, {"data": {"name": "new"}}),
        *[await client.get(where) for client in (admin, reader) for where in (path, ALL)],
    ]
    for answer in answers:
        (document,) = answer.data if isinstance(answer.data, list) else [answer.data]
        assert document["configuration"] == expected
        for name in secrets:
            assert configuration[name].encode() not in answer.raw


@pytest.mark.parametrize(
    ("integration_type", "configuration"),
    [
        ("webhook", {"url": "https://a.example", "secret_key": "top-s3cret-9876"}),
        ("aws_sqs", SQS),
        ("stomp", STOMP),
    ],
)
async def test_what_a_reader_was_shown_may_be_put_back_and_no_secret_changes(
    api: Api, admin: Client, reader: Client, integration_type: str, configuration: dict[str, Any]
) -> None:
    created = await admin.create(integration_type=integration_type, configuration=configuration)
    shown = (await reader.get(at(created))).data
    assert shown["configuration"] != configuration

    answer = await admin.put(at(created), {"data": shown | {"name": "new"}})

    assert answer.status == 200, answer.raw
    assert answer.data["name"] == "new"
    assert (await kept(api, created["id"])).configuration == configuration


async def test_a_secret_is_sealed_in_redis_and_what_was_put_there_is_sent(
    api: Api, admin: Client, reader: Client, receiver: Receiver
) -> None:
    created = await admin.create(configuration={"url": receiver.url, "secret_key": "top-s3cret-9876"})
    shown = (await reader.get(at(created))).data["configuration"]
    await admin.put(at(created), {"data": {"configuration": shown}})

    assert b"s3cret" not in await inspection.stored_integration(api.ledger, created["id"])
    assert (await admin.post(f"{at(created)}/test")).data["succeeded"]
    assert receiver.received[0].headers["X-MOLTIN-SECRET-KEY"] == "top-s3cret-9876"


async def test_the_mask_of_another_secret_is_refused_where_it_stands(api: Api, admin: Client) -> None:
    created = await admin.create(integration_type="aws_sqs", configuration=SQS)
    foreign = {"aws_secret_access_key": "*" * 36 + "1234", "aws_access_key_id": "*" * 16 + "XXXX"}
    answer = await admin.put(at(created), {"data": {"configuration": SQS | foreign}})
    assert answer.status == 422
    assert set(answer.pointers) == {f"/data/configuration/{name}" for name in foreign}
    assert (await kept(api, created["id"])).configuration == SQS


@pytest.mark.parametrize(
    ("integration_type", "configuration", "changes", "secrets"),
    [
        (
            "webhook",
            {"url": "https://a.example", "signing_keys": ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"]},
            {"url": "https://evil.example"},
            ["signing_keys"],
        ),
        ("aws_sqs", SQS, {"url": "https://evil.example/1/q"}, ["aws_access_key_id", "aws_secret_access_key"]),
        ("stomp", STOMP, {"addresses": [*STOMP["addresses"], "stomp://evil.example"]}, ["password"]),
    ],
)
async def test_no_mask_takes_a_secret_to_another_destination(
    api: Api,
    admin: Client,
    integration_type: str,
    configuration: dict[str, Any],
    changes: dict[str, Any],
    secrets: list[str],
) -> None:
    created = await admin.create(integration_type=integration_type, configuration=configuration)
    shown = (await admin.get(at(created))).data["configuration"]

    answer = await admin.put(at(created), {"data": {"configuration": shown | changes}})

    assert answer.status == 422
    assert answer.pointers == [f"/data/configuration/{name}" for name in secrets]
    assert all("must be given again" in error["detail"] for error in answer.errors)
    assert (await kept(api, created["id"])).configuration == configuration
    given = {"data": {"configuration": configuration | changes}}
    assert (await admin.put(at(created), given)).status == 200
    assert (await kept(api, created["id"])).configuration == configuration | changes


async def test_a_receiver_that_a_webhook_is_moved_to_gets_no_older_secret(admin: Client, receiver: Receiver) -> None:
    keys = ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"]
    before = {"url": "https://a.example", "secret_key": "top-s3cret-9876", "signing_keys": keys}
    created = await admin.create(configuration=before)
    assert (await admin.put(at(created), {"data": {"configuration": {"url": receiver.url}}})).status == 200

    assert (await admin.post(f"{at(created)}/test")).data["succeeded"]

    (got,) = receiver.received
    assert "X-MOLTIN-SECRET-KEY" not in got.headers
    assert "webhook-signature" not in got.headers
    assert b"s3cret" not in got.raw


async def test_a_mask_is_judged_by_the_destination_of_the_revision_that_is_written(
    serve: Serve, api: Api, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading and writing, another process moves the integration, and gives its new secret."""
    other = (await serve()).client(admin.token)
    created = await admin.create(integration_type="stomp", configuration=STOMP)
    shown = (await admin.get(at(created))).data["configuration"]
    password = "another horse battery"
    moved = STOMP | {"addresses": ["stomp://other.example"], "password": password}
    assert shown["password"] == masked(password), "the masks alone do not distinguish them"
    put = IntegrationRepository.put

    async def late(self: IntegrationRepository, *given: Any, **how: Any) -> SavedIntegration:
        monkeypatch.undo()
        assert (await other.put(at(created), {"data": {"configuration": moved}})).status == 200
        return await put(self, *given, **how)

    monkeypatch.setattr(IntegrationRepository, "put", late)
    answer = await admin.put(at(created), {"data": {"configuration": shown}})

    assert answer.status == 422
    assert answer.pointers == ["/data/configuration/password"]
    assert (await kept(api, created["id"])).configuration == moved


@pytest.mark.parametrize("change", [{"name": "new"}, {"configuration": {"url": "https://a.example/new"}}])
@pytest.mark.parametrize("is_conditional", [False, True])
async def test_a_change_beside_a_rotation_of_keys_brings_no_old_seal_back(
    serve: Serve, api: Api, admin: Client, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], is_conditional: bool
) -> None:
    """Otherwise nothing opens the secret once the old key is gone, although the rotation reported it as renewed."""
    old = api.services.settings.secrets_keys
    new = (SecretStr(Fernet.generate_key().decode()), *old)
    made = await admin.post(ALL, {"data": webhook(configuration={"url": "https://a.example", "secret_key": "s3cret"})})
    if "configuration" in change:
        change = {"configuration": change["configuration"] | {"secret_key": "another"}}
    put = IntegrationRepository.put

    async def late(self: IntegrationRepository, *given: Any, **how: Any) -> SavedIntegration:
        monkeypatch.undo()
        (before,) = await api.ledger.integrations.get([made.data["id"]])
        renewed = SecretsBox(new).renewed(before.configuration, ["secret_key"])
        assert await api.ledger.integrations.reseal(before, replace(before, configuration=renewed))
        return await put(self, *given, **how)

    other = (await serve(secrets_keys=new)).client(admin.token)
    monkeypatch.setattr(IntegrationRepository, "put", late)
    condition = {"If-Match": made.etag} if is_conditional else {}
    answer = await other.put(at(made.data), {"data": change}, condition)

    assert answer.status == 200, answer.raw
    (found,) = await api.ledger.integrations.get([made.data["id"]])
    expected = "another" if "configuration" in change else "s3cret"
    assert opened(found, api.services.types, SecretsBox(new[:1])).configuration["secret_key"] == expected


async def test_a_short_secret_is_eight_stars_and_may_be_put_back(api: Api, admin: Client, reader: Client) -> None:
    configuration = STOMP | {"password": "guest"}
    created = await admin.create(integration_type="stomp", configuration=configuration)
    answers = [await client.get(where) for client in (admin, reader) for where in (at(created), ALL)]
    for answer in answers:
        (document,) = answer.data if isinstance(answer.data, list) else [answer.data]
        assert document["configuration"]["password"] == "********"
        assert b"uest" not in answer.raw
    assert (await admin.put(at(created), {"data": answers[0].data})).status == 200
    assert (await kept(api, created["id"])).configuration == configuration


async def test_a_mask_that_is_given_on_creation_is_taken_with_a_warning(admin: Client) -> None:
    copied = SQS | {"aws_secret_access_key": masked(SQS["aws_secret_access_key"])}
    created = await admin.create(integration_type="aws_sqs", configuration=copied)
    (warning,) = created["meta"]["warnings"]
    assert "configuration.aws_secret_access_key" in warning
    assert "warnings" not in (await admin.get(at(created))).data["meta"]
    assert "warnings" not in (await admin.create(integration_type="aws_sqs", configuration=SQS))["meta"]


async def test_without_a_key_no_secret_is_taken_and_the_rest_works(serve: Serve) -> None:
    api = await serve(secrets_keys=())
    admin = await api.someone()
    refused = await admin.post(ALL, {"data": webhook(configuration={"url": "https://a.example", "secret_key": "s3"})})
    assert refused.status == 503
    assert refused.errors[0]["detail"] == "secrets cannot be read or stored now"
    assert b"s3" not in refused.raw
    assert (await admin.get(ALL)).data == []
    assert (await admin.create())["name"] == "ERP"


async def test_secrets_that_no_key_opens_are_stars_and_what_does_not_need_them_can_be_changed(
    serve: Serve, admin: Client
) -> None:
    created = await admin.create(configuration={"url": "https://a.example", "secret_key": "top-s3cret-9876"})
    keyless = await serve(secrets_keys=())
    other = keyless.client(admin.token)
    assert (await other.get(at(created))).data["configuration"]["secret_key"] == "*" * 8
    assert (await other.put(at(created), {"data": {"enabled": False}})).status == 200
    assert (await other.put(at(created), {"data": {"configuration": {"url": "https://b.example"}}})).status == 503
    after = (await admin.get(at(created))).data
    assert (after["enabled"], after["configuration"]["secret_key"]) == (False, "top-s3cret-9876")


# How many


async def test_one_more_integration_than_a_store_may_have_is_refused(serve: Serve) -> None:
    api = await serve(store_integrations=2)
    admin, elsewhere = await api.someone(), await api.someone(scope=Scope("org-1", "store-9"))
    first, _ = [await admin.create() for _ in range(2)]

    refused = await admin.post(ALL, {"data": webhook()})

    assert refused.status == 422
    assert refused.errors[0]["detail"] == (
        "/data: this store has 2 integrations, and at most 2 are allowed (EDW_STORE_INTEGRATIONS): "
        "delete one that is not needed"
    )
    assert (await admin.get(ALL)).document["results"]["total"] == 2
    assert (await admin.put(at(first), {"data": {"name": "new"}})).status == 200
    assert (await elsewhere.post(ALL, {"data": webhook()})).status == 201
    assert (await admin.delete(at(first))).status == 204
    assert (await admin.post(ALL, {"data": webhook()})).status == 201
    await consistent(api.ledger)


async def test_of_many_creations_at_once_no_more_succeed_than_there_is_room_for(serve: Serve) -> None:
    apis = [await serve(store_integrations=5) for _ in range(2)]
    token = (await apis[0].someone()).token
    clients = [api.client(token) for api in apis]

    answers = await asyncio.gather(*(clients[n % 2].post(ALL, {"data": webhook()}) for n in range(20)))

    assert sorted(answer.status for answer in answers) == [201] * 5 + [422] * 15


async def test_an_organisations_own_integrations_count_by_themselves(serve: Serve) -> None:
    api = await serve(store_integrations=1)
    store, organisation = await api.someone(), await api.someone(scope=Scope("org-1"))
    own = webhook(observes=["integration.created"])
    for client in (store, organisation):
        assert (await client.post(ALL, {"data": own})).status == 201
    refused = await organisation.post(ALL, {"data": own})
    assert refused.status == 422
    assert "this organisation has 1 integration, and at most 1" in refused.errors[0]["detail"]


# ETag, If-Match, If-None-Match


async def test_every_change_has_another_etag_and_every_answer_names_it(admin: Client) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    path = at(made.data)
    assert (await admin.get(path)).etag == made.etag
    changed = await admin.put(path, {"data": {"name": "new"}})
    assert changed.etag != made.etag
    assert (await admin.get(path)).etag == changed.etag


@pytest.mark.parametrize("written", ["{etag}", "W/{etag}", '"x", {etag}', "*"])
async def test_if_match_of_the_present_etag_lets_a_change_through(admin: Client, written: str) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    condition = {"If-Match": written.format(etag=made.etag)}
    assert (await admin.put(at(made.data), {"data": {"name": "new"}}, condition)).status == 200


@pytest.mark.parametrize("written", ['"0"', "W/{etag}0", "{bare}", '""', "x"])
async def test_if_match_of_anything_else_refuses_it_and_says_what_the_etag_is(admin: Client, written: str) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    condition = {"If-Match": written.format(etag=made.etag, bare=made.etag.strip('"'))}
    for answer in (
        await admin.put(at(made.data), {"data": {"name": "new"}}, condition),
        await admin.delete(at(made.data), condition),
    ):
        assert answer.status == 412
        assert made.etag in answer.errors[0]["detail"]
    assert (await admin.get(at(made.data))).data["name"] == "ERP"


async def test_a_delete_with_the_etag_of_before_somebody_elses_change_deletes_nothing(admin: Client) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    changed = await admin.put(at(made.data), {"data": {"name": "new"}})
    assert (await admin.delete(at(made.data), {"If-Match": made.etag})).status == 412
    assert (await admin.delete(at(made.data), {"If-Match": changed.etag})).status == 204


async def test_what_has_not_changed_is_not_sent_again(admin: Client) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    for condition in (made.etag, f"W/{made.etag}", f'"x",{made.etag}', "*"):
        answer = await admin.get(at(made.data), {"If-None-Match": condition})
        assert (answer.status, answer.raw, answer.etag) == (304, b"", made.etag)
    await admin.put(at(made.data), {"data": {"name": "new"}})
    assert (await admin.get(at(made.data), {"If-None-Match": made.etag})).data["name"] == "new"


def _stomp_changes(n: int) -> list[dict[str, Any]]:
    """Changes of seven different attributes, each with a value that nobody else writes."""
    return [
        {"name": f"name {n}"},
        {"description": f"description {n}"},
        {"enabled": False},
        {"paused": True},
        {"rate_limit": n + 1.0},
        {"observes": ["order.created", "order.updated"]},
        {"configuration": STOMP | {"destination": f"/queue/{n}", "password": f"password {n}"}},
    ]


def _holds(change: dict[str, Any], found: Integration) -> bool:
    if "configuration" in change:
        return bool(change["configuration"] == found.configuration)
    (name, value) = next(iter(change.items()))
    stored = getattr(found, name)
    return bool(value == (list(stored) if isinstance(stored, tuple) else stored))


async def test_fifty_puts_at_once_of_different_attributes_lose_none(api: Api, admin: Client) -> None:
    created = [await admin.create(integration_type="stomp", configuration=STOMP) for _ in range(8)]
    puts = [(each, change) for n, each in enumerate(created) for change in _stomp_changes(n)][:50]

    answers = await asyncio.gather(*(admin.put(at(each), {"data": change}) for each, change in puts))

    assert [answer.status for answer in answers] == [200] * 50
    lost = [change for each, change in puts if not _holds(change, await kept(api, each["id"]))]
    assert lost == []


async def test_fifty_puts_at_once_of_one_integration_are_all_carried_out(api: Api, admin: Client, serve: Serve) -> None:
    """Through two processes, so that no lock of one of them can be what helps."""
    other = (await serve()).client(admin.token)
    made = await admin.post(ALL, {"data": webhook(integration_type="stomp", configuration=STOMP)})
    changes = [change for n in range(8) for change in _stomp_changes(n)][:50]
    answers = await asyncio.gather(
        *((admin if n % 2 else other).put(at(made.data), {"data": change}) for n, change in enumerate(changes))
    )
    assert [answer.status for answer in answers] == [200] * 50
    found = await kept(api, made.data["id"])
    assert found.revision == 51
    # Each attribute has a value that one of its own writers gave it, and not that of before.
    for position in range(7):
        assert any(_holds(_stomp_changes(n)[position], found) for n in range(8)), position
    await consistent(api.ledger)


async def test_of_many_at_once_with_the_same_etag_exactly_one_wins(api: Api, admin: Client) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    condition = {"If-Match": made.etag}
    answers = await asyncio.gather(
        *(admin.put(at(made.data), {"data": {"name": f"name {n}"}}, condition) for n in range(20))
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 19
    (won,) = [answer.data["name"] for answer in answers if answer.status == 200]
    assert (await admin.get(at(made.data))).data["name"] == won
    assert (await kept(api, made.data["id"])).revision == 2


async def test_of_many_deletes_at_once_one_deletes(admin: Client) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    answers = await asyncio.gather(*(admin.delete(at(made.data)) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [204] + [404] * 9


async def test_a_put_during_a_delete_resurrects_nothing(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    put = IntegrationRepository.put

    async def late(self: IntegrationRepository, *given: Any, **how: Any) -> SavedIntegration:
        assert (await admin.delete(at(made.data))).status == 204
        return await put(self, *given, **how)

    monkeypatch.setattr(IntegrationRepository, "put", late)
    plain = await admin.put(at(made.data), {"data": {"name": "new"}})
    monkeypatch.undo()
    assert plain.status == 409
    assert (await admin.get(at(made.data))).status == 404


async def test_a_delete_that_names_an_etag_loses_to_a_change_in_between(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await admin.post(ALL, {"data": webhook()})
    delete = IntegrationRepository.delete

    async def late(self: IntegrationRepository, *given: Any, **how: Any) -> bool:
        assert (await admin.put(at(made.data), {"data": {"name": "new"}})).status == 200
        return await delete(self, *given, **how)

    monkeypatch.setattr(IntegrationRepository, "delete", late)
    assert (await admin.delete(at(made.data), {"If-Match": made.etag})).status == 412
    assert (await admin.get(at(made.data))).data["name"] == "new"
    # A request that names none deletes it in any state.
    assert (await admin.delete(at(made.data))).status == 204


# Deleting


async def test_what_was_deleted_is_there_no_more(admin: Client) -> None:
    created = await admin.create()
    gone = await admin.delete(at(created))
    assert (gone.status, gone.raw) == (204, b"")
    for answer in (
        await admin.delete(at(created)),
        await admin.get(at(created)),
        await admin.put(at(created), {"data": {"name": "n"}}),
        await admin.get(f"{at(created)}/logs"),
        await admin.get(f"{at(created)}/jobs"),
        await admin.post(f"{at(created)}/test"),
        await admin.post(f"{at(created)}/redeliver"),
    ):
        assert answer.status == 404
    assert (await admin.get(ALL)).data == []


# Bodies


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/vnd.api+json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
    ],
)
async def test_both_names_of_json_are_taken(admin: Client, content_type: str) -> None:
    body = json.dumps({"data": webhook(name="Zoë's ERP")}, ensure_ascii=False).encode()
    made = await admin.post(ALL, body, {"Content-Type": content_type})
    assert made.status == 201, made.raw
    assert made.data["name"] == "Zoë's ERP"
    assert made.headers["Content-Type"] == "application/json"
    assert (await admin.put(at(made.data), b'{"data":{}}', {"Content-Type": content_type})).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "nonsense",
    ],
)
async def test_a_body_of_another_type_is_refused_with_what_is_expected(admin: Client, content_type: str) -> None:
    created = await admin.create()
    body = json.dumps({"data": webhook()}).encode()
    for answer in (
        await admin.post(ALL, body, {"Content-Type": content_type}),
        await admin.put(at(created), body, {"Content-Type": content_type}),
    ):
        assert answer.status == 415
        assert "application/json or application/vnd.api+json" in answer.errors[0]["detail"]
        assert content_type in answer.errors[0]["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"data=x",
        b'{"data":{}} {}',
        b'{"data":NaN}',
        b'{"data":{"name":"\\ud83d"}}',
        b'{"data":{"name":"\xff"}}',
        b"[" * 100_000,
    ],
)
async def test_what_is_not_json_is_refused_with_why(admin: Client, body: bytes) -> None:
    created = await admin.create()
    for answer in (await admin.post(ALL, body), await admin.put(at(created), body)):
        assert answer.status == 400, answer.raw
        assert len(answer.errors) == 1
        assert "the body is not" in answer.errors[0]["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_that_is_too_large_is_refused_with_the_limit_and_the_next_one_is_read(
    serve: Serve, method: str
) -> None:
    api = await serve(api_body_limit=2048)
    admin = await api.someone()
    created = await admin.create()
    path = ALL if method == "POST" else at(created)

    async def sized(size: int) -> Answer:
        body = json.dumps({"data": webhook(description="")}).encode()
        return await admin.ask(method, path, body.replace(b'"description": ""', b'"description": "%s"' % (b"x" * size)))

    whole = len(json.dumps({"data": webhook(description="")}))
    assert (await sized(2048 - whole)).status in (200, 201)
    for size in (2049 - whole, 1_000_000):
        answer = await sized(size)
        assert answer.status == 413
        assert "2,048 bytes" in answer.errors[0]["detail"]
    assert (await admin.get(ALL)).status == 200


@pytest.mark.parametrize("body", [[], "x", 5, None, {}, {"name": "ERP"}, {"data": None}, {"data": []}, {"data": [{}]}])
async def test_a_body_without_data_is_shown_where_it_belongs(admin: Client, body: Any) -> None:
    created = await admin.create()
    raw = json.dumps(body).encode()
    for answer in (await admin.post(ALL, raw), await admin.put(at(created), raw)):
        assert answer.status == 422
        assert answer.pointers == ["/data"]


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"name": ""}, "/data/name", "must not be empty"),
        ({"name": 5}, "/data/name", "must be a string"),
        ({"name": "x" * 256}, "/data/name", "255"),
        ({"description": 5}, "/data/description", "must be a string"),
        ({"enabled": "yes"}, "/data/enabled", "true or false"),
        ({"type": "flow"}, "/data/type", "integration"),
        ({"integration_type": "pigeon"}, "/data/integration_type", "webhook"),
        ({"integration_type": 5}, "/data/integration_type", "must be a string"),
        ({"observes": []}, "/data/observes", "at least one"),
        ({"observes": "order.paid"}, "/data/observes", "list"),
        ({"observes": ["order.paid", "order.payed"]}, "/data/observes/1", "order.paid"),
        ({"observes": [5]}, "/data/observes/0", "must be a string"),
        ({"configuration": []}, "/data/configuration", "must be an object"),
        ({"configuration": {"url": "ftp://a.example"}}, "/data/configuration/url", "https"),
        ({"configuration": {"uri": "https://a.example"}}, "/data/configuration/url", '"uri" is not a known key'),
        ({"enabld": True}, "/data/enabld", "enabled"),
    ],
)
async def test_what_is_wrong_is_named_by_its_json_pointer(
    admin: Client, change: dict[str, Any], pointer: str, words: str
) -> None:
    created = await admin.create()
    for answer in (await admin.post(ALL, {"data": webhook(**change)}), await admin.put(at(created), {"data": change})):
        assert answer.status == 422, answer.raw
        assert answer.pointers == [pointer]
        assert words in answer.errors[0]["detail"]
    assert (await admin.get(at(created))).data == created
    assert len((await admin.get(ALL)).data) == 1


async def test_every_problem_has_an_error_of_its_own(admin: Client) -> None:
    answer = await admin.post(
        ALL,
        {
            "data": {
                "type": "flow",
                "enabled": 1,
                "observes": ["order.payed", "order.paid", "nonsense"],
                "configuration": {"secret_key": "line\nbreak", "extra": 1},
            }
        },
    )
    assert answer.status == 422
    assert sorted(answer.pointers) == [
        "/data/configuration/secret_key",
        "/data/configuration/url",
        "/data/enabled",
        "/data/name",
        "/data/observes/0",
        "/data/observes/2",
        "/data/type",
    ]
    assert {error["status"] for error in answer.errors} == {422}
    for error in answer.errors:
        assert error["detail"].startswith(error["source"]["pointer"])
    assert b"break" not in answer.raw.replace(b"line breaks", b"")


async def test_an_unknown_key_is_refused_with_the_nearest_known_ones_and_with_its_level(
    api: Api, admin: Client
) -> None:
    (unknown,) = (await admin.post(ALL, {"data": webhook(observes=["order.payd"])})).errors
    assert "order.payd" in unknown["detail"]
    assert "order.paid" in unknown["detail"]
    organisation = await api.someone(scope=Scope(SCOPE.org_id))
    elsewhere = await organisation.post(ALL, {"data": webhook(observes=["order.paid"])})
    assert elsewhere.status == 422
    assert elsewhere.pointers == ["/data/observes/0"]
    assert "order.paid" in elsewhere.errors[0]["detail"]


# Paths, methods, failures


@pytest.mark.parametrize(
    "path",
    ["/v2", "/v2/", "/v2/integrations/", "/v2/flows", "/v1/integrations", "/v2/integrations/x/y/z", "/%00", "//"],
)
async def test_an_unknown_path_is_answered_in_the_apis_shape(admin: Client, path: str) -> None:
    for answer in (await admin.get(path), await admin.post(path, {})):
        assert answer.status == 404
        assert answer.errors[0]["status"] == 404
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("", "PATCH", {"GET", "HEAD", "POST"}),
        ("", "OPTIONS", {"GET", "HEAD", "POST"}),
        ("/{id}", "POST", {"GET", "HEAD", "PUT", "DELETE"}),
        ("/logs", "POST", {"GET", "HEAD"}),
        ("/{id}/test", "GET", {"POST"}),
        ("/{id}/redeliver", "HEAD", {"POST"}),
        ("/{id}/jobs", "DELETE", {"GET", "HEAD"}),
    ],
)
async def test_an_unknown_method_is_shown_which_there_are(
    admin: Client, path: str, method: str, allowed: set[str]
) -> None:
    created = await admin.create()
    answer = await admin.ask(method, ALL + path.format(id=created["id"]))
    assert answer.status == 405
    assert allowed <= set(answer.headers["Allow"].split(", "))
    if method != "HEAD":
        assert answer.errors[0]["title"] == "Method Not Allowed"
        assert method in answer.errors[0]["detail"]


@pytest.mark.parametrize(
    "identity",
    ["1", "not-a-uuid", "..%2f..", "%2A", "x" * 2000, "28917b6f-0cf0-4504-99fa-ab963bff539d", "%EF%BF%BD", "logs%00"],
)
async def test_an_id_that_is_none_is_not_found(admin: Client, identity: str) -> None:
    for answer in (
        await admin.get(f"{ALL}/{identity}"),
        await admin.put(f"{ALL}/{identity}", {"data": {}}),
        await admin.delete(f"{ALL}/{identity}"),
        await admin.get(f"{ALL}/{identity}/logs"),
        await admin.get(f"{ALL}/{identity}/jobs"),
        await admin.get(f"{ALL}/{identity}/jobs/{identity}"),
        await admin.get(f"{ALL}/{identity}/jobs/{identity}/logs"),
        await admin.post(f"{ALL}/{identity}/jobs/{identity}/redeliver"),
    ):
        assert answer.status == 404, answer.raw


async def test_head_answers_as_get_does_without_a_body(admin: Client) -> None:
    created = await admin.create()
    for path in (ALL, at(created), f"{ALL}/logs"):
        got, head = await admin.get(path), await admin.ask("HEAD", path)
        assert (head.status, head.raw) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers.get(name) == got.headers.get(name)
    assert (await admin.ask("HEAD", f"{ALL}/{uuid4()}")).status == 404


async def test_an_internal_failure_is_answered_in_shape_without_a_traceback_and_logged_with_its_incident(
    admin: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    created = await admin.create()

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of this failure")

    monkeypatch.setattr(IntegrationRepository, "page", broken)
    monkeypatch.setattr(JobLanes, "of_integration", broken)
    for path in (ALL, f"{at(created)}/jobs"):
        answer = await admin.get(path)
        assert answer.status == 500
        assert answer.headers["Content-Type"] == "application/json"
        (error,) = answer.errors
        assert (error["status"], error["title"]) == (500, "Internal Server Error")
        for leak in (b"Traceback", b"RuntimeError", b"the secret of this failure", b".py"):
            assert leak not in answer.raw
        incident = error["detail"].rsplit(" ", 1)[1]
        said = capsys.readouterr().out
        assert incident in said
        assert "the secret of this failure" in said
    monkeypatch.undo()
    assert (await admin.get(ALL)).status == 200


# The changes are events


@pytest.fixture
def reported(receiver: Receiver) -> Callable[[str], list[dict[str, Any]]]:
    """What the receiver was sent about an integration."""

    def of(integration_id: str) -> list[dict[str, Any]]:
        bodies = [each.body for each in receiver.received]
        # Of what was deleted, the payload is the resource's type and id, and nothing around them.
        return [each for each in bodies if each["payload"].get("data", each["payload"])["id"] == integration_id]

    return of


async def test_changes_are_published_to_those_who_observe_them_and_no_secret_is(
    api: Api,
    admin: Client,
    receiver: Receiver,
    start_worker: StartWorker,
    reported: Callable[[str], list[dict[str, Any]]],
) -> None:
    await start_worker().ready()
    observer = await admin.create(
        name="audit",
        observes=["integration.created", "integration.updated", "integration.deleted"],
        configuration={"url": receiver.url, "secret_key": "of the observer"},
    )
    watched = {
        "webhook": {"url": "https://a.example", "secret_key": "top-s3cret-9876"},
        "aws_sqs": SQS,
        "stomp": STOMP,
    }
    moved: dict[str, dict[str, Any]] = {
        "webhook": {"url": "https://b.example"},
        "aws_sqs": SQS | {"region": "eu-central-1"},
        "stomp": STOMP | {"destination": "/queue/new"},
    }

    def shown(kind: str, configuration: dict[str, Any]) -> dict[str, Any]:
        return mask_all(configuration, api.services.types.secret_fields(kind))

    ids = {}
    for kind, configuration in watched.items():
        created = await admin.create(integration_type=kind, configuration=configuration)
        ids[kind] = created["id"]
        changes = [{"name": "new"}, {"configuration": moved[kind]}]
        assert [(await admin.put(at(created), {"data": change})).status for change in changes] == [200, 200]
        assert (await admin.delete(at(created))).status == 204

    await eventually(lambda: [len(reported(each)) for each in ids.values()] == [4, 4, 4], "all are reported")

    for kind, integration_id in ids.items():
        bodies = reported(integration_id)
        by_kind: dict[str, list[Any]] = {}
        for body in bodies:
            by_kind.setdefault(body["triggered_by"].removeprefix("integration."), []).append(body["payload"])
            assert body["integration"]["id"] == observer["id"]
            assert (body["store_id"], body["org_id"]) == (SCOPE.store_id, SCOPE.org_id)
        assert {what: len(payloads) for what, payloads in by_kind.items()} == {"created": 1, "updated": 2, "deleted": 1}
        assert by_kind["created"][0]["data"]["name"] == "ERP"
        assert {payload["data"]["name"] for payload in by_kind["updated"]} == {"new"}
        last = [payload["data"]["configuration"] for payload in by_kind["updated"]]
        assert shown(kind, moved[kind]) in last
        # As the domain says of whatever was deleted.
        assert by_kind["deleted"] == [{"type": "integration", "id": integration_id}]
    # It observes its own creation too, since it was there before that was matched.
    assert [body["triggered_by"] for body in reported(observer["id"])] == ["integration.created"]
    sent = b"".join(each.raw for each in receiver.received)
    for secret in ("top-s3cret-9876", *(SQS[name] for name in ("aws_access_key_id", "aws_secret_access_key"))):
        assert secret.encode() not in sent
        assert masked(secret).encode() in sent
    for secret in ("correct horse battery", "of the observer"):
        assert secret.encode() not in sent


async def test_what_changed_nothing_is_reported_to_nobody(api: Api, admin: Client) -> None:
    created = await admin.create()
    accepted = (await api.ledger.status.read()).counter("accepted")
    assert accepted == 1
    for answer in (
        await admin.put(at(created), {"data": {"name": ""}}),
        await admin.put(at(created), {"data": {"name": "n"}}, {"If-Match": '"7"'}),
        await admin.delete(at(created), {"If-Match": '"7"'}),
        await admin.post(ALL, {"data": {}}),
        await admin.get(at(created)),
    ):
        assert answer.status in (200, 412, 422)
    assert (await api.ledger.status.read()).counter("accepted") == accepted
    await consistent(api.ledger)


async def test_a_change_and_its_event_are_one(api: Api, admin: Client) -> None:
    created = await admin.create()
    await admin.put(at(created), {"data": {"name": "new"}})
    await admin.delete(at(created))
    loaded = await api.ledger.inbox.load(await inspection.inbox(api.ledger))
    assert sorted(each.event.type for each in loaded.events) == [
        "integration.created",
        "integration.deleted",
        "integration.updated",
    ]
    assert {each.event.scope for each in loaded.events} == {SCOPE}


async def test_a_redis_server_that_takes_no_more_refuses_the_change_with_its_event(
    redis_server: RedisServer, admin: Client, reader: Client
) -> None:
    created = await admin.create()
    assert (await reader.get(at(created))).status == 200
    redis_server.limit_memory(1)
    try:
        answer = await admin.put(at(created), {"data": {"name": "new"}})
        read = await reader.get(at(created))
    finally:
        redis_server.limit_memory(0)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert read.data["name"] == "ERP"


async def test_an_open_circuit_is_shown_with_when_it_is_tried_again(admin: Client, scene: LedgerScene) -> None:
    integration = (await admin.create())["id"]
    path = f"/v2/integrations/{integration}"
    assert "circuit" not in (await admin.get(path)).data["meta"]
    await surgery.put_circuit(scene.ledger, integration, "open", until=1_900_000_000_000)
    expected = {"state": "open", "until": "2030-03-17T17:46:40.000Z"}
    assert (await admin.get(path)).data["meta"]["circuit"] == expected
    (listed,) = (await admin.get("/v2/integrations")).data
    assert listed["meta"]["circuit"] == expected
    await surgery.put_circuit(scene.ledger, integration, "half")
    assert (await admin.get(path)).data["meta"]["circuit"] == {"state": "half"}
    await admin.put(path, {"data": {"description": "to be mended"}})
    assert (await admin.get(path)).data["meta"]["circuit"] == {"state": "half"}
    # A changed configuration closes it.
    await admin.put(path, {"data": {"configuration": {"url": "https://mended.example"}}})
    assert "circuit" not in (await admin.get(path)).data["meta"]


@pytest.mark.parametrize("circuit", ["open", "half"])
async def test_a_circuit_that_a_change_closes_is_logged_and_counted_once(
    admin: Client, scene: LedgerScene, circuit: str
) -> None:
    integration = (await admin.create())["id"]
    path = f"/v2/integrations/{integration}"
    change = {"data": {"configuration": {"url": "https://mended.example"}}}

    def counted() -> float:
        return REGISTRY.get_sample_value("edw_circuit_changes_total", {"state": "closed"}) or 0

    before = counted()
    await surgery.put_circuit(scene.ledger, integration, circuit, until=1_900_000_000_000)
    with capture_logs() as lines:
        # Neither what is none of the receiver's, nor a second time.
        await admin.put(path, {"data": {"name": "another"}})
        assert (counted() - before, await scene.counter("circuits_closed")) == (0, 0)
        await admin.put(path, change)
        await admin.put(path, change)
    reported = {"event": "circuit closed", "integration": integration, "log_level": "info"}
    assert [line for line in lines if line["event"].startswith("circuit")] == [reported]
    assert (counted() - before, await scene.counter("circuits_closed")) == (1, 1)


async def test_enabling_closes_a_circuit_and_reports_it(admin: Client, scene: LedgerScene) -> None:
    integration = (await admin.create(enabled=False))["id"]
    await surgery.put_circuit(scene.ledger, integration, "open", until=1_900_000_000_000)
    with capture_logs() as lines:
        await admin.put(f"/v2/integrations/{integration}", {"data": {"enabled": True}})
    assert [line["integration"] for line in lines if line["event"] == "circuit closed"] == [integration]


async def test_a_rate_limit_is_removed_by_null_and_a_wrong_one_is_refused_by_name(admin: Client) -> None:
    made = await admin.create(rate_limit=10)
    assert made["rate_limit"] == 10
    for wrong in (0, -1, "10", True, 1_000_000):
        answer = await admin.put(at(made), {"data": {"rate_limit": wrong}})
        assert (answer.status, list(answer.pointers)) == (422, ["/data/rate_limit"])
    assert "rate_limit" not in (await admin.put(at(made), {"data": {"rate_limit": None}})).data


async def test_a_receiver_that_only_fails_is_shown_with_since_when(admin: Client, scene: LedgerScene) -> None:
    made = await admin.create()
    assert "failing" not in made["meta"]
    await surgery.put_failing(scene.ledger, made["id"], since=1_900_000_000_000, attempts=7)
    assert (await admin.get(at(made))).data["meta"]["failing"] == {"since": "2030-03-17T17:46:40.000Z", "attempts": 7}


async def test_a_patience_of_its_own_is_shown_changed_and_taken_back(api: Api, admin: Client) -> None:
    made = await admin.create(timeout=20, retry_schedule=[5, 60.5])
    assert (made["timeout"], made["retry_schedule"]) == (20, [5, 60.5])
    read = (await admin.get(at(made))).data
    assert (read["timeout"], read["retry_schedule"]) == (20, [5, 60.5])
    changed = await admin.put(at(made), {"data": {"timeout": None, "retry_schedule": []}})
    assert "timeout" not in changed.data
    assert changed.data["retry_schedule"] == []
    refused = await admin.put(at(made), {"data": {"timeout": 31, "retry_schedule": [5, -1]}})
    assert refused.status == 422
    assert [each["source"]["pointer"] for each in refused.errors] == ["/data/timeout", "/data/retry_schedule/1"]
    record = (await admin.get("/v2/audit")).data[0]
    assert record["after"]["retry_schedule"] == []


async def test_a_client_certificate_is_shown_its_key_is_not_and_its_end_is_warned_of(api: Api, admin: Client) -> None:
    authority, end = trustme.CA(), datetime.now(UTC) + timedelta(days=20)
    issued = authority.issue_cert(common_name="shop", not_after=end)
    certificate, key = (each.bytes().decode() for each in (issued.cert_chain_pems[0], issued.private_key_pem))
    given = {"url": "https://a.example", "client_certificate": certificate, "client_key": key}
    made = await admin.create(configuration=given)
    reader = api.client(await api.token(Role.READ))
    for client in (admin, reader):
        read = (await client.get(at(made))).data
        assert read["configuration"] == given | {"client_key": "********"}
        (warning,) = read["meta"]["warnings"]
        assert warning.startswith("configuration.client_certificate expires on ")
    kept = await admin.put(at(made), {"data": {"configuration": read["configuration"]}})
    assert kept.status == 200
    mismatched = given | {"client_key": authority.issue_cert("x.example").private_key_pem.bytes().decode()}
    refused = await admin.put(at(made), {"data": {"configuration": mismatched}})
    assert refused.pointers == ["/data/configuration/client_key"]
