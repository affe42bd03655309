import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from kombu.message import Message
from kombu.transport.redis import MultiChannelPoller
from pydantic import SecretStr
from redis.exceptions import ResponseError

from config.logging import configure_logging
from config.settings import load_settings

PLANTED = "planted-secret"
Configure = Callable[..., io.BytesIO]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configures as a process does, and puts back what was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def set_up(**overrides: Any) -> io.BytesIO:
        stream = io.BytesIO()
        configure_logging(load_settings(**overrides), stream)
        return stream

    yield set_up
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logger() -> Any:
    # Of a name that nothing has logged with: loggers keep what they were first configured with.
    return structlog.get_logger(f"edw.{uuid4().hex}")


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_on_one_line(configure: Configure) -> None:
    stream = configure()
    structlog.get_logger("edw.attempts.test").info("delivered", attempt=2, detail="line\nbreak, Zoë", seconds=0.25)
    (line,) = lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"], "what every line has comes first"
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["event"]) == ("info", "edw.attempts.test", "delivered")
    assert (line["attempt"], line["detail"], line["seconds"]) == (2, "line\nbreak, Zoë", 0.25)


def test_a_record_of_the_standard_library_has_the_same_form(configure: Configure) -> None:
    stream = configure()
    logging.getLogger("kombu.test").warning("lost %s", "the broker")
    (line,) = lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"]) == ("warning", "kombu.test", "lost the broker")


def test_what_is_bound_to_the_context_is_in_every_line(configure: Configure) -> None:
    stream = configure()
    with structlog.contextvars.bound_contextvars(job_id="j-1"):
        logger().info("ours")
        logging.getLogger("celery.test").info("theirs")
    assert [line["job_id"] for line in lines(stream)] == ["j-1", "j-1"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_secret_is_stars(configure: Configure, form: str) -> None:
    stream = configure(log_format=form)
    logger().info("reported", key=SecretStr(PLANTED), nested={"keys": [SecretStr(PLANTED)]})
    logging.getLogger("test").info("reported %s", SecretStr(PLANTED))
    assert PLANTED not in stream.getvalue().decode()
    assert "**********" in stream.getvalue().decode()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variable(configure: Configure, form: str) -> None:
    stream = configure(log_format=form)
    secret_value = "-".join(["planted", "in", "a", "local"])
    for log in (logger(), logging.getLogger("test")):
        try:
            raise ValueError(f"broken {len(secret_value)}")
        except ValueError:
            log.exception("failed")
    text = stream.getvalue().decode()
    assert text.count("ValueError: broken 18") == 2
    assert secret_value not in text


def test_whatever_is_logged_makes_a_line(configure: Configure) -> None:
    stream = configure()
    logger().info("odd", thing=object(), raw=b"\xff", half="\ud800", many={1, 2}, keys={(1, 2): 3}, number=float("nan"))
    logging.getLogger("test").info("half %s", "\ud800")
    first, second = lines(stream)
    assert first["event"] == "odd"
    assert second["event"].startswith("half ")


def test_what_is_below_the_level_is_not_written(configure: Configure) -> None:
    stream = configure(log_level="warning")
    logger().info("quiet")
    logging.getLogger("celery.test").info("quiet")
    logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_celerys_lines_for_every_wake_up_are_for_debugging(configure: Configure) -> None:
    stream = configure()
    logging.getLogger("celery.app.trace").info("Task succeeded")
    assert not lines(stream)
    stream = configure(log_level="debug")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    assert [line["event"] for line in lines(stream)] == ["Task succeeded"]


@pytest.mark.parametrize("settle", ["ack_log_error", "reject_log_error"])
def test_an_acknowledgement_that_a_lost_broker_did_not_get_is_a_warning_without_a_traceback(
    configure: Configure, settle: str
) -> None:
    class LostChannel:
        no_ack_consumers: tuple[str, ...] = ()

        def basic_ack(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("connection reset")

        basic_reject = basic_ack

    stream = configure()
    message = Message(channel=LostChannel(), delivery_tag="7", body=b"{}")
    getattr(message, settle)(logging.getLogger("celery.worker.request"), (ConnectionError,))
    logging.getLogger("celery.worker.request").error("task failed")
    away, other = lines(stream)
    assert (away["level"], other["level"]) == ("warning", "error")
    assert "'7'" in away["event"]
    assert "connection reset" in away["event"]
    assert "exception" not in away


def test_what_a_redis_broker_refuses_for_a_while_is_a_warning_without_a_traceback(configure: Configure) -> None:
    class FullChannel:
        connection_errors = (ConnectionError,)
        ResponseError = ResponseError

        def maybe_refresh_binding_expiry(self) -> None:
            raise ResponseError("used memory > 'maxmemory'")

    stream = configure()
    poller = MultiChannelPoller()
    poller.add(FullChannel())
    poller.maybe_refresh_binding_expiry()
    logging.getLogger("kombu.transport.redis").warning("%d channels", 2)
    refused, plain = lines(stream)
    assert refused["level"] == "warning"
    assert refused["event"].endswith("will retry: ResponseError: used memory > 'maxmemory'")
    assert "exception" not in refused
    assert plain["event"] == "2 channels"


def test_a_warning_is_logged(configure: Configure) -> None:
    stream = configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "old ways" in line["event"]


def test_the_console_has_lines_for_people(configure: Configure) -> None:
    stream = configure(log_format="console")
    logger().warning("held", lane="l-1")
    text = stream.getvalue().decode()
    assert "held" in text
    assert "lane=l-1" in text
    assert "\x1b" not in text, "colours are for terminals"


def test_configuring_again_writes_each_record_once(configure: Configure) -> None:
    configure()
    stream = configure()
    logging.getLogger("test").info("once")
    assert len(lines(stream)) == 1


#: ESC, C1, DEL, writing direction, separators, zero width, tags, half a pair, and a second record.
HOSTILE = "\x1b[2J\x9b31m\x7f\u202egpj\u2066\u200f\u061c\u2028\u200b\U000e0041\ud800\nforged=1"


class Named:
    """An object that calls itself something."""

    def __repr__(self) -> str:
        return HOSTILE


@pytest.mark.parametrize("form", ["json", "console"])
def test_foreign_text_commands_no_terminal_and_forges_no_line(configure: Configure, form: str) -> None:
    stream = configure(log_format=form)
    logger().warning(HOSTILE, detail=HOSTILE, deep={"a": [HOSTILE]}, own=Named(), **{HOSTILE: 1})
    logging.getLogger(f"theirs.{HOSTILE}").warning("lost %s", HOSTILE)

    said = stream.getvalue().decode()
    assert said.count("\n") == 2, "a record is a line"
    assert {c for c in said if not c.isprintable()} == {"\n"}
    assert said.count("u202e") >= 6


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_commands_no_terminal(configure: Configure, form: str) -> None:
    stream = configure(log_format=form)
    for log in (logger(), logging.getLogger("test")):
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("failed", stack_info=True)
    said = stream.getvalue().decode()
    assert said.count("ValueError: ") == 2
    assert {c for c in said if not c.isprintable()} == {"\n"}


def test_an_escaped_line_has_the_same_value(configure: Configure) -> None:
    stream = configure()
    whole = HOSTILE.replace("\ud800", "")
    logger().warning("odd", detail=whole, arabic="مرحبا")
    (line,) = lines(stream)
    assert (line["detail"], line["arabic"]) == (whole, "مرحبا")
    assert "مرحبا" in stream.getvalue().decode()


def test_a_colourful_console_shows_no_colour_that_was_logged() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(load_settings(log_format="console"), terminal)
        logger().warning("x", detail="\x1b[8mhidden", own=Named())
    finally:
        logging.captureWarnings(capture=False)
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    said = terminal.getvalue().decode()
    assert "\x1b[" in said, "it is in colour"
    assert "\x1b[8m" not in said
    assert "\x1b[2J" not in said
