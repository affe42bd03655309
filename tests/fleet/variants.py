"""What a test is repeated with: the commands that run workers, and the brokers."""

import pytest

#: What people type to run workers, without the interpreter, and how many processes deliver then.
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "celery worker": (("-m", "celery", "-A", "worker.app", "worker"), 1),
    "edw worker": (("-m", "worker.cli", "worker"), 1),
    "edw worker --processes 2": (("-m", "worker.cli", "worker", "--processes", "2"), 2),
}
#: Repeats a test with each command, by its argument `command`.
by_each_command = pytest.mark.parametrize("command", list(COMMANDS))
#: Repeats a test with each broker, where what happens depends on what the broker does.
on_both_brokers = pytest.mark.parametrize("broker_url", ["redis", "rabbitmq"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
