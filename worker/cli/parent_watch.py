"""Notice in a child process that its parent has died, through a pipe.

Nobody writes to the pipe; it ends when its last writer, the parent, ends.
"""

import os
import signal
import threading


def watch_parent(descriptor: int) -> None:
    """Watch the pipe's reading end; when it ends, send this process SIGTERM."""
    threading.Thread(target=_watch, args=(descriptor,), name="edw-parent-watch", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        os.read(descriptor, 1)
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)
