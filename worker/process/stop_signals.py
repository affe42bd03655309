"""What the signals of a worker process mean, whichever command runs it: `edw worker` or Celery's own.

    SIGTERM, SIGINT    drain: take no more, and finish what is in flight within EDW_DRAIN_SECONDS
    SIGINT again       hurry: what is still in flight is interrupted, settled, and due at once
    SIGQUIT            both at once
    either again       the process ends on the spot; others reap what it had

A second SIGTERM changes nothing: systemd sends one to every process of a service, and a supervisor sends its own.
Celery's handlers would end with an exit code of 1 after Ctrl-C, and by SIGQUIT leave without settling.
"""

import signal
from collections.abc import Callable
from types import FrameType

from celery.platforms import EX_OK
from celery.signals import worker_shutting_down
from celery.worker import state
from kombu.asynchronous import get_event_loop


class Stopping:
    """The signals of one process; `hurry` is called when nobody wants to wait any longer."""

    def __init__(self, hostname: str, hurry: Callable[[], None]) -> None:
        self._hostname = hostname
        self._hurry = hurry

    def listen(self) -> None:
        """From now on, signals mean what is said above. To be called in the main thread."""
        signal.signal(signal.SIGTERM, self._drain)
        signal.signal(signal.SIGINT, self._drain)
        signal.signal(signal.SIGQUIT, self._hurry_up)

    def _drain(self, number: int, _: FrameType | None) -> None:
        # First of all, since this is what ends Celery's loop, whatever a listener does.
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
    """Has Celery's loop end now; from any thread but its own.

    It would look at what it is told only when something comes from the broker, or after up to 10 s.
    """
    state.should_stop = exit_code
    hub = get_event_loop()
    if hub is not None:
        hub.call_soon(int)
