"""A Redis server whose users may do what deploy/redis-users.acl says, and one thing less."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.settings import Settings, load_settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import StartApi, StartWorker
from tests.fleet.producers import ForeignProducer, push_to_list
from tests.fleet.webhook_receiver import Receiver
from tests.integration.process.redis_users import Acl, url_of, users
from tests.ledger import inspection
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.ledger import Ledger, LedgerForbidden, LedgerPolicy
from worker.ledger.connection.permissions import EVERYTHING, PUBLISHER
from worker.publisher import Publisher

LUA = Path(__file__).parents[3] / "worker" / "ledger" / "lua"
SCOPE_OPTIONS = ("--store", str(SCOPE.store_id), "--org", str(SCOPE.org_id))


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server of this module's own: an ACL outlives a FLUSHALL."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(guarded: RedisServer) -> RedisServer:
    guarded.clear()
    return guarded


@pytest.fixture
def acl(redis_server: RedisServer) -> Iterator[Acl]:
    made = Acl(redis_server)
    made.load()
    made.forget()
    yield made
    made.close()


@pytest.fixture
def environment(redis_server: RedisServer, acl: Acl, environment: dict[str, str]) -> dict[str, str]:
    """What processes see: they are the user `edw`."""
    return environment | {"EDW_REDIS_URL": url_of(redis_server, "edw"), "EDW_API_PORT": "0"}


@pytest.fixture
def edw(environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str, user: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
        changed = environment if not user else environment | {"EDW_REDIS_URL": user}
        command = [sys.executable, "-m", "worker.cli", *arguments]
        done = subprocess.run(command, env=changed, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


Edw = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_file_lists_what_the_code_needs() -> None:
    allowed = {name: {rule[1:] for rule in rules if rule.startswith("+")} for name, rules in users().items()}
    assert allowed["edw"] >= EVERYTHING
    assert allowed["edw-ledger"] - EVERYTHING == {"client|setinfo", "ping", "select", "wait"}
    assert allowed["edw-publisher"] >= PUBLISHER
    assert allowed["edw"] - allowed["edw-ledger"] <= allowed["edw-broker"]
    for rules in users().values():
        assert "-@all" in rules
        assert not [rule for rule in rules if rule.startswith("+@") or rule in ("~*", "allkeys", "&*")]


def test_every_command_of_a_script_is_one_that_is_asked_for() -> None:
    called = re.compile(r"redis\.p?call\('([A-Z]+)'|'(Z[A-Z]+)' or '(Z[A-Z]+)'")
    found = {name.lower() for file in LUA.rglob("*.lua") for each in called.findall(file.read_text()) for name in each}
    assert found - {""} <= EVERYTHING


async def test_an_event_goes_all_the_way_and_nothing_is_refused(
    acl: Acl,
    edw: Edw,
    redis_server: RedisServer,
    environment: dict[str, str],
    receiver: Receiver,
    start_worker: StartWorker,
    start_api: StartApi,
) -> None:
    worker = await start_worker("edw worker").ready()
    api = await start_api().ready()
    hook = ("--observes", "order.paid", "--url", receiver.url, "--secret-key", "s", *SCOPE_OPTIONS)
    created = json.loads(edw("integrations", "create", "--name", "ERP", *hook, "--json").stdout)["data"]["id"]
    token = edw("tokens", "create", "--role", "admin", *SCOPE_OPTIONS).stdout.strip()
    client = json.loads(edw("tokens", "create", "--role", "admin", "--client", *SCOPE_OPTIONS, "--json").stdout)

    receiver.answers = [503]
    edw("emit", "order.paid", "--id", "e-1", *SCOPE_OPTIONS)
    await eventually(receiver.got(2), "the event by edw emit, at the second attempt")
    publisher = url_of(redis_server, "edw-publisher")
    edw("emit", "order.paid", "--id", "e-2", *SCOPE_OPTIONS, user=publisher)
    await eventually(receiver.got(3), "the event of a user who may only publish")
    push_to_list(publisher, json.dumps(order_paid(id="e-3")))
    await eventually(receiver.got(4), "the event of the plain queue")
    celery = ForeignProducer(url_of(redis_server, "edw"))
    celery.send(kwargs={"events": [order_paid(id="e-4")]})
    celery.app.close()
    await eventually(receiver.got(5), "the event of a Celery message")

    async with aiohttp.ClientSession(api.url, headers={"Authorization": f"Bearer {token}"}) as session:

        async def ask(method: str, path: str, expected: int = 200, **how: Any) -> Any:
            async with session.request(method, path, **how) as response:
                assert response.status == expected, await response.text()
                return await response.json() if response.content_type == "application/json" else None

        one = f"/v2/integrations/{created}"
        jobs = (await ask("GET", f"{one}/jobs"))["data"]
        for path in (
            "/v2/integrations",
            one,
            "/v2/integrations/logs",
            f"{one}/logs",
            f"{one}/jobs/{jobs[0]['id']}/logs",
        ):
            await ask("GET", path)
        await ask("PUT", one, json={"data": {"type": "integration", "description": "x"}})
        await ask("POST", f"{one}/jobs/{jobs[0]['id']}/redeliver", 202, json={})
        await eventually(receiver.got(6), "the redelivered job")
        await ask("GET", "/readyz")
        form = {"grant_type": "client_credentials", **{k: client[k] for k in ("client_id", "client_secret")}}
        await ask("POST", "/oauth/access_token", data=form)
        await ask("POST", "/v2/events", 202, json={"data": order_paid(id="e-5")})
        await eventually(receiver.got(7), "the event by HTTP")

    for command in (
        *(("status",), ("doctor",), ("logs", *SCOPE_OPTIONS), ("logs", "--all-stores"), ("jobs", "list")),
        *(("rejected", "list"), ("tokens", "list"), ("secrets", "rotate"), ("integrations", "list", *SCOPE_OPTIONS)),
        *(("integrations", "pause", created), ("integrations", "resume", created), ("jobs", "show", jobs[0]["id"])),
        ("integrations", "delete", created),
    ):
        edw(*command)
    assert await worker.stop() == 0
    assert await api.stop() == 0
    # By which `edw doctor` would say how often Redis writes to its disk: nothing that a user should have.
    assert set(acl.refused()) <= {("edw", "config|get")}


async def test_whatever_single_command_is_taken_away_is_named_before_anything_is_done(
    acl: Acl, redis_server: RedisServer
) -> None:
    for user, needed in (("edw-ledger", EVERYTHING), ("edw-publisher", PUBLISHER)):
        for command in sorted(needed):
            acl.set(user, f"-{command}")
            ledger = Ledger(url_of(redis_server, user))
            with pytest.raises(LedgerForbidden, match=rf"the user {user} .*\b{command}\b"):
                await ledger.open(needed)
            await ledger.close()
            acl.set(user, f"+{command}")


GROUPS = (
    *("scripting", "dangerous", "read", "write", "fast", "slow", "keyspace", "transaction", "blocking"),
    *("hash", "list", "set", "sortedset", "string"),
)


@pytest.mark.parametrize("group", GROUPS)
async def test_a_group_that_is_taken_away_from_a_ledger_at_work_is_a_clean_error(
    acl: Acl, redis_server: RedisServer, group: str
) -> None:
    ledger = Ledger(url_of(redis_server, "edw-ledger"), LedgerPolicy())
    await ledger.open()
    acl.set("edw-ledger", f"-@{group}")
    refused = 0
    for call in (
        ledger.status.read,
        ledger.status.writable,
        ledger.fleet.renew,
        ledger.fleet.sweep,
        lambda: inspection.used_memory(ledger),
        lambda: ledger.intake_list.wait(1),
        lambda: ledger.inbox.came_back("m"),
        lambda: ledger.integrations.scan(0),
        ledger.open,
    ):
        try:
            await call()
        except LedgerForbidden as error:
            refused += 1
            assert "edw-ledger" in str(error)
    assert refused, "the last one asks for everything"
    acl.load()
    await ledger.open()
    await ledger.close()


@pytest.mark.parametrize("group", ["scripting", "dangerous", "sortedset"])
async def test_the_command_line_and_the_api_say_what_is_refused_and_to_whom(
    acl: Acl, edw: Edw, start_api: StartApi, group: str
) -> None:
    token = edw("tokens", "create", "--role", "admin", *SCOPE_OPTIONS).stdout.strip()
    api = await start_api().ready()
    acl.set("edw", f"-@{group}")

    for command in (("emit", "order.paid", *SCOPE_OPTIONS), ("status",), ("worker", "--wait", "0")):
        assert "does not let the user edw run the command" in edw(*command, code=1).stderr
    findings = {each["subject"]: each for each in json.loads(edw("doctor", "--json", code=1).stdout)["findings"]}
    assert findings["redis"]["grade"] == "failed"
    assert "user edw" in findings["redis"]["seen"]

    async with aiohttp.ClientSession(api.url, headers={"Authorization": f"Bearer {token}"}) as session:
        for method, path in (("POST", "/v2/events"), ("GET", "/readyz")):
            async with session.request(method, path, json={"data": order_paid()}) as response:
                said = await response.text()
            if group != "dangerous":
                assert response.status == 503
            assert "Traceback" not in said
            assert "127.0.0.1" not in said
            assert "edw run" not in said
    acl.load()
    assert "accepted" in edw("emit", "order.paid", *SCOPE_OPTIONS).stdout


async def test_a_wrong_password_is_a_refused_login(redis_server: RedisServer, acl: Acl, edw: Edw) -> None:
    wrong = url_of(redis_server, "edw").replace("change-me", "hunter2")
    for command in (("status",), ("emit", "order.paid", *SCOPE_OPTIONS)):
        said = edw(*command, user=wrong, code=1).stderr
        assert "refuses the login of the user edw" in said
        assert "hunter2" not in said


async def test_a_worker_goes_on_by_itself_once_its_rights_are_mended(
    acl: Acl,
    redis_server: RedisServer,
    environment: dict[str, str],
    receiver: Receiver,
    start_worker: StartWorker,
    edw: Edw,
) -> None:
    hook = ("--name", "ERP", "--observes", "order.paid", "--url", receiver.url, *SCOPE_OPTIONS)
    edw("integrations", "create", *hook)
    acl.set("edw", "-@scripting")
    worker = start_worker("edw worker")
    await eventually(lambda: worker.said("waiting for the ledger"), "it waits for its rights")
    acl.load()
    await worker.ready()
    edw("emit", "order.paid", "--id", "before", *SCOPE_OPTIONS)
    await eventually(receiver.got(1), "it works")

    acl.set("edw", "-@scripting")
    refusal = "does not let the user edw run the command evalsha"
    await eventually(
        lambda: worker.said('"ledger away"') and worker.said(refusal), "it says that the ledger refuses it"
    )
    with Publisher(load_with(redis_server)) as publisher:
        publisher.publish(order_paid(id="meanwhile"))
    acl.load()
    await eventually(receiver.got(2), "what was accepted meanwhile")
    assert await worker.stop() == 0
    # Celery's own part of the broker logs its refusals as it likes.
    ours = [line for line in worker.log.read_text().splitlines() if '"logger":"edw.' in line]
    assert not [line for line in ours if "Traceback" in line]


def load_with(redis_server: RedisServer) -> Settings:
    """The settings of another program, which may publish."""
    return load_settings(redis_url=url_of(redis_server, "edw-publisher"))
