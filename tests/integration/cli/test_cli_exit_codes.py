"""What `edw` says, and how it ends, where there is no Redis server, or a setting is wrong."""

import json

import pytest

from tests.counterparts.ports import free_port
from tests.fleet.edw_command import Edw, StartEdw

#: Each command that needs the ledger.
COMMANDS = (
    ("emit", "order.paid"),
    ("integrations", "list"),
    ("integrations", "create", "--name", "x", "--observes", "order.paid", "--url", "https://example.com"),
    ("jobs", "list"),
    ("logs",),
    ("logs", "--follow"),
    ("rejected", "list"),
    ("status",),
    ("worker",),
    ("worker", "--processes", "2"),
    ("worker", "--wait", "0"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_redis_server_it_ends_with_3_and_says_what_to_start(edw: Edw, command: tuple[str, ...]) -> None:
    result = edw(*command)

    assert result.code == 3
    assert 'Start "edw dev"' in result.err
    assert "EDW_REDIS_URL" in result.err
    assert result.out == ""


@pytest.mark.parametrize("command", [("emit", "order.paid"), ("status",), ("worker", "--wait", "0")], ids=" ".join)
def test_a_redis_server_that_does_not_answer_ends_it_with_3_and_its_address(edw: Edw, command: tuple[str, ...]) -> None:
    port = free_port()

    result = edw(*command, EDW_REDIS_URL=f"redis://user:hunter2@127.0.0.1:{port}/0")

    assert result.code == 3
    assert f"127.0.0.1:{port}" in result.err
    assert "does not answer" in result.err
    assert "hunter2" not in result.err
    assert "Traceback" not in result.err


def test_a_worker_waits_so_long_as_configured_and_says_so_once(edw: Edw) -> None:
    result = edw("worker", "--wait", "0.5", EDW_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    assert result.code == 3
    assert result.err.count("waiting for the ledger") == 1


@pytest.mark.parametrize("command", [("worker",), ("worker", "--processes", "2")], ids=" ".join)
def test_a_worker_logs_as_configured_from_its_first_line(start_edw: StartEdw, command: tuple[str, ...]) -> None:
    nowhere = {"EDW_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "EDW_REDIS_ULR": "misspelt"}
    worker, console = start_edw(*command, **nowhere), start_edw(*command, EDW_LOG_FORMAT="console", **nowhere)
    for each in (worker, console):
        each.says("waiting for the ledger")
        each.signal()
        assert each.wait_ended() == 0

    lines = [json.loads(line) for line in worker.output.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("unknown variable", "warning"),
        ("waiting for the ledger", "warning"),
    ]
    assert not console.output.startswith("{")


@pytest.mark.parametrize("command", [("worker",), ("worker", "--processes", "2")], ids=" ".join)
def test_a_worker_that_waits_for_its_redis_server_can_be_stopped(start_edw: StartEdw, command: tuple[str, ...]) -> None:
    worker = start_edw(*command, EDW_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    worker.says("waiting for the ledger")

    worker.signal()

    assert worker.wait_ended() == 0


@pytest.mark.parametrize("command", [("status",), ("worker",), ("dev",)], ids=" ".join)
def test_a_wrong_setting_is_named_with_an_example(edw: Edw, command: tuple[str, ...]) -> None:
    result = edw(*command, EDW_RETRY_SCHEDULE="5 bananas")

    assert result.code == 1
    assert "EDW_RETRY_SCHEDULE" in result.err
    assert "5s 30s 2m" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "command",
    [
        ("emit",),
        ("emit", "order.paid", "--file", "-"),
        ("emit", "order.paid", "--data", "-", "--included", "-"),
        ("integrations", "update", "x"),
        ("logs", "--limit", "0"),
        ("worker", "--processes", "0"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_it_with_2(edw: Edw, command: tuple[str, ...]) -> None:
    result = edw(*command)

    assert result.code == 2
    assert "Usage: edw" in result.err
