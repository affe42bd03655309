"""How long a process takes to start: `edw api` until it listens, `edw worker` until its first delivery.

    python -m tests.benchmarks.start [--rounds N]

An event waits in the ledger before the worker starts. Also printed: the time that `import worker.publisher` takes, the
processor time and the memory of both processes while they are idle.
"""

import argparse
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import psutil

from tests.benchmarks.alone import exit_code_of
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import spread
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import START_SECONDS, ProcessEnded, Program
from tests.benchmarks.sink import Sink
from tests.counterparts.ports import free_port
from worker.domain.event import Scope

ROUNDS = 5
#: How long the idle processes are watched (seconds).
IDLE_SECONDS = 5.0
#: Between two tries to connect (seconds).
_LOOK_SECONDS = 0.005
_STORE = "start"
_IMPORT = "from time import perf_counter as now; began = now(); import worker.publisher; print(now() - began)"


def listens_after(installation: Installation, port: int, log: Path) -> tuple[float, Program]:
    """Start an API; return the seconds until it accepts a connection, and the process."""
    began = monotonic()
    program = Program("the API", installation.python("-m", "worker.cli", "api"), log, installation.environment)
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return monotonic() - began, program
        program.check()
        if monotonic() - began > START_SECONDS:
            raise ProcessEnded(f"the API does not listen:\n{program.tail()}")
        sleep(_LOOK_SECONDS)


def delivers_after(installation: Installation, sink: Sink, log: Path) -> tuple[float, Program]:
    """Start a worker while an event waits; return the seconds until its delivery, and the process."""
    path = f"/start/{log.name}"
    store = f"{_STORE}-{log.name}"
    installation.register(sink.url(path), Scope(ORG_ID, store))
    installation.publisher.publish(OrderPaid(store).event())
    sink.expect(path, 1)
    began = monotonic()
    program = Program("the worker", installation.python("-m", "worker.cli", "worker"), log, installation.environment)
    if not sink.reached(START_SECONDS):
        program.check()
        raise ProcessEnded(f"the worker does not deliver:\n{program.tail()}")
    return monotonic() - began, program


def idle(program: Program) -> tuple[float, float]:
    """Return the cores that an idle process uses, and its memory (MiB: USS, what would be free without it)."""
    # The garbage of the start is collected first.
    sleep(3.0)
    cpu = program.cpu_seconds()
    sleep(IDLE_SECONDS)
    cores = (program.cpu_seconds() - cpu) / IDLE_SECONDS
    return cores, psutil.Process(program.pid).memory_full_info().uss / (1 << 20)


def import_seconds(installation: Installation) -> float:
    """Return the seconds that a new interpreter takes to import the publisher."""
    found = subprocess.run(installation.python("-c", _IMPORT), capture_output=True, text=True, check=True)
    return float(found.stdout)


def measure(rounds: int) -> Sequence[str]:
    """Return the figures as text."""
    api: list[float] = []
    worker: list[float] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-start-", ignore_cleanup_errors=True)))
        server = PrivateRedis(folder / "r", "everysec")
        stack.callback(server.program.stop)
        server.start()
        sink = Sink(folder / "sink.log")
        stack.callback(sink.program.stop)
        sink.start()
        port = free_port()
        installation = stack.enter_context(closing(Installation(server, folder / "log", {"EDW_API_PORT": str(port)})))
        installation.connect()
        rests: list[tuple[str, float, float]] = []
        for number in range(rounds):
            for name, times in (("api", api), ("worker", worker)):
                log = folder / f"{name}-{number}.log"
                if name == "api":
                    took, program = listens_after(installation, port, log)
                else:
                    took, program = delivers_after(installation, sink, log)
                times.append(took)
                try:
                    if number == rounds - 1:
                        rests.append((name, *idle(program)))
                finally:
                    program.stop()
        imports = [import_seconds(installation) for _ in range(rounds)]
    return [
        f"edw api listens after                {spread(api, 2)} s",
        f"edw worker's first delivery after    {spread(worker, 2)} s",
        f"import worker.publisher              {spread([each * 1000 for each in imports])} ms",
        *(f"idle {name}: {cores:.4f} cores, {memory:.1f} MiB" for name, cores, memory in rests),
    ]


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.start", description="How long a start takes.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds

    def run() -> int:
        print("\n".join(measure(rounds)))
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
