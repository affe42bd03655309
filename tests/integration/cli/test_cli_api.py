"""The API of `edw dev`, and tokens as people make and revoke them."""

import json
import re
import signal
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
import requests

from tests.counterparts.ports import free_port
from tests.fleet.edw_command import Edw, EdwProcess, StartEdw, alive
from tests.waiting import wait_until

#: Seconds that a request may take on a busy machine.
PATIENCE = 30.0


def address(running: EdwProcess) -> str:
    """Where the API listens, as it says."""
    running.says("api ready")
    found = re.search(r"api ready.*url=(\S+)", running.output)
    assert found, running.output
    return found[1]


def shown_token(running: EdwProcess) -> str:
    running.says("token ")
    found = re.search(r"^token\s+(edw_\S+)", running.output, re.MULTILINE)
    assert found, running.output
    return found[1]


def ask(method: str, url: str, token: str, body: Any = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, url, json=body, headers=headers, timeout=PATIENCE)


def test_dev_serves_the_api_and_its_token_works_the_next_time_too(
    edw: Edw, start_edw: StartEdw, environment: dict[str, str]
) -> None:
    dev = start_edw("dev")
    token, url = shown_token(dev), address(dev)
    file = Path(environment["EDW_DATA_DIR"]) / "token"
    assert file.read_text().strip() == token
    assert S_IMODE(file.stat().st_mode) == 0o600

    attributes = {"name": "Hook", "observes": ["order.paid"], "configuration": {"url": "http://127.0.0.1:9/"}}
    created = ask("POST", f"{url}/v2/integrations", token, {"data": attributes})
    assert created.status_code == 201, created.text
    assert ask("POST", f"{url}/v2/events", token, {"data": {"type": "order.paid", "data": {}}}).status_code == 202
    wait_until(lambda: ask("GET", f"{url}/readyz", "").json()["status"] == "ok", "all is well")
    # What was made over HTTP and what the command line shows are one.
    assert created.json()["data"]["id"] in edw("integrations", "list", "--json").out
    wait_until(lambda: ask("GET", f"{url}/v2/integrations/logs", token).json()["data"], "the attempt has a log")

    dev.signal(signal.SIGINT)
    assert dev.wait_ended() == 0, dev.output
    assert alive(environment) == []

    again = start_edw("dev")
    url = address(again)
    assert shown_token(again) == token
    assert [each["name"] for each in edw("tokens", "list", "--json").json["data"]] == ["made by edw dev"]
    assert len(ask("GET", f"{url}/v2/integrations", token).json()["data"]) == 1

    # One that was revoked is not taken for good because it is in the file.
    assert edw("tokens", "revoke", token).code == 0
    again.signal(signal.SIGINT)
    assert again.wait_ended() == 0
    third = start_edw("dev")
    assert shown_token(third) != token
    assert ask("GET", f"{address(third)}/v2/integrations", shown_token(third)).status_code == 200


@pytest.mark.usefixtures("redis_url")
def test_health_distinguishes_the_apis_metrics_from_a_worker(edw: Edw, start_edw: StartEdw) -> None:
    beside = {"EDW_METRICS_PORT": str(free_port()), "EDW_API_PORT": str(free_port())}
    start_edw("api", **beside).says("api ready")
    assert edw("health", "api", **beside).code == 0
    # As in a container, which has one of the two.
    assert edw("health", **beside).code == 0
    assert edw("health", "worker", **beside).code == 1

    start_edw("worker", **beside).says("worker ready")
    assert edw("health", "worker", **beside).code == 0


def test_what_the_command_line_makes_and_revokes_the_api_takes_and_refuses(edw: Edw, start_edw: StartEdw) -> None:
    dev = start_edw("dev")
    url = address(dev)
    token = edw("tokens", "create", "--role", "admin", "--store", "s-1", "--org", "o-1").out.strip()
    client = edw("tokens", "create", "--role", "publish", "--store", "s-1", "--org", "o-1", "--client", "--json").json

    fields = {"grant_type": "client_credentials", **{k: client[k] for k in ("client_id", "client_secret")}}
    bearer = requests.post(f"{url}/oauth/access_token", data=fields, timeout=PATIENCE).json()["access_token"]
    event = {"type": "order.paid", "data": {"id": "o"}, "id": "e-1"}
    assert ask("POST", f"{url}/v2/events", bearer, {"data": event}).status_code == 202
    assert ask("GET", f"{url}/v2/events/e-1", token).status_code == 200

    assert edw("tokens", "revoke", client["id"], token).code == 0

    for method, path, secret in (("POST", "/v2/events", bearer), ("GET", "/v2/integrations", token)):
        wait_until(lambda: ask(method, url + path, secret, {}).status_code == 401, "it is refused")  # noqa: B023
    assert token.split("_", 2)[2] not in dev.output
    assert json.dumps(client["client_secret"])[1:-1] not in dev.output
