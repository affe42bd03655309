"""The signals of a worker process, the same under `edw worker` and under Celery's own command.

    SIGTERM, SIGINT    drain: take no more jobs, and finish the attempts in flight within EDW_DRAIN_SECONDS
    SIGINT again       hurry: interrupt and settle the attempts in flight; their jobs are due at once
    SIGQUIT            drain and hurry at once
    either again       end immediately; other workers reap the attempts of this process

A second SIGTERM changes nothing: systemd sends one to every process of a service, and a supervisor sends another.
Celery's own handlers would exit with code 1 after Ctrl-C, and on SIGQUIT would exit without settling.
"""

import signal
from collections.abc import Callable
from types import FrameType

from celery.platforms import EX_OK
from celery.signals import worker_shutting_down
from celery.worker import state
from kombu.asynchronous import get_event_loop


class Stopping:
    """The signal handlers of one process; `hurry` is called to interrupt attempts in flight."""

    def __init__(self, hostname: str, hurry: Callable[[], None]) -> None:
        self._hostname = hostname
        self._hurry = hurry

    def listen(self) -> None:
        """Install the handlers; call it in the main thread."""
        signal.signal(signal.SIGTERM, self._drain)
        signal.signal(signal.SIGINT, self._drain)
        signal.signal(signal.SIGQUIT, self._hurry_up)

    def _drain(self, number: int, _: FrameType | None) -> None:
        # This ends Celery's loop. It comes first, in case a listener of the event below fails.
        state.should_stop = EX_OK
        signal.signal(signal.SIGINT, self._hurry_up)
        how = {"sig": signal.Signals(number).name, "how": "Warm", "exitcode": EX_OK}
        worker_shutting_down.send(sender=self._hostname, **how)

    def _hurry_up(self, number: int, frame: FrameType | None) -> None:
        self._drain(number, frame)
        for each in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(each, signal.SIG_DFL)
        self._hurry()


def stop_celery(exit_code: int) -> None:
    """End Celery's loop at once; call it from any thread but the loop's own.

    On its own, the loop would see the exit code only when the broker sends something, or after up to 10 s.
    """
    state.should_stop = exit_code
    hub = get_event_loop()
    if hub is not None:
        hub.call_soon(int)
