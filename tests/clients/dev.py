"""`edw dev` as clients meet it: its address, tokens, and what a test asks of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.counterparts.ports import free_port
from tests.counterparts.server import answers_ok
from tests.fleet.edw_command import EdwProcess, run_edw
from tests.fleet.environment import quick_environment
from tests.waiting import PATIENCE, wait_until

STORE = "store-1"


@dataclass(frozen=True)
class Dev:
    """A running `edw dev`."""

    host: str
    environment: Mapping[str, str]
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def redis_url(self) -> str:
        return self.environment["EDW_REDIS_URL"]

    def client(self, store: str) -> dict[str, str]:
        """Return the id and the secret of a new client of a store, which logs in."""
        made = run_edw(
            ("tokens", "create", "--client", "--role", "admin", "--store", store, "--json"), self.environment
        )
        found: dict[str, str] = {name: made.json[name] for name in ("client_id", "client_secret")}
        return found

    def ask(self, path: str, body: object = None) -> Any:
        """GET, or POST with a body, and return the answer's data."""
        content = None if body is None else json.dumps({"data": body}).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, content, headers), timeout=PATIENCE) as answer:
            return json.load(answer)["data"]


@contextmanager
def edw_dev(redis_url: str, folder: Path, **changes: str) -> Iterator[Dev]:
    """Run `edw dev` on a Redis that clients reach over TCP."""
    host = f"127.0.0.1:{free_port()}"
    environment = {
        **quick_environment(redis_url),
        "EDW_API_PORT": host.partition(":")[2],
        "EDW_DATA_DIR": str(folder / "data"),
        **changes,
    }
    process = EdwProcess(("dev",), environment, folder / "dev.log")
    try:
        ready = f"http://{host}/readyz"
        wait_until(lambda: answers_ok(ready) or process.fail_if_ended(), lambda: f"it is ready:\n{process.output}")
        made = run_edw(("tokens", "create", "--role", "admin", "--store", STORE, "--json"), environment)
        yield Dev(host, environment, str(made.json["token"]))
    finally:
        process.end()
