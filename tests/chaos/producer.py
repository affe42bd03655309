"""A producer: offers events through one ingress at a steady rate, and notes each before and after.

    python -m tests.chaos.producer INGRESS JOURNAL RATE API TOKEN STORE TYPE [TYPE ...]

What is not accepted is offered again with the same id, as a producer should. It ends after the event that it is at,
when it is asked to or its input ends.
"""

import signal
import sys
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from tests.chaos.ingresses import INGRESSES, Send
from tests.chaos.records import Journal
from worker.cli.parent_watch import watch_parent

#: After a refusal, the same event is offered again so soon (seconds).
AGAIN_SECONDS = 0.1


def event(id_: str, type_: str, store: str) -> dict[str, Any]:
    """A small event of the store whose integrations are watched."""
    data = {"type": type_.partition(".")[0], "id": id_}
    return {"id": id_, "type": type_, "org_id": "org-1", "store_id": store, "data": data}


def produce(
    send: Send, journal: Journal, name: str, rate: float, store: str, types: Sequence[str], stopping: threading.Event
) -> None:
    """Offers so many events a second; where that was not possible for a while, it makes up for it."""
    began = monotonic()
    for number in count():
        id_, type_ = f"{name}-{number}", types[number % len(types)]
        journal.write(id=id_, type=type_)
        while not _accepted(send, event(id_, type_, store)):
            if stopping.wait(AGAIN_SECONDS):
                return
        journal.write(id=id_, accepted=True)
        if stopping.wait(max(0.0, began + (number + 1) / rate - monotonic())):
            return


def _accepted(send: Send, offered: dict[str, Any]) -> bool:
    try:
        send(offered)
    except Exception as error:  # noqa: BLE001  (whatever goes wrong while everything is killed, it is offered again)
        print(f"{offered['id']}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def main() -> None:
    """Produces until SIGTERM."""
    ingress, journal, rate, api, token, store, *types = sys.argv[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    watch_parent(sys.stdin.fileno())
    # An id of one life: nobody knows how far the one before it came.
    name = f"{ingress}-{uuid4().hex[:8]}"
    produce(INGRESSES[ingress](api, token), Journal(Path(journal)), name, float(rate), store, types, stopping)


if __name__ == "__main__":
    main()
