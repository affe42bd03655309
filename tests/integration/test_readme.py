"""What the pages say is what happens: every command and every snippet of every page is run.

`deploy/README.md` is run by tests/integration/deploy/test_page.py, the plug-in of `deliverers/README.md` by
tests/integration/process/test_plugin.py, and `worker/intake/PRODUCERS.md` by tests/clients/test_producers.py.
tests/unit/test_pages.py checks links and names.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from config.celery import broker_url_for
from config.settings import load_settings
from tests.counterparts.collector import collecting
from tests.counterparts.ports import free_port
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.rabbitmq import PASSWORD, USER, RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import require
from tests.pages import PAGES, ROOT, block, blocks, command, commands, fences, lines_of
from tests.waiting import PATIENCE, wait_until
from worker.ledger.connection.embedded_redis import running

README, INTAKE, API = "README.md", "worker/intake/README.md", "worker/api/README.md"
PRODUCERS = "worker/intake/PRODUCERS.md"
DELIVERERS, OPERATIONS, TRACING = "deliverers/README.md", "deploy/OPERATIONS.md", "deploy/TRACING.md"

#: Pages whose commands another test runs.
ELSEWHERE = {"deploy/README.md", DELIVERERS, PRODUCERS}
FIRST_SESSION = ("edw integrations create", "edw emit", "edw logs", "edw jobs list", "edw status")
FLEET = ("export EDW_REDIS_URL", "export EDW_SECRETS_KEYS", ".venv/bin/edw worker", ".venv/bin/edw api")
EXPORT = ".venv/bin/edw history export"
LOOKS = ("edw status", "edw doctor", "edw clock show")
#: How the lines that start so are run, other than those of a session with curl.
RUN = {
    README: (*(f".venv/bin/{each}" for each in (*FIRST_SESSION, "edw dev", "python -c")), "redis-cli", *FLEET),
    INTAKE: ("redis-cli", "rabbitmqadmin"),
    OPERATIONS: (*FLEET, ".venv/bin/celery", EXPORT, *(f".venv/bin/{each}" for each in LOOKS)),
    TRACING: (".venv/bin/python -m pip", "export EDW_TRACES", "export OTEL_", ".venv/bin/edw emit"),
    "SECURITY.md": (".venv/bin/edw secrets rotate",),
    "CONTRIBUTING.md": (".venv/bin/python -m pytest",),
}
#: These take minutes, or the whole machine: .ci/run or a person runs them. A dry run or `--help` checks their words.
TOO_LONG = ("make ", ".venv/bin/python -m tests.benchmarks")
#: Languages of the producers' page.
LANGUAGES = {"python", "javascript", "php", "go", "java"}
#: Languages of blocks that hold no command: pictures, and files that a test reads.
SILENT = {"mermaid", "text", "toml", "json", "dotenv", "python"}


def shell(line: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a line of a page as a newcomer's shell would, but with the Python that runs the tests."""
    line = line.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
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
    assert command(README, ".venv/bin/edw dev") == ".venv/bin/edw dev"
    with (tmp_path / "dev.log").open("wb") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: running(Path(environment["EDW_DATA_DIR"])), "the Redis of edw dev starts")
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_every_block_of_every_page_is_accounted_for() -> None:
    for page in PAGES:
        assert {language for language, _ in fences(page)} <= {"sh"} | (LANGUAGES if page == PRODUCERS else SILENT), page
        if page in ELSEWHERE:
            continue
        sessions = {line for session in blocks(page, "sh") if "curl" in session for line in lines_of(session)}
        rest = [line for line in commands(page) if line not in sessions and not line.startswith(TOO_LONG)]
        assert not sessions or page in {README, API}
        for line in rest:
            assert line.startswith(RUN.get(page, ())), f"{page}: nobody runs {line}"
    assert {page for page in PAGES if blocks(page, "python")} == {README, INTAKE, PRODUCERS, DELIVERERS}


@pytest.mark.parametrize("page", [page for page in PAGES if any(line.startswith(TOO_LONG) for line in commands(page))])
def test_what_takes_too_long_has_the_right_words(page: str, environment: dict[str, str]) -> None:
    for line in commands(page):
        if line.startswith(TOO_LONG):
            done = shell(f"{line} --dry-run" if line.startswith("make ") else f"{line} --help", environment)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_tests_of_one_folder_are_run_as_the_page_says(environment: dict[str, str]) -> None:
    done = shell(f"{command('CONTRIBUTING.md', '.venv/bin/python -m pytest')}/test_units.py", environment)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_a_newcomers_first_session(dev: "subprocess.Popen[bytes]", environment: dict[str, str]) -> None:
    create, emit, logs, jobs, status = (command(README, f".venv/bin/{each}") for each in FIRST_SESSION)
    created = shell(create, environment)
    emitted = shell(emit, environment)
    assert (created.returncode, emitted.returncode) == (0, 0), created.stderr + emitted.stderr
    refused = "connection refused by 127.0.0.1:9000"
    wait_until(lambda: refused in shell(f"{logs} --json", environment).stdout, "the refusal is in the logs")
    assert shell(logs, environment).returncode == 0
    wait_until(lambda: "due in" in shell(jobs, environment).stdout, "it shows when the next attempt is due")
    counts = json.loads(shell(f"{status} --json", environment).stdout)
    assert counts["counters"]["accepted"] == 2, "the event, and the integration's own"
    assert "ok" in shell(status, environment).stdout
    assert dev.poll() is None


def test_the_receiver_of_the_page_prints_what_it_gets_and_takes_it(environment: dict[str, str]) -> None:
    port = free_port()
    line = command(README, ".venv/bin/python -c").replace("9000", str(port))
    line = "exec " + line.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    receiver = subprocess.Popen(["bash", "-c", line], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: shell(f"curl -s http://127.0.0.1:{port}/", environment).returncode == 0, "it listens")
        posted = shell(f"curl -s --fail --data event http://127.0.0.1:{port}/hook", environment)
        assert posted.returncode == 0, posted.stderr
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == b"event\n"
    finally:
        receiver.kill()
        receiver.communicate()


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


@pytest.fixture
def terminal(
    dev: "subprocess.Popen[bytes]", environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Shell, str]]:
    """A shell beside `edw dev`, whose API answers at another port."""
    port = environment["EDW_API_PORT"]
    terminal = Shell(environment, tmp_path)
    wait_until(lambda: "ok" in terminal.run(f"curl -s http://127.0.0.1:{port}/readyz"), "the API is up")
    yield terminal, port
    terminal.close()
    assert dev.poll() is None


def test_the_first_session_with_curl(terminal: tuple[Shell, str]) -> None:
    shell, port = terminal
    token, api, base, create, emit, event = lines_of(block(README, "sh", "curl"))
    for line in (token, api, base.replace("8080", port)):
        shell.run(line)
    created = json.loads(shell.run(create))["data"]
    assert json.loads(shell.run(emit))["data"]["duplicate"] is False
    wait_until(lambda: json.loads(shell.run(event))["data"]["jobs"], "the event has a job")
    (job,) = json.loads(shell.run(event))["data"]["jobs"]
    assert job["relationships"]["integration"]["data"]["id"] == created["id"]


def test_the_session_of_the_api(terminal: tuple[Shell, str]) -> None:
    shell, port = terminal
    lines = lines_of(block(API, "sh", "curl"))
    token, api, base, create, identity, etag, change, emit, event, logs, test, redeliver, delete = lines
    for line in (token, api, base.replace("8080", port)):
        shell.run(line)
    created = json.loads(shell.run(create))["data"]
    shell.run(identity)
    shell.run(etag)
    assert json.loads(shell.run(change))["data"]["description"] == "The shop"
    assert "error: 412" in shell.run(f"{change} 2>&1 || true"), "the ETag is an old one now"
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


@pytest.mark.parametrize("page", [README, OPERATIONS])
def test_a_fleet_on_a_redis_of_its_own(page: str, redis_server: RedisServer, environment: dict[str, str]) -> None:
    redis_url, keys, worker, api = (command(page, start) for start in FLEET)
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


def test_the_snippets_for_producers_run(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
    app = Celery("producer", broker=broker_url_for(redis_server.url), set_as_current=False)
    for page in (README, INTAKE):
        for snippet in blocks(page, "python"):
            exec(compile(snippet, page, "exec"), {"app": app})
    app.close()


def test_the_fleet_is_looked_at(redis_server: RedisServer, environment: dict[str, str]) -> None:
    environment |= {"EDW_REDIS_URL": redis_server.url, "EDW_BROKER_URL": ""}
    status, doctor, quick, clock = (line for line in commands(OPERATIONS) if line.startswith(RUN[OPERATIONS][-3:]))
    assert shell(status, environment).returncode in (0, 1)
    assert "redis" in shell(doctor, environment).stdout
    assert shell(clock, environment).returncode == 0
    found = shell(quick, environment)
    assert found.returncode in (0, 1), found.stderr
    grades = {finding["grade"] for finding in json.loads(found.stdout)["findings"]}
    assert found.returncode == (0 if grades == {"ok"} else 1), "--strict fails for warnings"


def test_the_history_is_exported(
    postgres: PostgresServer, database_name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["EDW_HISTORY_URL"] = postgres.url(database_name)
    assert shell(".venv/bin/edw history migrate", environment).returncode == 0
    lines = [line for line in commands(OPERATIONS) if line.startswith(EXPORT)]
    assert len(lines) == 2
    for line in lines:
        done = shell(line.replace("/srv/lake", str(tmp_path / "lake")), environment)
        assert (done.returncode, done.stdout.startswith("exported 0 files")) == (0, True), done.stderr
    assert {each.name for each in (tmp_path / "lake").iterdir()} == {"edw", "store-7"}


def test_the_sentinels_of_the_page_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (lines,) = blocks(OPERATIONS, "dotenv")
    for line in lines.split():
        monkeypatch.setenv(*line.split("=", 1))
    assert load_settings().ledger_wait_replicas == 1


def test_secrets_are_rotated_as_the_page_says(redis_server: RedisServer, environment: dict[str, str]) -> None:
    environment["EDW_REDIS_URL"] = redis_server.url
    script = [command(OPERATIONS, "export EDW_SECRETS_KEYS"), *commands("SECURITY.md")]
    done = shell("set -e\n" + "\n".join(script), environment)
    assert done.returncode == 0, done.stderr


async def test_a_trace_reaches_the_collector_of_the_page(
    redis_server: RedisServer, environment: dict[str, str]
) -> None:
    install, *exports, emit = commands(TRACING)
    offline = f"{install} --dry-run --no-index --no-build-isolation --no-deps"
    assert shell(offline, environment).returncode == 0
    environment["EDW_REDIS_URL"] = redis_server.url
    async with collecting() as collector:
        # Every event is sampled, and the collector is on this machine.
        script = "\n".join([*exports, emit]).replace("http://collector:4318", collector.url).replace("=0.1", "=1")
        done = await asyncio.to_thread(shell, script, environment)
        assert done.returncode == 0, done.stderr
        assert [span.kind for span in collector.named("publish order.paid")] == ["PRODUCER"]


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
    one, more = command(README, "redis-cli"), command(INTAKE, "redis-cli")
    by_rabbitmq = command(INTAKE, "rabbitmqadmin").replace("rabbitmqadmin", admin)
    environment |= {"EDW_REDIS_URL": redis_server.tcp_url, "EDW_BROKER_URL": rabbit.url()}
    words = command(OPERATIONS, ".venv/bin/celery").split()
    words[0] = str(Path(sys.executable).parent / "celery")
    with (tmp_path / "worker.log").open("wb") as output:
        worker = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        for by_redis in (one, more):
            assert shell(by_redis, environment).stdout.strip().isdecimal()
        # Until a worker has made the queue, it is not there.
        wait_until(lambda: shell(by_rabbitmq, environment).stdout == "Message published\n", "RabbitMQ takes it")

        def accepted() -> int:
            counters = json.loads(shell(".venv/bin/edw status --json", environment).stdout)["counters"]
            return int(counters.get("accepted", 0))

        wait_until(lambda: accepted() == 3, "all events are accepted")
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0


def test_the_store_of_deploy_is_what_the_ledger_asks_for(environment: dict[str, str], tmp_path: Path) -> None:
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
