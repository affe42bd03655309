"""The measurement: a quiet window, an attack, a quiet window, the next attack, and so on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.benchmarks.alone import say
from tests.benchmarks.attacks.catalogue import Attack
from tests.benchmarks.attacks.report import Finding, Report
from tests.benchmarks.attacks.stage import Stage, staged, watched
from tests.benchmarks.attacks.victim import Window

#: Windows before the first that counts (seconds): connections are opened, and code is imported.
LEAD_SECONDS = 3.0


def compare(attacks: Sequence[Attack], seconds: float, quiet_seconds: float) -> Report:
    """Measure. Raises DeliveriesLost and ProcessEnded."""
    with TemporaryDirectory(prefix="edw-attacks-", ignore_cleanup_errors=True) as name, staged(Path(name)) as stage:
        stage.victim.trade(LEAD_SECONDS)
        quiet = stage.victim.trade(quiet_seconds)
        found = []
        for number, attack in enumerate(attacks):
            say(f"attack {number + 1} of {len(attacks)}: {attack.name}")
            suffered = _suffer(stage, attack, seconds)
            stage.settle()
            before, quiet = quiet, stage.victim.trade(quiet_seconds)
            # A machine that grows slower does so on both sides of an attack.
            found.append(suffered({way: before[way] + quiet[way] for way in quiet}))
            say(found[-1].line)
    return Report(seconds, quiet_seconds, found)


def _suffer(stage: Stage, attack: Attack, seconds: float) -> Callable[[Window], Finding]:
    """Have one attack run; answer what makes its finding of the quiet windows beside it."""
    busy = {name: program.cpu_seconds() for name, program in stage.processes.items()}
    began = monotonic()
    with watched(stage.processes) as memory:
        stage.attacker.begin(attack.name, seconds)
        attacked = stage.victim.trade(seconds)
        lasted = monotonic() - began
        busy = {name: (each.cpu_seconds() - busy[name]) / lasted for name, each in stage.processes.items()}
        tally = stage.attacker.end(seconds)
    stage.check()
    return lambda quiet: Finding(attack.name, attack.pace, quiet, attacked, memory, busy, tally)
