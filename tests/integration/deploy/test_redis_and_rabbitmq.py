"""The configuration files of Redis and RabbitMQ, read by real servers."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from tests.counterparts.ports import free_port
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.server import require
from tests.integration.deploy.documents import DEPLOY, ROOT, compose
from tests.waiting import PATIENCE, wait_until
from worker.ledger.connection.embedded_redis import server_binary

PASSWORD = "s3cret"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Redis]:
    """Redis as compose.yaml starts it: its own script, with the places of this test."""
    service = compose()["services"]["redis"]
    (script,) = service["command"]
    port, temporary = free_port(), tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "data").mkdir()
    moved = {
        "/etc/redis.conf": str(DEPLOY / "redis.conf"),
        "/tmp/": f"{temporary}/",
        "--dir /data": f"--dir {tmp_path / 'data'} --port {port} --bind 127.0.0.1",
        "valkey-server": shlex.quote(server_binary()),
        "$$": "$",
    }
    assert all(there in script for there in moved)
    script = re.sub("|".join(map(re.escape, moved)), lambda match: moved[match[0]], script)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*service["entrypoint"], script],
            env={"PATH": os.environ["PATH"], "REDIS_PASSWORD": PASSWORD},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    client = Redis(port=port, password=PASSWORD, decode_responses=True)

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_until(answers, "Redis answers")
    yield client
    client.close()
    process.send_signal(signal.SIGTERM)
    # The shell became the server, so the server had the signal.
    assert process.wait(PATIENCE) == 0


def test_the_ledger_keeps_what_it_has_and_takes_no_more_than_it_can(ledger: Redis) -> None:
    found = {name: ledger.config_get(name)[name] for name in ("appendonly", "appendfsync", "save", "maxmemory-policy")}

    assert found == {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
    assert ledger.config_get("maxmemory") == {"maxmemory": str(2 << 30)}


def test_expiring_logs_keep_nobody_waiting_for_long(ledger: Redis) -> None:
    """Redis expires for a quarter of 1 / hz at a time, so its own 10 would be 25 ms."""
    found = ledger.config_get("hz") | ledger.config_get("active-expire-effort") | ledger.config_get("lazyfree-lazy-*")

    assert (found["hz"], found["active-expire-effort"], found["lazyfree-lazy-expire"]) == ("100", "1", "yes")


def test_the_doctor_finds_nothing_to_say_about_redis(ledger: Redis) -> None:
    port = ledger.connection_pool.connection_kwargs["port"]
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "doctor", "--json"],
        env={"PATH": os.environ["PATH"], "EDW_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{port}/0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    found = {each["subject"]: each for each in json.loads(done.stdout)["findings"]}
    about_redis = {subject: each for subject, each in found.items() if subject.startswith("redis")}
    assert {"redis persistence", "redis eviction", "redis memory"} <= set(about_redis)
    # The tests' server has another allocator than the image.
    remarks = {subject for subject, each in about_redis.items() if each["grade"] != "ok"}
    assert remarks <= {"redis allocator"}


def test_the_ledger_asks_for_the_password_and_shows_it_in_no_argument(ledger: Redis) -> None:
    process = ledger.info("server")["process_id"]

    assert ledger.config_get("requirepass") == {"requirepass": PASSWORD}
    assert PASSWORD not in Path(f"/proc/{process}/cmdline").read_text()


def test_the_redis_of_compose_is_the_one_that_the_tests_run_on(ledger: Redis) -> None:
    version = ledger.info("server")["valkey_version"]

    assert compose()["services"]["redis"]["image"] == f"valkey/valkey:{'.'.join(version.split('.')[:2])}"


def test_rabbitmq_reads_its_file() -> None:
    require(RabbitServer)
    lines = (DEPLOY / "rabbitmq/rabbitmq.conf").read_text().splitlines()
    config = dict(line.split(" = ", 1) for line in lines if line and not line.startswith("#"))

    with RabbitServer(config=config) as broker:
        said = broker.control("environment")

    assert f"{{max_message_size,{config['max_message_size']}}}" in said
    assert f"{{consumer_timeout,{config['consumer_timeout']}}}" in said
    assert "{vm_memory_high_watermark,0.6}" in said
