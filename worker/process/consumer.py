"""Our subclass of Celery's consumer, which Celery's setting `worker_consumer` names.

Celery's own would only log a message that is not one of our tasks; this one keeps it in the ledger's rejected list.
When it stops, Celery's own would wait for a silent broker without end; this one gives up.
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

#: Seconds that the ledger has to keep a bad message; after that, the broker keeps it and delivers it again.
KEEP_SECONDS = 10.0
#: Seconds of each wait for the broker while the worker stops. If an acknowledgement does not arrive, its task is
#: repeated, which is harmless.
LET_GO_SECONDS = 0.5
#: Pauses between tries while the broker is away. Even if a try fails just before the broker returns, messages are
#: taken again within 5 s.
BROKER_BACKOFF = Backoff(first=1.0, longest=2.0)
#: Seconds before the next try with a broker that refuses.
REFUSED_PAUSE = 2.0


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery has no types
    """A consumer that keeps unreadable messages in the ledger's rejected list before it acknowledges them."""

    connection_errors: tuple[type[Exception], ...]

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        # Our workers do not use mingle, gossip and heartbeats. Mingle takes a second at each start, and saying goodbye
        # takes several at the end if the broker is silent.
        quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        super().__init__(*args, worker_options={**(worker_options or {}), **quiet}, **kwargs)

    def on_ready(self) -> None:
        """Note that messages are taken, for the first time or again."""
        super().on_ready()
        runtime.note_broker_state()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Note that the broker cannot be reached, or refuses the consumer's first requests."""
        runtime.note_broker_state(_in_words(exc, "it is away"))
        super().on_connection_error_before_connected(exc)
        self._pause_where_refused(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Give up a connection that was lost or on which the broker refuses something, so that Celery connects again.

        Celery closes the connection twice. The second time, kombu's Redis transport tries to give back unacknowledged
        messages through a connection that the first close has dropped. Its AttributeError would end the worker, so it
        is only logged. Messages that are not given back are delivered again after the visibility timeout.
        """
        runtime.note_broker_state(_in_words(exc, "the connection was lost"))
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001  (there is nothing left to close)
            _log.warning("the lost connection was not closed", why=f"{type(error).__name__}: {error}")
        self._pause_where_refused(exc)

    def _pause_where_refused(self, exc: Exception) -> None:
        # Celery pauses only for a broker that is away. A broker that answers and refuses, such as a Redis at its memory
        # limit, would be asked again without pause.
        if isinstance(exc, self.channel_errors) and not isinstance(exc, self.connection_errors):
            sleep(REFUSED_PAUSE)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes.

        The pauses are short, so that a broker is used soon after its return; Celery's own grow to 30 s.
        """
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
                # kombu's Redis transport opens a file before it connects, and again to log a failure. Without free
                # descriptors, the error passes Celery's retries and would end the worker.
                if not exhausted(error):
                    raise
                runtime.note_broker_state(f"{type(error).__name__}: {error}")
                _log.error("own resource exhausted", why=f"no connection to the broker: {error}")
            maybe_shutdown()
            sleep(REFUSED_PAUSE)

    def stop(self) -> None:
        """Stop taking messages, without a long wait for a silent broker."""
        if self.connection:
            bound_open_broker_sockets(self.connection, LET_GO_SECONDS)
        super().stop()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Return a handler that checks each message before Celery does.

        Celery decodes a body only in the pool. A body that fails there is neither acknowledged nor logged, and would
        occupy the prefetch window for ever.
        """
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            problem = _problem(message)
            if problem:
                return self.on_decode_error(message, problem)
            # Late events must not be dropped.
            (message.headers or {}).pop("expires", None)
            return handle(message)

        return on_task_received

    def update_strategies(self) -> None:
        """Let tasks survive an acknowledgement on a closed connection, like one that fails.

        kombu's Redis transport then raises AttributeError, which would end the worker. The message is delivered again
        after the visibility timeout.
        """
        of_a_connection = self.connection_errors
        # The strategies copy this value now. Elsewhere, an AttributeError must not count as a lost connection.
        self.connection_errors = (*of_a_connection, AttributeError)
        try:
            super().update_strategies()
        finally:
            self.connection_errors = of_a_connection

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep a message whose body cannot be decoded, such as one that is not JSON."""
        if _keep(message, f"cannot be decoded: {exc}"):
            super().on_decode_error(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Keep a message that is not a Celery message."""
        if _keep(message, "is not a Celery task message"):
            super().on_unknown_message(body, message)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep a task that this worker does not have."""
        if _keep(message, f"names a task that this worker does not have: {exc}"):
            super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep a malformed task message, or one of another content type (pickle is never read)."""
        if _keep(message, f"is not a valid task message: {exc}"):
            super().on_invalid_task(body, message, exc)


def _in_words(exc: Exception, otherwise: str) -> str:
    """Return the broker's problem without its address, since /readyz needs no token; Celery logs the error."""
    return "it is at its memory limit (maxmemory)" if "maxmemory" in str(exc) else otherwise


def _problem(message: Any) -> Exception | None:
    """Return why the body of a message of Celery's protocol 2 cannot be read; None if it can."""
    headers = message.headers or {}
    if "task" not in headers:
        return None
    if not isinstance(headers.get("id"), str):
        return ValueError("expected the task's id as a string in the header `id`")
    try:
        # Raises for every content type but JSON.
        match message.decode():
            case [list(), dict(), _]:
                return None
    except Exception as error:  # noqa: BLE001  (any error of a decoder is the problem)
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
        # Another worker takes it, or this one when the ledger is back.
        message.requeue()
        return False
    return True
