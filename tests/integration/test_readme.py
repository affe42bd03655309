"""What the README says is what happens: every command and every snippet in it is run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from config.celery import broker_url_for
from tests.counterparts.ports import free_port
from tests.counterparts.rabbitmq import PASSWORD, USER, RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import require
from tests.waiting import PATIENCE, wait_until
from worker.ledger.connection.embedded_redis import running

ROOT = Path(__file__).parents[2]
#: Run by .ci/run or, as a target of its own, by hand.
MAKE = {"make demo", "make test", "make check", "make bench", "make fuzz", "make chaos"}


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def commands() -> list[str]:
    """Every command line, without its comment."""
    lines = "".join(blocks("sh")).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def command(start: str) -> str:
    """The one command that starts so."""
    (found,) = (line for line in commands() if line.startswith(start))
    return found


def shell(line: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Runs a line of the README as a newcomer's shell would, but with the Python that runs the tests."""
    line = line.replace(".venv/bin/python", sys.executable).replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "EDW_DATA_DIR": str(tmp_path / "data"),
        "EDW_METRICS_PORT": "0",
        "EDW_API_PORT": str(free_port()),
    }


@pytest.fixture
def dev(environment: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    words = [str(Path(sys.executable).parent / "edw"), "dev"]
    assert command(".venv/bin/edw dev")
    with (tmp_path / "dev.log").open("wb") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: running(Path(environment["EDW_DATA_DIR"])), "the Redis server of edw dev starts")
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_every_make_target_that_is_named_exists() -> None:
    named = {line for line in commands() if line.startswith("make ")}
    assert named == MAKE
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(line in listed for line in named)


def test_a_newcomers_first_session(dev: "subprocess.Popen[bytes]", environment: dict[str, str]) -> None:
    created = shell(command(".venv/bin/edw integrations create"), environment)
    emitted = shell(command(".venv/bin/edw emit"), environment)
    assert (created.returncode, emitted.returncode) == (0, 0), created.stderr + emitted.stderr
    wait_until(
        lambda: "refused" in shell(command(".venv/bin/edw logs"), environment).stdout, "the refusal is in the logs"
    )
    status = shell(command(".venv/bin/edw status"), environment)
    assert status.returncode == 0
    assert "ok" in status.stdout
    assert dev.poll() is None


class Shell:
    """One shell for a whole session, as a newcomer has it: what a line sets, the next ones see."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, line: str) -> str:
        """Runs a line with the Python that runs the tests; answers what it said. Fails where the line failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = line.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        self._process.stdin.write(f"{line}\necho; echo over $?\n")
        self._process.stdin.flush()
        said = ""
        for answer in self._process.stdout:
            if answer.startswith("over "):
                assert answer == "over 0\n", f"{line}\n{said}"
                return said
            said += answer
        raise AssertionError(f"the shell ended: {line}\n{said}")

    def close(self) -> None:
        self._process.communicate()


def test_the_session_with_curl(dev: "subprocess.Popen[bytes]", environment: dict[str, str], tmp_path: Path) -> None:
    (session,) = (block for block in blocks("sh") if "curl" in block)
    token, api, base, create, identity, emit, event, logs, test, redeliver, delete = session.strip().splitlines()
    shell = Shell(environment, tmp_path)
    for line in (token, api, base.replace("8080", environment["EDW_API_PORT"])):
        shell.run(line)
    wait_until(
        lambda: "ok" in shell.run(f"curl -s http://127.0.0.1:{environment['EDW_API_PORT']}/readyz"), "the API is up"
    )
    created = json.loads(shell.run(create))["data"]
    shell.run(identity)
    assert json.loads(shell.run(emit))["data"]["duplicate"] is False

    def job() -> dict[str, Any]:
        jobs = json.loads(shell.run(event))["data"]["jobs"]
        return jobs[0] if jobs else {}

    wait_until(lambda: "last_log" in job(), "the first attempt is over")
    refused = "connection refused by 127.0.0.1:9000"
    assert (job()["integration_name"], job()["last_log"]["error_detail"]) == ("Shop", refused)
    assert json.loads(shell.run(logs))["data"][0]["error_detail"] == refused
    assert json.loads(shell.run(test))["data"]["error_detail"] == refused
    owed = json.loads(shell.run(redeliver))["data"]
    assert owed["due"] + owed["in_flight"] == 1
    assert shell.run(delete).strip() == ""
    assert created["id"] not in shell.run("api $BASE/integrations")
    shell.close()
    assert dev.poll() is None


def test_a_fleet_on_a_redis_of_its_own(redis_server: RedisServer, environment: dict[str, str]) -> None:
    redis_url, keys, worker, api = (
        command(start)
        for start in ("export EDW_REDIS_URL", "export EDW_SECRETS_KEYS", ".venv/bin/edw worker", ".venv/bin/edw api")
    )
    both = f"{worker} & worker=$!\n{api} & api=$!\ntrap 'kill $worker $api' TERM\nwait; wait $worker && wait $api"
    script = "\n".join([redis_url.split("=")[0] + f"={redis_server.url}", keys, both])
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    process = subprocess.Popen(["bash", "-c", script], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    ready = 0
    for line in process.stderr:
        ready += "worker ready" in line or "api ready" in line
        if ready == 4:
            break
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(PATIENCE) == 0


def test_the_snippets_for_producers_run(
    redis_server: RedisServer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plug-in is run by tests/integration/process/test_plugin.py.
    publisher, foreign = (block for block in blocks("python") if "class PutDeliverer" not in block)
    monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
    exec(compile(textwrap.dedent(publisher), "README.md", "exec"), {})
    app = Celery("producer", broker=broker_url_for(redis_server.url), set_as_current=False)
    exec(compile(textwrap.dedent(foreign), "README.md", "exec"), {"app": app})
    app.close()


@pytest.fixture
def rabbit_with_admin() -> Iterator[tuple[RabbitServer, str]]:
    """A broker with the plug-in that `rabbitmqadmin` speaks to, and the words that name it on the command line."""
    require(RabbitServer)
    if shutil.which("rabbitmqadmin") is None:
        pytest.skip("rabbitmqadmin is not installed: it is part of RabbitMQ")
    port = free_port()
    config = {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(port)}
    with RabbitServer(["rabbitmq_management"], config) as server:
        yield server, f"rabbitmqadmin -H 127.0.0.1 -P {port} -u {USER} -p {PASSWORD}"


def test_a_producer_of_any_language(
    redis_server: RedisServer, environment: dict[str, str], rabbit_with_admin: tuple[RabbitServer, str], tmp_path: Path
) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip('redis-cli is not installed: run "make servers", or apt install redis-tools')
    rabbit, admin = rabbit_with_admin
    by_redis = command("redis-cli")
    by_rabbitmq = command("rabbitmqadmin").replace("rabbitmqadmin", admin)
    environment |= {"EDW_REDIS_URL": redis_server.tcp_url, "EDW_BROKER_URL": rabbit.url()}
    words = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    with (tmp_path / "worker.log").open("wb") as output:
        worker = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        assert shell(by_redis, environment).stdout.strip() == "1"
        # Until a worker has made the queue, it is not there.
        wait_until(lambda: shell(by_rabbitmq, environment).stdout == "Message published\n", "RabbitMQ takes it")

        def accepted() -> int:
            counters = json.loads(shell(".venv/bin/edw status --json", environment).stdout)["counters"]
            return int(counters.get("accepted", 0))

        wait_until(lambda: accepted() == 2, "both events are accepted")
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0


def test_the_redis_of_deploy_is_what_the_ledger_asks_for(environment: dict[str, str], tmp_path: Path) -> None:
    from worker.ledger.connection.embedded_redis import server_binary

    words = [server_binary(), str(ROOT / "deploy" / "redis.conf"), "--port", str(free_port()), "--dir", str(tmp_path)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        if "Ready to accept" in line:
            break
    server.terminate()
    server.stdout.read()
    server.stdout.close()
    assert server.wait(PATIENCE) == 0, said
    assert "FATAL" not in said
