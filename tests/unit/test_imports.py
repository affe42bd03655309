"""What a process loads before it does its first work: only what it needs, so that it starts quickly."""

import subprocess
import sys

import pytest

#: What `edw COMMAND` imports before it runs.
COMMAND = "from worker.cli import edw; edw.get_command(None, {!r})"
PUBLISHER = "import worker.publisher"
API = f"{COMMAND.format('api')}; from worker.cli.commands.api import load_server; load_server()"
WORKER = f"{COMMAND.format('worker')}; import worker.app, worker.tasks"

#: Loaded when the first integration, certificate or command needs it, or never.
NOWHERE = ("aiobotocore", "botocore", "stomp", "jsonschema", "cryptography.fernet", "cryptography.x509")
#: Imported only where EDW_HISTORY_URL is set.
HISTORY = ("psycopg", "worker.history")
LEFT_OUT = {
    PUBLISHER: (
        *NOWHERE,
        *HISTORY,
        *("celery", "kombu", "aiohttp", "aiodns", "structlog", "rich", "yarl", "uvloop", "redis", "opentelemetry"),
        "deliverers.registry",
        *("worker.delivery", "worker.api", "worker.process", "worker.integrations", "worker.ledger.lanes"),
    ),
    API: (*NOWHERE, *HISTORY, "celery", "kombu", "amqp", "rich", "opentelemetry", "aiodns", "worker.process"),
    WORKER: (*NOWHERE, *HISTORY, "aiohttp", "aiodns", "rich", "opentelemetry", "worker.api"),
}


def loaded_by(code: str) -> frozenset[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return frozenset(printed.stdout.split())


@pytest.mark.parametrize("code", LEFT_OUT, ids=["publisher", "api", "worker"])
def test_a_process_loads_no_module_that_it_does_not_need(code: str) -> None:
    loaded = loaded_by(code)

    assert "worker.ledger.events.inbox" in loaded, "the list is that of the process"
    assert [name for name in LEFT_OUT[code] if name in loaded] == []


def test_what_is_left_out_while_others_are_imported_is_there_again_afterwards() -> None:
    code = "from worker.cli import edw; edw.get_command(None, 'api'); import rich.console, opentelemetry.trace"
    assert {"rich.console", "opentelemetry.trace"} <= loaded_by(code)


def test_a_producer_that_publishes_by_rabbitmq_loads_celery() -> None:
    code = (
        "from config.settings import Settings; from worker.publisher import Publisher\n"
        "Publisher(Settings(redis_url='redis://127.0.0.1:1', broker_url='amqp://127.0.0.1:1')).close()"
    )
    assert "celery" in loaded_by(code)
    assert "celery" not in loaded_by(code.replace("amqp://", "redis://"))
