from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from config.settings import load_settings
from tests.counterparts.ports import free_port
from worker.cli import edw
from worker.cli.commands.health import own_address


@dataclass
class Process:
    """Something that answers as a worker or the API does."""

    port: int = 0
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    found = Process()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            body = b'{"status":"of the test"}'
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("EDW_API_HOST", "127.0.0.1")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.20.0.5", "10.20.0.5"),
        ("api.internal", "api.internal"),
    ],
)
def test_a_process_is_asked_where_it_listens(listens: str, asked: str) -> None:
    assert own_address(load_settings(api_host=listens)) == asked


def test_a_process_that_is_well_is_shown_with_what_it_said(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_METRICS_PORT", str(process.port))

    result = CliRunner().invoke(edw, ["health", "worker"])

    assert (result.exit_code, result.output) == (0, '{"status":"of the test"}\n')
    assert process.asked == ["/healthz"]


def test_a_process_that_is_not_well_is_a_failure(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_API_PORT", str(process.port))
    process.status = 503

    result = CliRunner().invoke(edw, ["health", "api", "--ready"])

    assert (result.exit_code, result.output) == (1, '{"status":"of the test"}\n')
    assert process.asked == ["/readyz"]


def test_without_a_name_the_one_that_is_there_is_asked(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    # No worker listens, so it is the API.
    monkeypatch.setenv("EDW_METRICS_PORT", str(free_port()))
    monkeypatch.setenv("EDW_API_PORT", str(process.port))

    assert CliRunner().invoke(edw, ["health"]).exit_code == 0


@pytest.mark.parametrize(("status", "code"), [(404, 1), (503, 1), (200, 0)])
def test_what_says_nothing_of_health_is_no_worker(
    process: Process, monkeypatch: pytest.MonkeyPatch, status: int, code: int
) -> None:
    monkeypatch.setenv("EDW_METRICS_PORT", str(process.port))
    process.status = status

    result = CliRunner().invoke(edw, ["health", "worker"])

    assert result.exit_code == code
    assert ("nobody answers" in result.output) == (status == 404)


def test_nobody_there_is_a_failure_that_says_where_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("EDW_API_PORT", str(port))

    result = CliRunner().invoke(edw, ["health", "api"])

    assert result.exit_code == 1
    assert f"nobody answers at 127.0.0.1:{port}" in result.output
