"""How a child learns that its parent is gone: a pipe that nobody writes to ends when its last writer does."""

import os
import signal
import threading


def hold(descriptor: int) -> None:
    """Watches the pipe's reading end; when it ends, this process is told to stop, as by SIGTERM."""
    threading.Thread(target=_watch, args=(descriptor,), name="edw-lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        os.read(descriptor, 1)
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)
