"""The attacker's process. It listens as a customer's receivers do, says its ports, and then obeys lines:

    target JSON            a Target
    attack SECONDS NAME    runs one; answers with JSON what came of it, and how often

It is the last to be given a processor, so that what its own work costs is not taken for the server's.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import uvloop

from tests.benchmarks.attacks import hostile_broker, hostile_receiver
from tests.benchmarks.attacks.catalogue import ATTACKS
from tests.benchmarks.attacks.clients import Tally
from tests.benchmarks.attacks.target import Hostile, Target
from tests.benchmarks.processes import START_SECONDS, Servant

NICENESS = 19


class Attacker:
    """The process, as the harness sees it."""

    def __init__(self, log: Path) -> None:
        self.program = Servant("the attacker", "tests.benchmarks.attacks.attacker", log)

    def start(self) -> Hostile:
        """Wait until its receivers listen; return their ports."""
        return msgspec.json.decode(self.program.expect(), type=Hostile)

    def aim(self, target: Target) -> None:
        """Say whom to attack."""
        self.program.write_line(f"target {msgspec.json.encode(target).decode()}")

    def begin(self, name: str, seconds: float) -> None:
        """Begin an attack."""
        self.program.write_line(f"attack {seconds} {name}")

    def end(self, seconds: float) -> Tally:
        """Wait for the end of an attack that was to take so long."""
        return Tally(msgspec.json.decode(self.program.expect(seconds + START_SECONDS), type=dict[str, int]))


async def _obey() -> None:
    loop, attacks = asyncio.get_running_loop(), {attack.name: attack for attack in ATTACKS}
    hostile = Hostile(receiver=await hostile_receiver.serve(), broker=await hostile_broker.serve())
    _say(msgspec.json.encode(hostile).decode())
    target: Target | None = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.rstrip("\n").split(" ", 2):
            case ["target", *rest]:
                target = msgspec.json.decode(" ".join(rest), type=Target)
            case ["attack", seconds, name] if target is not None:
                tally = await attacks[name].run(target, float(seconds))
                _say(msgspec.json.encode(dict(tally)).decode())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    os.nice(NICENESS)
    uvloop.run(_obey())
