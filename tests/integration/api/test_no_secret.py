"""Secrets of every type are planted, everything is made to go wrong, and whatever is said anywhere is searched."""

import asyncio
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from cryptography.fernet import Fernet

from deliverers.registry import DelivererRegistry
from tests.api_client import Answer, Api, Client
from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.domain.api_token import Role

SECRET_KEY = "planted-secret-of-the-webhook"
SIGNING_KEY = "whsec_" + b64encode(b"planted-secret that signs: 32 bytes.").decode()
ACCESS_KEY_ID = "AKIAplanted-secret-id"
SECRET_ACCESS_KEY = "planted/secret+access/key"
PASSWORD = "planted-secret-of-the-broker"
REDIS_PASSWORD = "planted-secret-of-redis"
HEADER = "planted-secret-of-a-header"
BASIC = "planted-secret-of-a-login"
PLANTED = (HEADER, BASIC, SECRET_KEY, SIGNING_KEY, ACCESS_KEY_ID, SECRET_ACCESS_KEY, PASSWORD, REDIS_PASSWORD)


def forms(secret: str) -> set[str]:
    """A secret as it may be printed."""
    return {secret, json.dumps(secret)[1:-1], b64encode(secret.encode()).decode(), secret.removeprefix("whsec_")}


@pytest.fixture
async def parrot() -> AsyncIterator[int]:
    """A receiver for SQS and STOMP that refuses everything, and repeats in its refusal what it received."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.read(65536)
            is_stomp = request.startswith((b"CONNECT", b"STOMP"))
            known = (PASSWORD,) if is_stomp else (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
            echo = " ".join((request.replace(b"\0", b" ").decode(errors="replace"), *known))
            if is_stomp:
                flat = " ".join(echo.split()).replace(":", "\\c")
                writer.write(f"ERROR\nmessage:{flat}\n\n{echo}\0".encode())
            else:
                body = json.dumps({"__type": "InvalidClientTokenId", "message": echo, "Message": echo}).encode()
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/x-amz-json-1.0\r\n")
                writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()


def configurations(receiver: Receiver, parrot: int) -> dict[str, dict[str, object]]:
    return {
        "webhook": {
            "url": receiver.url,
            "secret_key": SECRET_KEY,
            "signing_keys": [SIGNING_KEY],
            "headers": {"X-Api-Key": HEADER},
            "oauth_token_url": f"http://127.0.0.1:{parrot}/token",
            "oauth_client_id": "shop",
            "oauth_client_secret": BASIC,
        },
        "aws_sqs": {
            "url": f"http://127.0.0.1:{parrot}/123456789012/queue",
            "region": "eu-west-1",
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
        },
        "stomp": {
            "addresses": [f"stomp://127.0.0.1:{parrot}"],
            "destination": "/queue/q",
            "username": "shop",
            "password": PASSWORD,
        },
    }


async def bad_requests(admin: Client, given: dict[str, dict[str, object]]) -> list[Answer]:
    """Secrets where they do not belong, and bodies that break around them."""
    answers = []
    for kind, configuration in given.items():
        for name, value in configuration.items():
            for broken in (
                {**configuration, name: [value]},
                {**configuration, name: {"value": value}},
                {**configuration, f"{name}x": value},
                {**configuration, name: f"{value}\n"},
                {**configuration, name: f"{value}" * 400},
            ):
                attributes = {"name": "x", "observes": ["order.paid"], "integration_type": kind}
                answers.append(await admin.post("/v2/integrations", {"data": {**attributes, "configuration": broken}}))
        cut = json.dumps({"data": {"configuration": configuration}}).encode()[:-3]
        answers.append(await admin.post("/v2/integrations", cut))
        answers.append(await admin.post("/v2/integrations", {"data": {"name": configuration}}))
        answers.append(await admin.post("/v2/integrations", {"data": configuration}))
    return answers


async def bad_updates(admin: Client, ids: dict[str, str], evil: int) -> list[Answer]:
    """Bodies that would have stored secrets sent elsewhere, or repeated in a refusal."""
    bodies: list[tuple[str, dict[str, object]]] = []
    for kind, each in ids.items():
        path = f"/v2/integrations/{each}"
        shown = (await admin.get(path)).data["configuration"]
        if kind == "webhook":  # an admin sees this one
            shown |= {"secret_key": "*" * (len(SECRET_KEY) - 4) + SECRET_KEY[-4:]}
        moves: list[dict[str, object]] = [
            {"url": f"http://127.0.0.1:{evil}/1/q"},
            {"addresses": [f"stomp://127.0.0.1:{evil}"]},
            {"url": "\n"},
            {"unknown": True},
            {"region": 7, "destination": 7},
        ]
        # Keys that a type does not have are ignored, and lead nowhere.
        registry = DelivererRegistry.built_in()
        refused = [each for each in moves if set(registry.unknown_keys(kind, each)) != set(each)]
        for changes in moves:
            if changes not in refused:
                assert (await admin.put(path, {"data": {"configuration": shown | changes}})).status == 200
        bodies += [(path, {"configuration": shown | changes}) for changes in refused]
        # A webhook needs a url only: it takes one, and ignores the masks of another type's secrets.
        bodies += [
            (path, {"integration_type": other, "configuration": shown})
            for other in ids
            if other not in (kind, "webhook")
        ]
    answers = [await admin.put(path, {"data": body}) for path, body in bodies]
    assert [answer.status for answer in answers] == [422] * len(bodies)
    return answers


async def test_no_secret_is_ever_printed(
    api: Api, receiver: Receiver, parrot: int, start_worker: StartWorker, environment: dict[str, str]
) -> None:
    receiver.answers = [500]
    worker = start_worker(EDW_LOG_LEVEL="debug")
    await worker.ready()
    admin, reader = api.client(await api.token()), api.client(await api.token(Role.READ))
    given = configurations(receiver, parrot)
    ids = [
        (await admin.create(integration_type=kind, configuration=configuration, observes=["order.paid"]))["id"]
        for kind, configuration in given.items()
    ]
    await admin.create(observes=["integration.updated"], configuration={"url": receiver.url})
    answers = [await admin.post("/v2/events", {"data": order_paid(id="e-1")})]

    async def attempted() -> bool:
        history = await reader.get("/v2/events/e-1")
        answers.append(history)
        jobs = history.data["jobs"] if history.status == 200 else []
        return len(jobs) == len(ids) and all("last_log" in job for job in jobs)

    await eventually(attempted, "each type has had an attempt")
    for each in ids:
        path = f"/v2/integrations/{each}"
        answers += [await reader.get(path + tail) for tail in ("", "/logs", "/jobs")]
        answers += [await admin.post(path + tail) for tail in ("/test", "/redeliver?state=pending")]
        answers.append(await admin.put(path, {"data": {"name": "changed"}}))
        # An admin sees its webhook's own secret_key, and nothing else.
        shown = (await admin.get(path)).raw.decode().replace(f'"secret_key":"{SECRET_KEY}"', "")
        assert not [secret for secret in PLANTED if secret in shown]
    answers += [await reader.get("/v2/integrations"), await reader.get("/v2/integrations/logs")]
    answers.append(await admin.get("/v2/audit"))
    answers += await bad_requests(admin, given)
    answers += await bad_updates(admin, dict(zip(given, ids, strict=True)), free_port())
    said = [answer.raw.decode().replace(f'"secret_key":"{SECRET_KEY}"', "") for answer in answers]
    said += [" ".join(answer.headers.values()) for answer in answers]
    await eventually(
        lambda: any(b"integration.updated" in got.raw for got in receiver.received), "changes are published"
    )
    said += [got.raw.decode() for got in receiver.received]
    for arguments in (
        ["integrations", "list", "--store", "store-1", "--org", "org-1", "--json"],
        *(["integrations", "show", each, *form] for each in ids for form in ([], ["--json"])),
        ["logs", "--store", "store-1", "--org", "org-1", "--json"],
        *(["audit", "--store", "store-1", "--org", "org-1", *form] for form in ([], ["--json"])),
        ["status"],
        ["rejected", "list"],
    ):
        command = [sys.executable, "-m", "worker.cli", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        said += [done.stdout, done.stderr]
    await worker.stop()
    said.append(worker.log.read_text(errors="replace"))

    everything = "\n".join(said)
    assert "is not valid" in everything
    found = [secret for secret in PLANTED for form in forms(secret) if form in everything]
    assert found == [], [line[:500] for line in everything.splitlines() if any(secret in line for secret in found)][:3]


@pytest.mark.parametrize("command", [["status"], ["worker", "--wait", "0"], ["emit", "order.paid"], ["tokens", "list"]])
def test_a_redis_servers_password_is_in_no_message(environment: dict[str, str], command: list[str]) -> None:
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{free_port()}/0"
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", *command],
        env=environment | {"EDW_REDIS_URL": url, "EDW_BROKER_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert REDIS_PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["EDW_REDIS_URL", "EDW_BROKER_URL", "EDW_SECRETS_KEYS", "EDW_EGRESS_PROXY"])
def test_a_bad_setting_is_refused_without_its_secret(
    environment: dict[str, str], variable: str, redis_server: RedisServer
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "status"],
        env=environment | {variable: f"ftp://:{REDIS_PASSWORD}@host:99999/{Fernet.generate_key().decode()}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert variable in done.stderr
    assert REDIS_PASSWORD not in done.stdout + done.stderr
