"""The lifeline: a pipe by which a child notices that its parent has died.

Nobody writes to the pipe; it ends when its last writer, the parent, does.
"""

import os
import signal
import threading


def hold(descriptor: int) -> None:
    """Watch the pipe's reading end; when it ends, send this process SIGTERM."""
    threading.Thread(target=_watch, args=(descriptor,), name="edw-lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        os.read(descriptor, 1)
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)
