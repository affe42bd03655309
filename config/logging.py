"""Logging: one JSON object per line, or lines for people.

Our own records go through structlog straight to the stream. Records of libraries that use `logging` (Celery, kombu,
aiohttp) end up in the same format. Both renderers escape characters that a reader cannot see (see
`config/text_escaping.py`).
"""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from io import StringIO
from time import time_ns
from typing import Any, BinaryIO, TextIO

import msgspec
import structlog
from structlog.contextvars import merge_contextvars
from structlog.processors import format_exc_info
from structlog.typing import EventDict, Processor, WrappedLogger

from config.settings import Settings, unknown_variables
from config.text_escaping import visible, visible_line

#: Celery writes two lines at `info` for every wake-up, with nothing but ids in them; shown only at `debug`.
_CHATTY = ("celery.worker.strategy", "celery.app.trace")

#: Celery's logger of messages; it logs each acknowledgement that a lost broker did not get as critical.
_MESSAGES = "celery.worker.request"

#: kombu's logger of a Redis broker; what it warns of, it tries again.
_REDIS_BROKER = "kombu.transport.redis"

#: At `debug`, these loggers write whole requests, keys and passwords included; that is never shown.
_INDISCREET = ("botocore", "aiobotocore", "stomp", "stomp.py")

_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure_logging(settings: Settings, stream: BinaryIO | None = None) -> None:
    """Log everything to `stream` (default: standard error), as the settings say; a repeated call replaces the setup.

    A logger keeps the setup that it had at its first record, so call this before anything is logged.
    """
    output = stream or sys.stderr.buffer
    render = _json_line if settings.log_format == "json" else _console_line(colors=output.isatty())
    level = settings.log_level.upper()
    structlog.configure(
        # One processor, because each attempt and each request writes a line, and each further processor is a call.
        processors=[_record if settings.log_format == "json" else partial(_shown_record, render)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(output, level, settings.log_format, render)


@cache
def warn_of_unknown_variables() -> None:
    """Log a warning for each environment variable that looks like a setting but is none; once per process."""
    for problem in unknown_variables():
        structlog.get_logger("edw.config").warning("unknown variable", why=problem)


def _record(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    """Return the line of a record of ours as JSON."""
    stamped = _stamp(logger, method, merge_contextvars(logger, method, event))
    return _json_line(logger, method, format_exc_info(logger, method, stamped) if "exc_info" in event else stamped)


def _shown_record(render: Callable[..., bytes], logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    """Return the line of a record of ours for people."""
    return render(logger, method, _stamp(logger, method, merge_contextvars(logger, method, event)))


def _stamp(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put the fields that start every line in front."""
    return {
        "timestamp": _iso(time_ns()),
        "level": "error" if method == "exception" else method,
        "logger": logger.name or "edw",
        "event": event.pop("event", ""),
        **event,
    }


def _iso(moment: int) -> str:
    """Return a time, given in nanoseconds since 1970, in RFC 3339."""
    seconds, rest = divmod(moment, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def _json_line(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        line = _encoder.encode(event)
    except (TypeError, ValueError):
        # For example a key that is not a string, or half a surrogate pair. A log line never fails its caller.
        line = _encoder.encode({_clean(key): _clean(value) for key, value in event.items()})
    # The JSON encoder escapes C0 characters itself, and most lines are ASCII.
    return line if line.isascii() and b"\x7f" not in line else visible_line(line.decode()).encode()


def _clean(value: Any) -> str:
    return (value if isinstance(value, str) else repr(value)).encode(errors="backslashreplace").decode()


def _console_line(*, colors: bool) -> Callable[[WrappedLogger, str, EventDict], bytes]:
    renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_visible_traceback)

    def line(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        # Escaped before rendering, because colours consist of control characters too.
        shown = {visible_line(str(key)): _shown(key, value) for key, value in event.items()}
        return renderer(logger, method, shown).encode(errors="backslashreplace")

    return line


def _shown(key: object, value: Any) -> Any:
    if value is None or isinstance(value, int | float) or key == "exc_info":
        return value
    if isinstance(value, str):
        # These two span several lines. A line break in any other field would look like another record.
        return visible(value) if key in ("exception", "stack") else visible_line(value.rstrip("\n"))
    plain = repr(value)
    safe = visible_line(plain)
    return value if safe == plain else safe


def _visible_traceback(output: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    # The plain traceback: structlog's own shows local variables, and so secrets.
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    output.write(visible(text.getvalue()))


class _Handler(logging.Handler):
    """A handler that writes the records of `logging` to the same stream as our own."""

    def __init__(self, output: BinaryIO) -> None:
        super().__init__()
        self._write = structlog.BytesLogger(output).msg

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record).encode(errors="backslashreplace"))
        except Exception:  # noqa: BLE001  (as in logging itself: a bad record never fails its caller)
            self.handleError(record)


def _route_standard_logging(output: BinaryIO, level: str, form: str, render: Callable[..., bytes]) -> None:
    def text(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return render(logger, method, event).decode()

    chain: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        chain.append(format_exc_info)
    handler = _Handler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*chain, text],
            foreign_pre_chain=[merge_contextvars, _stamp_record],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "DEBUG" else logging.WARNING)
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger(_MESSAGES).addFilter(_calm)
    logging.getLogger(_REDIS_BROKER).addFilter(_brief)
    logging.captureWarnings(capture=True)


def _calm(record: logging.LogRecord) -> bool:
    """Make a warning without a traceback of an acknowledgement that failed: the broker delivers the message again."""
    if str(record.msg).startswith(("Couldn't ack", "Couldn't reject")):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
    return True


def _brief(record: logging.LogRecord) -> bool:
    """Name the error of a warning instead of its traceback: it is the broker's, such as a memory limit, not a bug."""
    if record.levelno == logging.WARNING and record.exc_info and (error := record.exc_info[1]):
        record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", ()
        record.exc_info = None
    return True


def _stamp_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    return {
        "timestamp": _iso(round(record.created * 1e9)),
        "level": record.levelname.lower(),
        "logger": record.name,
        **event,
    }
