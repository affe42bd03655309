"""Whether the ledger's memory stays flat with a history: what it takes from minute to minute, at 100 events/s.

    python -m tests.benchmarks.history_window [--seconds 600]

One worker process. The windows of the ledger and of deduplication (EDW_LEDGER_WINDOW, EDW_DEDUPLICATION_WINDOW) are 2
minutes each. Redis' buffers are left out.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.open_loop import OpenLoop, Stream
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from tests.counterparts.postgres import PostgresServer
from tests.ledger import inspection
from worker.domain.event import Scope

RATE = 100.0
WINDOW_SECONDS = 120
SECONDS = 600.0
#: Between two looks at the memory (seconds).
LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Flatness:
    """MiB of the ledger's Redis, one figure for each look."""

    used: Sequence[float]

    def lines(self) -> Sequence[str]:
        """For people."""
        looks = round(WINDOW_SECONDS / LOOK_SECONDS)
        # The first window fills the ledger; archived records leave within 5 s of its end.
        full = self.used[looks : 2 * looks]
        last = self.used[-looks:]
        return [
            f"MiB every {LOOK_SECONDS:g} s: {', '.join(f'{each:.1f}' for each in self.used)}",
            f"after the window: {sum(full) / len(full):.1f} MiB; in the end: {sum(last) / len(last):.1f} MiB",
        ]


def measure(rounds: int, seconds: float = SECONDS) -> Flatness:
    """Measure once. Raises ProcessEnded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-window-", ignore_cleanup_errors=True)))
        receivers, redis_server = Receivers(folder / "receivers.log"), PrivateRedis(folder / "r", "everysec")
        for program in (receivers.program, redis_server.program):
            stack.callback(program.stop)
        receivers.start()
        redis_server.start()
        postgres = stack.enter_context(PostgresServer())
        changes = {
            "EDW_HISTORY_URL": postgres.url(postgres.new_database()),
            "EDW_LEDGER_WINDOW": f"{WINDOW_SECONDS}s",
            "EDW_DEDUPLICATION_WINDOW": f"{WINDOW_SECONDS}s",
        }
        made = Installation(redis_server, folder / "worker.log", changes)
        stack.enter_context(closing(made))
        made.connect()
        made.register(receivers.url("/takes/a"), Scope(ORG_ID, "a"))
        made.start_worker()
        stack.callback(made.program.stop)
        made.await_worker()
        loop = OpenLoop(made.publisher, [Stream([OrderPaid("a")], RATE)])
        used: list[float] = []
        for _ in range(round(seconds / LOOK_SECONDS)):
            loop.feed(LOOK_SECONDS)
            made.program.check()
            used.append(made.run(inspection.stored_memory(made.ledger)) / 2**20)
            say(f"{used[-1]:.1f} MiB")
        status = made.run(made.ledger.status.read())
        missing = status.jobs_balance + status.events_balance
        say(f"{status.counter('succeeded'):,} delivered; the balance lacks {missing}")
    return Flatness(used)


if __name__ == "__main__":
    sys.exit(run_alone("history_window", None, measure, 1, SECONDS))
