"""The platform's own JavaScript SDKs, unmodified, in Node and in a page of a browser."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.clients.client_site import ClientSite
from tests.clients.dev import Dev
from tests.clients.runtimes import HERE, INSTALLED, JAVASCRIPT, as_module
from tests.sessions import kill_group, spawn
from tests.waiting import wait_until

#: As root it has no sandbox; and it calls nobody but the page.
CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--remote-debugging-port=0")  # fmt: skip


@pytest.mark.parametrize("package", ["@elasticpath/js-sdk", "@moltin/sdk"])
def test_an_sdk_goes_through_the_life_of_integrations(dev: Dev, site: ClientSite, package: str, tmp_path: Path) -> None:
    client = dev.client(f"store of {package}")
    environment = {"CLIENT_ID": client["client_id"], "CLIENT_SECRET": client["client_secret"], "RECEIVER": site.hook}
    program = as_module(HERE / "javascript/sdk.mjs", tmp_path)
    found = json.loads(JAVASCRIPT.run(program, package, dev.host, environment=environment))

    assert (found["login"]["token_type"], found["login"]["identifier"]) == ("Bearer", "client_credentials")
    created = found["created"]
    assert {kind: each["integration_type"] for kind, each in created.items()} == {kind: kind for kind in created}
    assert created["aws_sqs"]["configuration"]["aws_secret_access_key"].startswith("****")
    assert created["stomp"]["configuration"]["password"] == "*" * 8
    updated = found["updated"]
    assert (updated["description"], updated["name"]) == ("changed", f"{package} webhook")
    assert updated["configuration"] == created["webhook"]["configuration"]
    assert found["paged"] == ["aws_sqs", "stomp", "webhook"], "sorted by name, and paged to the end"
    assert found["page"]["meta"]["page"]["current"] == found["page"]["meta"]["page"]["total"] == 2
    assert found["filtered"] == [f"{package} stomp"]
    assert {"name", "observes", "configuration"} <= set(found["attributes"])
    assert found["published"] == 202
    (log,) = found["logs"]
    assert (log["succeeded"], log["status_code"], log["type"]) == (True, 200, "integration")
    assert found["all"] >= 1
    assert [job["id"] for job in found["jobs"]] == [log["relationships"]["job"]["data"]["id"]]
    assert found["ofJob"] == [log]
    assert (int(found["gone"]), found["left"]) == (404, 0)


def test_a_page_of_an_allowed_origin_uses_the_sdk(dev: Dev, site: ClientSite, tmp_path: Path) -> None:
    with browsing(f"http://127.0.0.1:{site.port}", dev, tmp_path):
        result = result_of(site)
    assert result == {
        "created": "of a page",
        "updated": "of a page, renamed",
        "listed": 1,
        "etag": True,
        "refused": [401, 1],
        "left": 0,
    }


def test_a_page_of_another_origin_cannot(dev: Dev, site: ClientSite, tmp_path: Path) -> None:
    with browsing(f"http://localhost:{site.port}", dev, tmp_path):
        result = result_of(site)
    assert list(result) == ["error"]


@contextmanager
def browsing(origin: str, dev: Dev, folder: Path) -> Iterator[None]:
    """Have a browser open the page, as of an origin."""
    if shutil.which(CHROMIUM[0]) is None:
        pytest.skip("chromium is not installed: make servers")
    if not (INSTALLED / "javascript/.installed").exists():
        pytest.skip("the JavaScript clients are not installed: make clients")
    settings = quote(json.dumps({"host": dev.host, **dev.client("store of a page")}))
    log = folder / "chromium.log"
    process = spawn([*CHROMIUM, f"--user-data-dir={folder / 'profile'}", f"{origin}/page#{settings}"], log)
    try:
        yield
    finally:
        kill_group(process)


def result_of(site: ClientSite) -> dict[str, Any]:
    """Wait for the page's result, and take it."""
    wait_until(lambda: site.results, "the page has a result")
    result: dict[str, Any] = json.loads(site.results.pop())
    return result
