"""`edw demo`, as a newcomer runs it."""

import re
import signal
from pathlib import Path

from tests.fleet.edw_command import Edw, StartEdw, alive
from tests.waiting import wait_until


def test_the_demo_keeps_its_promises_and_leaves_nothing_behind(edw: Edw, environment: dict[str, str]) -> None:
    result = edw("demo")

    assert result.code == 0, result.text
    assert "the receiver answers 503" in result.out
    assert "the receiver answers 200" in result.out
    assert re.search(r"\b1 503 ", result.text)
    assert re.search(r"\b2 200 ", result.text)
    assert "X-MOLTIN-SECRET-KEY demo-secret" in result.text
    assert "Zoë Müller-Łukasiewicz" in result.out
    assert '"amount": 149.90' in result.out
    assert "All as promised." in result.out
    assert "\x1b" not in result.out
    assert not alive(environment)
    assert not list(Path(environment["TMPDIR"]).iterdir())


def test_the_demo_is_not_confused_by_the_users_environment(edw: Edw) -> None:
    result = edw(
        "demo",
        EDW_REDIS_URL="redis://127.0.0.1:1/0",
        EDW_BROKER_URL="amqp://127.0.0.1:1//",
        EDW_RETRY_SCHEDULE="nonsense",
        EDW_SECRETS_KEYS="nonsense",
        BROKER_URL="amqp://127.0.0.1:1//",
        CELERY_BROKER_URL="amqp://127.0.0.1:1//",
        APP="another",
        http_proxy="http://127.0.0.1:1",
    )

    assert result.code == 0, result.text


def test_a_demo_that_is_interrupted_puts_everything_away(start_edw: StartEdw, environment: dict[str, str]) -> None:
    demo = start_edw("demo")
    demo.says("the worker starts")

    demo.signal(signal.SIGINT)

    assert demo.wait_ended() == 1
    wait_until(lambda: not alive(environment), "no process is left")
    assert not list(Path(environment["TMPDIR"]).iterdir())
