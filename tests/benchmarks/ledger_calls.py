"""What the ledger asks of Redis: commands and CPU of a delivery, and the longest call of each script.

    python -m tests.benchmarks.ledger_calls [--jobs 1000000] [--lanes 100000] [--beside CHECKOUT]

A delivery is accepted, loaded, opened, claimed and settled in batches of 50, as in a busy fleet: on one lane, and with
a lane for each job. With `--beside` another checkout of this project does the same in turn, so that the ratio of both
is of one run. The second part fills a ledger with due jobs and calls each script at its worst size. The
times are those of the CPU, so that other programs on the machine do not count. In the end, many keys and a large index
expire at one moment.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from config.observable_events import load_catalogue
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.varied_orders import VariedOrders
from tests.ledger.expiries import Expiry, longest_expiries
from tests.ledger.inspection import main_thread_cpu
from tests.ledger.planting import load_scripts, plant_over_lanes
from tests.ledger.scene import settlement
from tests.ledger.script_costs import ScriptCosts
from tests.samples import SCOPE, an_integration
from worker.domain.claim import Claim
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerPolicy, Verdict
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import JOBS_PER_CALL, MAX_IDS_PER_MESSAGE, MAX_JOBS_PER_CALL

#: The scripts of a delivery.
STEPS = ("accept", "load", "open", "claim", "settle", "forget")
#: The aims of a delivery: commands, and the share of the CPU that it took before.
MOST_COMMANDS, MOST_CPU = 25, 0.6
#: No call may block Redis for longer (ms, the median).
LONGEST_MS = 10.0
#: As deploy/redis.conf has it, but without a file.
SERVER = {"appendonly": "no", "lazyfree-lazy-expire": "yes", "hz": "100"}
_ROUNDS = 5
_REPEATS = 7


async def _opened(url: str, **policy: Any) -> Ledger:
    ledger = Ledger(url, LedgerPolicy(**policy))
    await ledger.open()
    await load_scripts(ledger)
    return ledger


def _events(count: int) -> list[Event]:
    orders, rules = (
        VariedOrders(SCOPE.store_id or "", int.from_bytes(os.urandom(4), "big")),
        EventRules(load_catalogue()),
    )
    found = [parse_event(orders.event(), rules) for _ in range(count)]
    return [each for each in found if isinstance(each, Event)]


async def _store(ledger: Ledger, events: Sequence[Event]) -> list[StoredEvent]:
    await ledger.inbox.accept(events)
    return list((await ledger.inbox.load([each.ref for each in events])).events)


async def _deliver(ledger: Ledger, lanes: Sequence[str], batches: int) -> None:
    ways = cycle(lanes)
    for _ in range(batches):
        stored = await _store(ledger, _events(JOBS_PER_CALL))
        targets = list(islice(ways, len(stored)))
        pairs = zip(stored, targets, strict=True)
        await ledger.jobs.open([(s, [Opening(job_id(s.ref, lane), lane)], True) for s, lane in pairs], 0)
        claims = (await ledger.jobs.claim(list(dict.fromkeys(targets)), JOBS_PER_CALL)).claims
        assert len(claims) == JOBS_PER_CALL, len(claims)
        await ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED, healthy=True) for each in claims])
    if hasattr(ledger.fleet, "forget"):
        while await ledger.fleet.forget():
            pass


async def deliveries(url: str, batches: int) -> dict[str, Any]:
    """Return commands of each step and microseconds of scripts for a delivery, by the number of lanes of a batch."""
    found: dict[str, Any] = {}
    for count in (1, JOBS_PER_CALL):
        ledger = await _opened(url, log_cap=1_000_000, event_retention=1)
        lanes = [str(uuid4()) for _ in range(count)]
        for lane in lanes:
            await ledger.integrations.put(an_integration(lane))
        await _deliver(ledger, lanes, 2)
        calls = ScriptCosts(ledger)
        with calls.counted():
            await _deliver(ledger, lanes, 2)
        before = await main_thread_cpu(ledger)
        await _deliver(ledger, lanes, batches)
        found[str(count)] = {
            "commands": {step: calls.commands[step] / (2 * JOBS_PER_CALL) for step in STEPS},
            "cpu": (await main_thread_cpu(ledger) - before) * 1e6 / (batches * JOBS_PER_CALL),
        }
        await ledger.close()
    return found


def _print_deliveries(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> None:
    for lanes in ours[0]:
        commands = ours[-1][lanes]["commands"]
        total = sum(commands.values())
        print(f"a delivery, {JOBS_PER_CALL} in a batch, lanes of a batch: {lanes}")
        print("  commands: " + ", ".join(f"{step} {n:.2f}" for step, n in commands.items()) + f"; all {total:.1f}")
        print(f"  aim at most {MOST_COMMANDS}: {'reached' if total <= MOST_COMMANDS else 'MISSED'}")
        print(f"  CPU of Redis: {median(each[lanes]['cpu'] for each in ours):.1f} µs")
        if theirs:
            before = theirs[-1][lanes]["commands"]
            ratios = [a[lanes]["cpu"] / b[lanes]["cpu"] for a, b in zip(ours, theirs, strict=True)]
            print(f"  beside: {sum(before.values()):.1f} commands, {median(b[lanes]['cpu'] for b in theirs):.1f} µs")
            share = median(ratios)
            verdict = "reached" if share <= MOST_CPU else "MISSED"
            print(f"  CPU: {share:.2f} of it ({min(ratios):.2f} to {max(ratios):.2f}); aim {MOST_CPU}: {verdict}")


async def worst_calls(url: str, jobs: int, lanes: int) -> ScriptCosts:
    """Return the time of each script's calls at their worst size, beside `jobs` due jobs on `lanes` lanes."""
    ledger = await _opened(url, lane_backlog=10_000_000, log_cap=100_000)
    calls = ScriptCosts(ledger)
    await plant_over_lanes(ledger, jobs, lanes)
    print(f"planted {jobs:,} due jobs on {lanes:,} lanes", file=sys.stderr)
    targets = [f"wide-{n}" for n in range(MAX_JOBS_PER_CALL)]
    for lane in targets:
        await ledger.integrations.put(an_integration(lane))
    with calls.counted():
        for turn in range(_REPEATS):
            await _at_worst(ledger, targets, turn)
    await ledger.close()
    return calls


async def _at_worst(ledger: Ledger, lanes: list[str], turn: int) -> None:
    large = [_large(each) for each in _events(MAX_JOBS_PER_CALL)]
    for events in (large, _events(MAX_JOBS_PER_CALL)):
        stored = await _store(ledger, events)
        opened = await ledger.jobs.open(
            [(each, [Opening(job_id(each.ref, lane), lane)], True) for each, lane in zip(stored, lanes, strict=True)],
            MAX_JOBS_PER_CALL // 2,
        )
        held = [*opened.claims, *(await ledger.jobs.claim(lanes, MAX_JOBS_PER_CALL)).claims]
        await ledger.jobs.release(held[: MAX_JOBS_PER_CALL // 2])
        seized = await ledger.fleet.seize([each.job_id for each in held[-JOBS_PER_CALL:]])
        await _settle_all(ledger, lanes, [*held, *seized])
    await _store(ledger, _events(MAX_IDS_PER_MESSAGE))
    (one,) = await _store(ledger, _events(1))
    wide = [Opening(job_id(one.ref, lane), lane) for lane in lanes]
    opened = await ledger.jobs.open([(one, wide, True)], MAX_JOBS_PER_CALL)
    await _settle_all(ledger, lanes, opened.claims)
    await ledger.redelivery.redeliver([each.job_id for each in wide])
    await _settle_all(ledger, lanes)
    await ledger.fleet.sweep()
    await ledger.fleet.expire()
    if hasattr(ledger.fleet, "forget"):
        await ledger.fleet.forget()
    await ledger.totals.sample(0.001)
    await ledger.totals.release()
    await ledger.jobs.of_integration(lanes[0], 0, 100)
    await ledger.jobs.of_integration("lane-0", 90, 100)
    await ledger.logs.of_scope(SCOPE, 0, 100)
    await ledger.events.show(one.ref, 0, 100)
    await ledger.integrations.put(an_integration("lane-0", name=f"again {turn}"))


async def _settle_all(ledger: Ledger, lanes: Sequence[str], held: Sequence[Claim] = ()) -> None:
    """Give back what is held, and settle what can be claimed: JOBS_PER_CALL a call, each on a lane of its own."""
    for start in range(0, len(held), MAX_JOBS_PER_CALL):
        await ledger.jobs.release(held[start : start + MAX_JOBS_PER_CALL])
    while claims := (await ledger.jobs.claim(lanes, JOBS_PER_CALL)).claims:
        await ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED, healthy=True) for each in claims])


def _large(event: Event) -> Event:
    """Return the event with 40 KiB of content: 200 of them are 8 MB."""
    filling = b",".join(_raw for _raw in (b'"%s"' % uuid4().hex.encode() for _ in range(1_150)))
    data = event.data[:-1] + b',"filling":[' + filling + b"]}"
    return Event(
        event.id, event.type, event.scope, event.raw[:-1] + b',"filling":[' + filling + b"]}", data, None, None, None
    )


def _print_worst(calls: ScriptCosts) -> bool:
    reached = True
    print(f"{'script':<22}{'calls':>7}{'median ms':>12}{'longest ms':>12}")
    for name, times in sorted(calls.times.items(), key=lambda each: -max(each[1])):
        # A script's worst size is what counts: the calls of at least half of its longest time.
        worst = [each for each in times if each >= max(times) / 2]
        reached = reached and median(worst) / 1e3 <= LONGEST_MS
        print(f"{name:<22}{len(times):>7}{median(worst) / 1e3:>12.2f}{max(times) / 1e3:>12.2f}")
    print(
        f"aim: no median of the calls at their worst size above {LONGEST_MS:g} ms: {'reached' if reached else 'MISSED'}"
    )
    return reached


def _print_expiries(expiries: Sequence[Expiry]) -> bool:
    reached = all(each.longest <= LONGEST_MS for each in expiries)
    for each in expiries:
        print(f"expiry of {each.name}: Redis stood still for {each.longest:g} ms at most")
    print(f"aim: no expiry above {LONGEST_MS:g} ms: {'reached' if reached else 'MISSED'}")
    return reached


def _on_redis(work: Callable[[str], Coroutine[Any, Any, Any]]) -> Any:
    with TemporaryDirectory(prefix="edw-bench-", ignore_cleanup_errors=True) as folder:
        redis_server = PrivateRedis(Path(folder) / "c", "everysec", **SERVER)
        try:
            redis_server.start()
            return asyncio.run(work(redis_server.url))
        finally:
            redis_server.program.stop()


def _round(checkout: Path, batches: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.ledger_calls", "--one-round", "--batches", str(batches)]
    found: dict[str, Any] = json.loads(
        subprocess.run(
            command, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, check=True, stdout=subprocess.PIPE
        ).stdout
    )
    return found


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ledger_calls", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--lanes", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--one-round", action="store_true")
    given = parser.parse_args()
    if given.one_round:
        print(json.dumps(_on_redis(lambda url: deliveries(url, given.batches))))
        return 0
    ours, theirs = [], []
    for _ in range(given.rounds):
        ours.append(_round(Path.cwd(), given.batches))
        if given.beside:
            theirs.append(_round(given.beside, given.batches))
    _print_deliveries(ours, theirs)
    if not given.jobs:
        return 0
    reached = _print_worst(_on_redis(lambda url: worst_calls(url, given.jobs, given.lanes)))
    return 0 if _print_expiries(_on_redis(longest_expiries)) and reached else 1


if __name__ == "__main__":
    sys.exit(main())
