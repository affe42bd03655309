"""`edw integrations`: the registry, from the command line."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.fleet.edw_command import Edw, Result
from tests.ledger import surgery
from worker.ledger import Ledger

pytestmark = pytest.mark.usefixtures("redis_url")
SCOPE = ("--store", "s", "--org", "o")
SECRET = "correct-horse-battery"


def create(edw: Edw, *more: str, **given: Any) -> Result:
    return edw(
        *("integrations", "create", "--name", "Orders", "--observes", "order.paid", "--observes", "order.created"),
        *("--url", "https://example.com/hook", "--json", *SCOPE, *more),
        **given,
    )


def data(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.text
    found: dict[str, Any] = result.json["data"]
    return found


def show(edw: Edw, named: str) -> dict[str, Any]:
    return data(edw("integrations", "show", named, *SCOPE, "--json"))


def test_what_was_created_is_shown_and_listed(edw: Edw) -> None:
    made = data(create(edw, "--description", "to the warehouse"))

    assert UUID(made["id"]).version == 4
    assert made["type"] == "integration"
    assert made["observes"] == ["order.paid", "order.created"]
    assert made["configuration"] == {"url": "https://example.com/hook"}
    assert made["enabled"] is True
    assert show(edw, made["id"]) == made
    assert [each["id"] for each in edw("integrations", "list", *SCOPE, "--json").json["data"]] == [made["id"]]
    assert edw("integrations", "list", "--json").json["data"] == []


def test_a_secret_is_masked_everywhere_and_stored_sealed(edw: Edw, environment: dict[str, str]) -> None:
    made = data(create(edw, "--secret-key", SECRET))
    outputs = [
        edw("integrations", "show", made["id"], *SCOPE),
        edw("integrations", "show", made["id"], *SCOPE, "--json"),
        edw("integrations", "list", *SCOPE),
        edw("integrations", "update", made["id"], "--name", "New", *SCOPE),
    ]

    assert made["configuration"]["secret_key"] == "*" * 17 + "tery"
    assert all(SECRET not in result.text and result.code == 0 for result in outputs)
    assert "*" * 17 + "tery" in outputs[0].out
    assert SECRET.encode() not in stored_bytes(environment)


def stored_bytes(environment: dict[str, str]) -> bytes:
    return b"".join(path.read_bytes() for path in Path(environment["EDW_DATA_DIR"]).rglob("*") if path.is_file())


def test_a_secret_can_come_by_standard_input(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", "-", stdin=SECRET.encode() + b"\n"))

    assert made["configuration"]["secret_key"] == "*" * 17 + "tery"


def test_without_a_key_no_secret_is_stored(edw: Edw, environment: dict[str, str]) -> None:
    del environment["EDW_SECRETS_KEYS"]

    result = create(edw, "--secret-key", SECRET)

    assert result.code == 1
    assert "EDW_SECRETS_KEYS is not set" in result.err
    assert edw("integrations", "list", *SCOPE, "--json").json["data"] == []


def test_without_a_key_a_secret_shows_only_that_it_is_there(edw: Edw, environment: dict[str, str]) -> None:
    made = data(create(edw, "--secret-key", SECRET))
    del environment["EDW_SECRETS_KEYS"]

    assert show(edw, made["id"])["configuration"]["secret_key"] == "********"
    assert edw("integrations", "disable", made["id"]).code == 0


def test_a_file_in_the_shape_of_the_specification_is_taken(edw: Edw, tmp_path: Path) -> None:
    body = {
        "data": {
            "type": "integration",
            "name": "From a file",
            "integration_type": "webhook",
            "observers": ["product.deleted"],
            "configuration": {"url": "https://example.com/", "secret_key": SECRET},
        }
    }
    path = tmp_path / "integration.json"
    path.write_text(json.dumps(body))

    wrapped = data(edw("integrations", "create", "--file", str(path), "--json"))
    bare = data(
        edw(
            "integrations", "create", "--file", "-", "--name", "Mine", "--json", stdin=json.dumps(body["data"]).encode()
        )
    )

    assert (wrapped["name"], wrapped["observes"]) == ("From a file", ["product.deleted"])
    assert bare["name"] == "Mine"


def test_an_integration_can_be_registered_before_anything_here_delivers_to_it(edw: Edw) -> None:
    body = {
        "name": "Queue",
        "integration_type": "aws-sqs",
        "observes": ["order.paid"],
        "configuration": {
            "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders",
            "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key": SECRET,
            "region": "eu-west-1",
        },
    }

    made = data(edw("integrations", "create", "--file", "-", *SCOPE, "--json", stdin=json.dumps(body).encode()))

    assert made["integration_type"] == "aws_sqs"
    assert made["configuration"]["aws_secret_access_key"] == "*" * 17 + "tery"
    assert show(edw, made["id"]) == made


def test_what_was_shown_can_be_sent_back_and_changes_nothing(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", SECRET))

    sent = data(edw("integrations", "update", made["id"], "--file", "-", "--json", stdin=json.dumps(made).encode()))

    assert {**sent, "meta": None} == {**made, "meta": None}


def test_an_update_changes_only_what_is_given(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", SECRET))

    changed = data(edw("integrations", "update", made["id"], "--url", "https://example.com/new", *SCOPE, "--json"))

    assert changed["configuration"] == {"url": "https://example.com/new", "secret_key": "*" * 17 + "tery"}
    assert changed["observes"] == made["observes"]


def test_a_url_elsewhere_wants_the_secret_again(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", SECRET))

    def moved(*more: str) -> Result:
        return edw("integrations", "update", made["id"], "--url", "https://other.example/", *more, *SCOPE, "--json")

    refused = moved()
    assert refused.code == 1
    assert [each["field"] for each in refused.json["errors"]] == ["configuration.secret_key"]
    assert "must be given again, because the destination changed (configuration.url)" in refused.err
    assert show(edw, made["id"])["configuration"] == made["configuration"]
    assert data(moved("--secret-key", SECRET))["configuration"]["url"] == "https://other.example/"
    # An empty one is none.
    assert data(moved("--secret-key", ""))["configuration"] == {"url": "https://other.example/", "secret_key": ""}


def test_a_secret_alone_can_be_changed_and_a_short_one_is_eight_stars(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", SECRET))

    changed = edw("integrations", "update", made["id"], "--secret-key", "guest", *SCOPE)

    assert changed.code == 0, changed.text
    assert show(edw, made["id"])["configuration"] == made["configuration"] | {"secret_key": "********"}
    assert "uest" not in changed.text


def test_the_configuration_of_a_file_replaces_the_whole_of_it(edw: Edw) -> None:
    made = data(create(edw, "--secret-key", SECRET))
    body = json.dumps({"configuration": {"url": "https://other.example/"}}).encode()

    changed = data(edw("integrations", "update", made["id"], "--file", "-", *SCOPE, "--json", stdin=body))

    assert changed["configuration"] == {"url": "https://other.example/"}


def test_a_brokers_url_takes_the_place_of_its_addresses(edw: Edw) -> None:
    broker = {"destination": "/queue/orders", "addresses": ["stomp://a.example", "stomp://b.example"]}
    body = {"name": "Broker", "integration_type": "stomp", "observes": ["order.paid"], "configuration": broker}
    made = data(edw("integrations", "create", "--file", "-", *SCOPE, "--json", stdin=json.dumps(body).encode()))

    changed = data(edw("integrations", "update", made["id"], "--url", "stomp://c.example", *SCOPE, "--json"))

    assert changed["configuration"] == broker | {"addresses": ["stomp://c.example"]}


def test_no_more_integrations_are_created_than_a_store_may_have(edw: Edw, environment: dict[str, str]) -> None:
    environment["EDW_STORE_INTEGRATIONS"] = "1"
    made = data(create(edw))

    refused = create(edw)

    assert refused.code == 1
    assert refused.json["errors"][0]["field"] == ""
    assert "refused: this store has 1 integration, and at most 1 are allowed (EDW_STORE_INTEGRATIONS)" in refused.text
    assert edw("integrations", "update", made["id"], "--name", "New", *SCOPE).code == 0
    elsewhere = edw(
        *("integrations", "create", "--name", "n", "--observes", "order.paid", "--url", "https://example.com/"),
        *("--store", "other", "--org", "o"),
    )
    assert elsewhere.code == 0


def test_it_is_disabled_and_enabled(edw: Edw) -> None:
    made = data(create(edw, "--disabled"))

    assert made["enabled"] is False
    assert data(edw("integrations", "enable", made["id"], "--json"))["enabled"] is True
    assert data(edw("integrations", "disable", made["id"], "--json"))["enabled"] is False


async def test_an_open_circuit_is_shown_with_the_time_of_the_next_attempt(edw: Edw, redis_url: str) -> None:
    made = data(create(edw))
    assert "circuit" not in edw("integrations", "show", made["id"]).out
    ledger = Ledger(redis_url)
    await ledger.open()
    await surgery.put_circuit(ledger, made["id"], "open", until=1_000)
    await ledger.close()
    assert "circuit open: one attempt at 1970-01-01T00:00:01.000Z" in edw("integrations", "show", made["id"]).text


def test_what_was_deleted_is_gone(edw: Edw) -> None:
    made = data(create(edw))

    assert edw("integrations", "delete", made["id"]).code == 0

    gone = edw("integrations", "show", made["id"])
    assert gone.code == 1
    assert f"there is no integration {made['id']}" in gone.err


def test_the_beginning_of_an_id_is_enough_where_only_one_has_it(edw: Edw) -> None:
    made = data(create(edw))

    assert show(edw, made["id"][:8])["id"] == made["id"]
    assert edw("integrations", "show", made["id"][:8], "--store", "other").code == 1
    assert edw("integrations", "show", "nope", *SCOPE).code == 1
    assert edw("integrations", "show", made["id"], "--store", "other").code == 1


@pytest.mark.parametrize(
    ("arguments", "field", "part"),
    [
        (("--observes", "order.payed"), "observes.2", "order.paid"),
        (("--type", "homing-pigeon"), "integration_type", "webhook"),
        (("--url", "ftp://example.com"), "configuration.url", "https://"),
        (("--secret-key", "a\r\nX-Evil: 1"), "configuration.secret_key", "line breaks"),
        (("--name", " "), "name", "empty"),
    ],
)
def test_a_bad_integration_is_refused_with_the_field(
    edw: Edw, arguments: tuple[str, ...], field: str, part: str
) -> None:
    result = create(edw, *arguments)

    assert result.code == 1
    assert [each["field"] for each in result.json["errors"]] == [field]
    assert f"refused: {field}: " in result.err
    assert part in result.err
    assert "X-Evil" not in result.text


def test_everything_that_is_missing_is_said_at_once(edw: Edw) -> None:
    result = edw("integrations", "create")

    assert result.code == 1
    assert [line.split(":")[1].strip() for line in result.err.splitlines()] == ["name", "observes", "configuration.url"]


def test_a_file_that_is_no_json_is_refused(edw: Edw) -> None:
    result = edw("integrations", "create", "--file", "-", stdin=b"{")

    assert result.code == 1
    assert "is not JSON" in result.err
    assert "Traceback" not in result.err


def test_tables_fit_a_hundred_columns_and_foreign_text_commands_no_terminal(edw: Edw) -> None:
    data(create(edw, "--name", "[red]x[/red] \x1b[31m" + "y" * 200))

    listing = edw("integrations", "list", *SCOPE)

    assert listing.code == 0
    assert "[red]" in listing.out
    assert "\x1b" not in listing.out
    assert all(len(line) <= 100 for line in listing.out.splitlines())


def test_an_unknown_key_of_a_configuration_is_ignored_with_a_warning(edw: Edw, tmp_path: Path) -> None:
    file = tmp_path / "integration.json"
    configuration = {"url": "https://shop.example", "secret": "planted"}
    file.write_text(json.dumps({"name": "Shop", "observes": ["order.paid"], "configuration": configuration}))
    named = 'warning: configuration.secret is not a known key, and was ignored; did you mean "secret_key"?'

    created = edw("integrations", "create", "--file", str(file), "--json")
    updated = edw("integrations", "update", created.json["data"]["id"], "--file", str(file), "--json")

    for result in (created, updated):
        assert result.code == 0, result.text
        assert result.err.strip() == named
        assert result.json["data"]["configuration"] == {"url": "https://shop.example"}


def test_headers_and_other_keys_have_options_and_an_update_changes_only_what_is_named(edw: Edw, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    headers = ("--header", f"X-Api-Key: {SECRET}", "--header", "X-Tenant: shop")
    made = data(create(edw, *headers, "--set", f"bearer_token=@{token}"))
    assert made["configuration"]["headers"] == {"X-Api-Key": "*" * 17 + "tery", "X-Tenant": "********"}
    assert made["configuration"]["bearer_token"] == "*" * 17 + "tery"
    patience = ("--timeout", "20s", "--retry-schedule", "5s 1m")
    assert data(edw("integrations", "update", made["id"], *patience, *SCOPE, "--json"))["retry_schedule"] == [5, 60]
    assert "5 s, 1 min" in edw("integrations", "show", made["id"], *SCOPE).out
    changes = (
        "--timeout",
        "",
        "--retry-schedule",
        "none",
        "--header",
        "X-Tenant:",
        "--header",
        "X-New: value",
        "--set",
        "bearer_token=",
    )
    updated = data(edw("integrations", "update", made["id"], *changes, *SCOPE, "--json"))
    assert updated["configuration"] == {
        "url": "https://example.com/hook",
        "headers": {"X-Api-Key": "*" * 17 + "tery", "X-New": "********"},
    }
    assert (updated.get("timeout"), updated["retry_schedule"]) == (None, [])
    assert edw("integrations", "update", made["id"], "--retry-schedule", "soon", *SCOPE).code == 2
    for wrong, words in (
        ("bearer_token", "expected KEY=VALUE"),
        ("headers={", "is not JSON"),
        ("x=@/none", "cannot be read"),
    ):
        result = create(edw, "--set", wrong)
        assert result.code != 0
        assert words in result.err
    refused = create(edw, "--header", f"Connection: {SECRET}")
    assert refused.code == 1
    assert "configuration.headers.Connection: must not be given" in refused.err
    assert SECRET not in refused.err
