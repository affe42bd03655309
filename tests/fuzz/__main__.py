"""Gives every parser of foreign bytes many inputs, and reports each that breaks its contract.

    python -m tests.fuzz [--inputs N] [--target NAME] [--seed N]

Exit codes: 0 nothing was found, 1 a contract was broken, 130 interrupted.
"""

import argparse
import signal
import sys
import traceback
from dataclasses import dataclass
from time import thread_time

from tests.fuzz import api, events, receivers, settings
from tests.fuzz.inputs import inputs
from tests.fuzz.target import Target

TARGETS: tuple[Target, ...] = (*events.TARGETS, *api.TARGETS, *receivers.TARGETS, *settings.TARGETS)
#: Findings of one target that are shown; the others are counted.
SHOWN = 3
#: Seconds of CPU for one input of at most 2 KiB: what takes longer is no linear parser.
SLOWEST_SECONDS = 1.0


#: Seconds of CPU after which an input is given up.
STUCK_SECONDS = 20.0


class Stuck(Exception):
    """A parser did not come to an end."""


def _stuck(*_: object) -> None:
    raise Stuck


@dataclass(slots=True)
class Run:
    """What came of one target's inputs."""

    inputs: int = 0
    findings: int = 0
    #: Seconds of CPU of the slowest input.
    slowest: float = 0.0


def main() -> int:
    """Run the targets one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--inputs", type=int, default=len(TARGETS) * 10_000, help="in all, in equal shares")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _stuck)
    chosen = [target for target in TARGETS if not given.target or target.name in given.target]
    share = -(-given.inputs // len(chosen))
    total = Run()
    for target in chosen:
        began = thread_time()
        run = run_target(target, share, given.seed)
        print(
            f"{target.name:24}{run.inputs:12,} inputs{run.findings:8,} findings{thread_time() - began:9.1f} s of CPU, "
            f"the slowest input {run.slowest * 1000:.1f} ms",
            flush=True,
        )
        total.inputs, total.findings = total.inputs + run.inputs, total.findings + run.findings
    print(f"{total.inputs:,} inputs, seed {given.seed}: {total.findings:,} findings")
    return 1 if total.findings else 0


def run_target(target: Target, count: int, seed: int) -> Run:
    """Check `count` inputs, and show the first findings."""
    run = Run()
    for raw in inputs(target, count, seed):
        run.inputs += 1
        began = thread_time()
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, STUCK_SECONDS)
            target.check(raw)
            problem = ""
        except Exception:  # noqa: BLE001  (whatever a parser raises that its contract does not name is a finding)
            problem = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took = thread_time() - began
        run.slowest = max(run.slowest, took)
        if took > SLOWEST_SECONDS:
            problem = problem or f"it took {took:.1f} s"
        if problem:
            run.findings += 1
            if run.findings <= SHOWN:
                print(f"{target.name}: {raw!r}\n{problem}", file=sys.stderr, flush=True)
    return run


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
