"""What Redis does for each script that a ledger calls."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.ledger import raw
from tests.ledger.inspection import commands, main_thread_cpu
from worker.ledger import Ledger


class ScriptCosts:
    """Measures the calls of one ledger while `counted()` runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: Script → the CPU time of Redis's main thread for each call (µs), with about 0.2 ms for the measurement.
        self.times: dict[str, list[int]] = defaultdict(list)
        #: Script → commands inside its calls.
        self.commands: dict[str, int] = defaultdict(int)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the calls while the block runs."""

        def noting(run: raw.Run) -> raw.Run:
            async def noted(name: str, *given: Any, **arguments: Any) -> Any:
                replies: list[Any] = []

                async def called() -> None:
                    replies.append(await run(name, *given, **arguments))

                before = await main_thread_cpu(self._ledger)
                # EVALSHA itself, and the two commands that ask.
                self.commands[name] += await commands(self._ledger, called) - 1
                self.times[name].append(round((await main_thread_cpu(self._ledger) - before) * 1e6))
                return replies[0]

            return noted

        with raw.intercepted(self._ledger, noting):
            yield
