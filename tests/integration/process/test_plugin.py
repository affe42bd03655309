"""The plug-in of deliverers/README.md, installed from a real package, and held to what every deliverer promises."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fleet.processes import StartWorker
from tests.pages import ROOT, block, command
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher

PAGE = "deliverers/README.md"
#: Held to the contract in a process of its own, where the package is installed.
SUITE = """
import asyncio, json
from collections.abc import AsyncIterator
import pytest
from aiohttp import web
from unittest.mock import ANY
from deliverers.contract import Refused
from deliverers.testing import Counterpart, DelivererContract
from edw_http_put import PutDeliverer


class Shelf(Counterpart):
    secrets = ("planted-token",)

    def __init__(self):
        self.kept, self.status, self.silent, self.stopped = [], 201, False, asyncio.Event()

    async def start(self):
        app = web.Application()
        app.router.add_put("/shelf/{id}", self.put)
        self.runner = web.AppRunner(app, shutdown_timeout=1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        port = self.runner.addresses[0][1]
        self.configuration = {"url": f"http://127.0.0.1:{port}/shelf", "token": "planted-token"}

    async def put(self, request):
        if self.silent:
            await self.stopped.wait()
        self.kept.append(json.loads(await request.read()))
        return web.Response(status=self.status, text=str(request.headers))

    async def received(self):
        return self.kept

    def refuse(self):
        self.status = 409

    def fall_silent(self):
        self.silent = True

    async def stop(self):
        self.stopped.set()
        await self.runner.cleanup()


class TestPut(DelivererContract):
    deliverer_class = PutDeliverer

    @pytest.fixture
    async def counterpart(self) -> AsyncIterator[Shelf]:
        shelf = Shelf()
        await shelf.start()
        yield shelf
        await shelf.stop()

    async def test_a_redirect_is_no_delivery(self, deliverer, counterpart, delivery):
        counterpart.status = 302
        assert await deliverer.deliver(delivery) == Refused(302, ANY, "answered 302")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, as pip installs it, but beside the environment of the tests."""
    source, target = tmp_path_factory.mktemp("edw-http-put"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(block(PAGE, "toml", "edw.deliverers"))
    (source / "edw_http_put.py").write_text(block(PAGE, "python", "class PutDeliverer"))
    line = command(PAGE, ".venv/bin/python -m pip").replace(".venv/bin/python", sys.executable)
    words = [*line.replace("./edw-http-put", str(source)).split(), "--no-index", "--quiet", "--target", str(target)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def environment(environment: dict[str, str], site: Path) -> dict[str, str]:
    paths = (str(site), str(ROOT), os.environ.get("PYTHONPATH"))
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Shelf:
    """Keeps what is put."""

    url: str = ""
    kept: dict[str, Any] = field(default_factory=dict)

    async def put(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer planted-token"
        self.kept[request.match_info["id"]] = json.loads(await request.read())
        return web.Response(status=201)


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    found = Shelf()
    app = web.Application()
    app.router.add_put("/shelf/{id}", found.put)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/shelf"
    yield found
    await runner.cleanup()


def test_it_is_one_small_class_as_the_readme_says() -> None:
    lines = [line for line in block(PAGE, "python", "class PutDeliverer").splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 30


def test_it_keeps_every_promise_of_a_deliverer(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_put.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "asyncio_mode=auto",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


async def test_a_worker_delivers_by_it_what_the_command_registered(
    environment: dict[str, str], start_worker: StartWorker, shelf: Shelf, ledger: Ledger, settings: Any
) -> None:
    def edw(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "worker.cli", *arguments]
        return subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    scope = ("--store", "store-1", "--org", "org-1")
    attributes = block(PAGE, "json", "http_put")
    create = command(PAGE, ".venv/bin/edw integrations create --file").replace("shelf.json", "-").split()[1:]
    refused = edw(*create, *scope, stdin=attributes.replace('"url"', '"ulr"'))
    assert refused.returncode == 1
    assert "configuration.url: is required" in refused.stderr
    good = attributes.replace("http://127.0.0.1:9000/shelf", shelf.url).replace("a-secret-token", "planted-token")
    created = edw(*create, *scope, stdin=good)
    assert created.returncode == 0, created.stderr
    assert "planted" not in created.stdout

    await start_worker().ready()
    with Publisher(settings) as publisher:
        publisher.publish(order_paid(id="e-1"))
    await eventually(lambda: shelf.kept.get("e-1"), "the event is kept")
    assert shelf.kept["e-1"]["type"] == "order.paid"
