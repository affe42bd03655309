"""How long Redis's one thread runs for a call that opens jobs: 10,000 integrations of one event, in chunks of 100.

tests/integration/ledger/test_costs.py counts the commands of such a call; this measures them. Each chunk is judged by
the best of its runs: a busy machine may take the processor away in the middle of a script.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks.private_redis import PrivateRedis
from tests.ledger.inspection import script_microseconds
from tests.ledger.scene import LedgerScene
from tests.samples import an_integration
from worker.ledger import Ledger

CHUNK = 100
#: Integrations that are registered at once.
_AT_ONCE = 500


async def measure(url: str, integrations: int, runs: int) -> list[int]:
    """Return the microseconds of each chunk's call, the best of its runs."""
    ledger = Ledger(url)
    await ledger.open()
    try:
        return await _measure(ledger, [f"i-{n}" for n in range(integrations)], runs)
    finally:
        await ledger.close()


async def _measure(ledger: Ledger, lanes: list[str], runs: int) -> list[int]:
    for start in range(0, len(lanes), _AT_ONCE):
        puts = (ledger.integrations.put(an_integration(lane)) for lane in lanes[start : start + _AT_ONCE])
        await asyncio.gather(*puts)
    scene = LedgerScene(ledger, lambda: ledger)
    # Redis learns the scripts.
    await scene.open(await scene.publish("first"), lanes[0])
    chunks = [lanes[start : start + CHUNK] for start in range(0, len(lanes), CHUNK)]
    best = [sys.maxsize] * len(chunks)
    for run in range(runs):
        stored = await scene.publish(f"e-{run}")
        for number, chunk in enumerate(chunks):
            before = await script_microseconds(ledger)
            await scene.open(stored, *chunk, room=CHUNK // 2, last=chunk is chunks[-1])
            best[number] = min(best[number], await script_microseconds(ledger) - before)
    return best


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.opening", description=__doc__)
    parser.add_argument("--integrations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=4)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="edw-bench-", ignore_cleanup_errors=True) as folder:
        redis_server = PrivateRedis(Path(folder) / "o", "everysec")
        try:
            redis_server.start()
            found = asyncio.run(measure(redis_server.url, arguments.integrations, arguments.runs))
        finally:
            redis_server.program.stop()
    print(f"{len(found)} calls that open {CHUNK} jobs each: median {median(found):,.0f} µs, longest {max(found):,} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
