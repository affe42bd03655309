"""What attacks from outside cost another store's deliveries, and our processes' memory.

    python -m tests.benchmarks.attacks [--attack NAME]... [--seconds N] [--quiet N]

Exit codes: 0 every limit was kept, 1 one was broken or something was lost, 130 interrupted.
"""

import argparse
import os
import sys

from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.attacks.catalogue import ATTACKS
from tests.benchmarks.attacks.contest import compare

#: Of each attack, and of the windows beside it.
SECONDS = 30.0
QUIET_SECONDS = 15.0


def main() -> int:
    """Run the chosen attacks one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attacks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--attack", action="append", choices=[attack.name for attack in ATTACKS])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    parser.add_argument("--quiet", type=float, default=QUIET_SECONDS, help="seconds of the windows beside it")
    given = parser.parse_args()
    chosen = [attack for attack in ATTACKS if not given.attack or attack.name in given.attack]

    def measure() -> int:
        report = compare(chosen, given.seconds, given.quiet)
        print("\n".join(report.lines()))
        return 0 if report.kept else 1

    say(f"load before: {os.getloadavg()[0]:.2f}")
    return exit_code_of(measure)


if __name__ == "__main__":
    sys.exit(main())
