"""How long Redis stands still when many keys, or a large index, run out at one moment."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from tests.ledger import raw
from tests.waiting import eventually
from worker.ledger import Ledger

#: Logs that expire at one moment, and members of one index of logs.
LOGS, MEMBERS = 384_000, 500_000
#: Keys or members of one command.
_AT_ONCE = 1_000
#: All is written within this time, so that nothing expires before (ms).
_LIFETIME_MS = 30_000


@dataclass(frozen=True, slots=True)
class Expiry:
    """What expired, and the longest time for which Redis served nobody meanwhile (ms)."""

    name: str
    longest: float


async def longest_expiries(url: str) -> list[Expiry]:
    """Measure both on an empty Redis, by its own monitor of latencies, which counts whole milliseconds."""
    ledger = Ledger(url)
    await ledger.open()
    await raw.client(ledger).config_set("latency-monitor-threshold", 1)
    found = [
        await _measured(ledger, f"{LOGS:,} logs", _write_logs),
        await _measured(ledger, f"an index of {MEMBERS:,} logs", _write_index),
    ]
    await ledger.close()
    return found


async def _measured(ledger: Ledger, name: str, write: Callable[[Ledger], Awaitable[None]]) -> Expiry:
    client = raw.client(ledger)
    kept = await client.dbsize()
    await write(ledger)
    await client.execute_command("LATENCY", "RESET")

    async def is_over() -> bool:
        return bool(await client.dbsize() <= kept)

    await eventually(is_over, f"{name} expired")
    events = await client.execute_command("LATENCY", "LATEST")
    return Expiry(name, max((float(longest) for event, _, _, longest, *_ in events if b"expire" in event), default=0.0))


async def _write_logs(ledger: Ledger) -> None:
    """Write logs as the ledger has them, which all expire at one moment."""
    client = raw.client(ledger)
    end = await raw.now(ledger) + _LIFETIME_MS
    log = b"[1790000000000" + b',"' + b"x" * 250 + b'"]'
    for _ in range(0, LOGS, _AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for _ in range(_AT_ONCE):
            pipe.execute_command("SET", raw.key(ledger, f"log:{uuid4()}:1"), log, "PXAT", end)
        await pipe.execute()


async def _write_index(ledger: Ledger) -> None:
    for _ in range(0, MEMBERS, _AT_ONCE):
        await raw.command(ledger, "RPUSH", "logs:store:large", *(f"{uuid4()}:1" for _ in range(_AT_ONCE)))
    await raw.command(ledger, "PEXPIRE", "logs:store:large", 1)
