"""Celery's consumer, which would only log a message that is no task of ours: here the ledger keeps it.

And it lets go of a broker that says nothing, for which Celery's own would wait without end when it is told to stop.

Named by Celery's own setting `worker_consumer`.
"""

from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any

import structlog
from celery.utils.threads import bound_open_broker_sockets
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

from deliverers.backoff import Backoff
from deliverers.exhaustion import exhausted
from worker.domain.event import Refusal
from worker.process import runtime

_log = structlog.get_logger("edw.process")

#: The ledger has so many seconds to take a bad message; else the broker keeps it, and delivers it again.
KEEP_SECONDS = 10.0
#: While the worker stops, the broker is waited for no longer than this, each time (seconds). An acknowledgement that
#: does not arrive is a task that is repeated, which is harmless.
LET_GO_SECONDS = 0.5
#: Pauses between tries while the broker is away. Even when a try fails just before the broker's return, messages are
#: taken again within 5 s of it.
BROKER_BACKOFF = Backoff(first=1.0, longest=2.0)
#: A broker that refuses is asked again after so long (seconds).
REFUSED_PAUSE = 2.0


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery has no types
    """Keeps what cannot be read in the ledger's rejected list before it is taken off the queue."""

    connection_errors: tuple[type[Exception], ...]

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        # Our workers have nothing to tell each other, and to find that out costs a second at every start; and to say
        # good-bye, several at the end, where the broker is silent.
        quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        super().__init__(*args, worker_options={**(worker_options or {}), **quiet}, **kwargs)

    def on_ready(self) -> None:
        """Messages are taken, at first or again."""
        super().on_ready()
        runtime.note_broker_state()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The broker cannot be reached, or refuses what a consumer begins with."""
        runtime.note_broker_state(_in_words(exc, "it is away"))
        super().on_connection_error_before_connected(exc)
        self._pause_where_refused(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The broker was lost, or refuses something: the connection is given up, and the worker is to connect again.

        Celery closes it twice. The second time, kombu's Redis transport means to give back what is unacknowledged, by
        a connection that the first time has forgotten: its AttributeError would end the worker. What is not given back
        comes again after the visibility timeout.
        """
        runtime.note_broker_state(_in_words(exc, "the connection was lost"))
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001  (there is nothing left to close)
            _log.warning("the lost connection was not closed", why=f"{type(error).__name__}: {error}")
        self._pause_where_refused(exc)

    def _pause_where_refused(self, exc: Exception) -> None:
        # Celery waits for a broker that is away; one that is there and refuses, such as a Redis at its memory limit, it
        # would ask again without end.
        if isinstance(exc, self.channel_errors) and not isinstance(exc, self.connection_errors):
            sleep(REFUSED_PAUSE)

    def ensure_connected(self, conn: Any) -> Any:
        """Connects, however long that takes. Celery's pauses grow until 30 s; a broker that is back is to be of use."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=BROKER_BACKOFF.first,
            interval_step=BROKER_BACKOFF.first,
            interval_max=BROKER_BACKOFF.longest,
        )
        while True:
            try:
                return super().ensure_connected(conn)
            except (OSError, OperationalError) as error:
                # kombu's Redis transport opens a file before it connects, and again to log that it could not: what it
                # raises then passes Celery's retries, and would end the worker.
                if not exhausted(error):
                    raise
                runtime.note_broker_state(f"{type(error).__name__}: {error}")
                _log.error("own resource exhausted", why=f"no connection to the broker: {error}")
            maybe_shutdown()
            sleep(REFUSED_PAUSE)

    def stop(self) -> None:
        """Takes no more messages."""
        if self.connection:
            bound_open_broker_sockets(self.connection, LET_GO_SECONDS)
        super().stop()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Looks into each message before Celery does.

        Celery reads a body in the pool only, where one that cannot be read is neither acknowledged nor told of: it
        would hold a place of the prefetch window for ever.
        """
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            problem = _problem(message)
            if problem:
                return self.on_decode_error(message, problem)
            # An event that is late is still an event.
            (message.headers or {}).pop("expires", None)
            return handle(message)

        return on_task_received

    def update_strategies(self) -> None:
        """Has tasks bear an acknowledgement whose connection was closed meanwhile, as they bear one that fails.

        kombu's Redis transport then says AttributeError, which would end the worker. The message comes again after the
        visibility timeout.
        """
        of_a_connection = self.connection_errors
        # A strategy keeps what it finds here. What is raised anywhere else is not to be taken for a lost connection.
        self.connection_errors = (*of_a_connection, AttributeError)
        try:
            super().update_strategies()
        finally:
            self.connection_errors = of_a_connection

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A body that cannot be decoded, such as one that is not JSON."""
        if _keep(message, f"cannot be decoded: {exc}"):
            super().on_decode_error(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Something that is no Celery message."""
        if _keep(message, "is not a Celery task message"):
            super().on_unknown_message(body, message)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task that is not ours."""
        if _keep(message, f"names a task that this worker does not have: {exc}"):
            super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task message that is malformed, or of a content type that is not taken (pickle is never read)."""
        if _keep(message, f"is not a valid task message: {exc}"):
            super().on_invalid_task(body, message, exc)


def _in_words(exc: Exception, otherwise: str) -> str:
    """Say what ails the broker, without its address: anybody may read this at /readyz, and Celery logs the error."""
    return "it is at its memory limit (maxmemory)" if "maxmemory" in str(exc) else otherwise


def _problem(message: Any) -> Exception | None:
    """Why the body of a message of Celery's protocol 2 cannot be read, or None."""
    headers = message.headers or {}
    if "task" not in headers:
        return None
    if not isinstance(headers.get("id"), str):
        return ValueError("expected a header `id`, the task's, as a string")
    try:
        # Raises for a content type that is not accepted: nothing but JSON is ever read.
        match message.decode():
            case [list(), dict(), _]:
                return None
    except Exception as error:  # noqa: BLE001  (whatever a decoder raises: it is what is wrong)
        return _detached(error)
    return ValueError("expected [args, kwargs, embed], the body of a Celery task message")


def _detached(error: Exception) -> Exception:
    """Return an error of the same words that holds nothing.

    The tracebacks of what kombu raises hold the message, and frames that hold the error: cycles as large as the message
    that wait for the garbage collector.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return ValueError(str(error))


def _keep(message: Any, why: str) -> bool:
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    refusal = Refusal("message", why)
    try:
        runtime.call(lambda services: services.celery_intake.reject(refusal, body, "a Celery message"), KEEP_SECONDS)
    except (TimeoutError, runtime.RuntimeStopped):
        # For another worker, or for this one when the ledger is back.
        message.requeue()
        return False
    return True
