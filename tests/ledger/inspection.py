"""Reads what the ledger has stored, where the ledger itself has no method for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.ledger import raw
from worker.domain.event import Scope
from worker.ledger import Ledger
from worker.ledger.events.wire_event import stored_of

#: The command that ends the monitoring of Redis, and how long it may take to be seen (seconds).
_END, _END_SECONDS = "over", 60.0
#: Keys that one step of a scan looks at, and members of a key that are weighed.
_SCANNED, _SAMPLES = 1_000, 100


async def redis_time(ledger: Ledger) -> int:
    """Return the clock of Redis (ms since 1970)."""
    return await raw.now(ledger)


async def used_memory(ledger: Ledger) -> int:
    """Return what Redis uses (bytes)."""
    return int((await raw.memory(ledger))["used_memory"])


async def stored_memory(ledger: Ledger) -> int:
    """Return what Redis uses without its buffers (bytes): what waits for the disk, and what clients send and get."""
    memory = await raw.memory(ledger)
    return int(memory["used_memory"]) - int(memory["mem_aof_buffer"]) - int(memory["mem_clients_normal"])


async def memory_share(ledger: Ledger) -> float:
    """Return the share of its memory limit that Redis uses."""
    memory = await raw.memory(ledger)
    return float(memory["used_memory"]) / float(memory["maxmemory"])


async def format_of(ledger: Ledger) -> int:
    """Return the format that the ledger was written in; 0 where it was emptied."""
    return int(await raw.command(ledger, "HGET", "meta", "format") or 0)


async def inbox(ledger: Ledger) -> list[str]:
    """Return the events that wait to be observed."""
    return [ref.decode() for ref in await raw.command(ledger, "ZRANGE", "inbox", 0, -1)]


async def trace_contexts(ledger: Ledger, event_refs: Sequence[str]) -> list[str | None]:
    """Return the trace contexts of events."""
    stored = [stored_of(ref, await raw.command(ledger, "GET", f"event:{ref}")) for ref in event_refs]
    traces = [each.event.trace if each else None for each in stored]
    return [each.written if each else None for each in traces]


async def stored_integration(ledger: Ledger, integration_id: str) -> bytes:
    """Return an integration's document as it is stored, with its secrets sealed."""
    return bytes(await raw.command(ledger, "HGET", f"integration:{integration_id}", "doc"))


async def stored_token(ledger: Ledger, token_id: str) -> tuple[str, int]:
    """Return all that is stored of a token, as text, and how long it is kept (ms)."""
    left = await raw.command(ledger, "PTTL", f"token:{token_id}")
    return str(await raw.client(ledger).hgetall(raw.key(ledger, f"token:{token_id}"))), int(left)


async def indexed_integrations(ledger: Ledger, scope: Scope) -> int:
    """Return how many integrations the index of a store names."""
    return int(await raw.command(ledger, "ZCARD", f"scope:{scope.key}:list"))


async def indexed_logs(ledger: Ledger, scope: Scope, integration_id: str) -> tuple[int, int]:
    """Return how many logs the index of a store names, and that of an integration."""
    names = (f"logs:store:{scope.key}", f"logs:integration:{integration_id}")
    of_store, of_integration = [int(await raw.command(ledger, "LLEN", name)) for name in names]
    return of_store, of_integration


async def lease_count(ledger: Ledger, *owners: str) -> int:
    """Return how many attempts are leased to these processes."""
    return sum([int(await raw.command(ledger, "SCARD", f"owner:{each}:leases")) for each in owners])


async def observers(ledger: Ledger) -> set[str]:
    """Return the processes that the ledger lists as observers of events in the inbox."""
    found = [await raw.command(ledger, "HGET", f"event:{ref}:progress", "observers") for ref in await inbox(ledger)]
    return {owner for each in found if each for owner in each.decode().split()}


async def list_readers(ledger: Ledger) -> int:
    """Return how many processes hold messages of the plain queue."""
    return int(await raw.command(ledger, "ZCARD", "takers"))


async def messages_in_hand(ledger: Ledger) -> int:
    """Return how many messages of the plain queue processes have taken and not yet settled."""
    names = await raw.client(ledger).keys(raw.key(ledger, "intake-*"))
    return sum([int(await raw.client(ledger).llen(name)) for name in names])


async def waiting_messages(ledger: Ledger) -> int:
    """Return how many messages wait in the plain queue and in Celery's queue of events, where Redis is the broker."""
    return int(await raw.client(ledger).llen("edw.intake")) + int(await raw.client(ledger).llen("edw.events"))


async def everything(ledger: Ledger) -> bytes:
    """Return all that Redis has in memory, other programs' keys included."""
    client, found = raw.client(ledger), []
    for name in await client.keys("*"):
        kind = await client.type(name)
        read = {
            b"hash": ("HGETALL", name),
            b"zset": ("ZRANGE", name, 0, -1),
            b"string": ("GET", name),
            b"list": ("LRANGE", name, 0, -1),
            b"set": ("SMEMBERS", name),
        }
        found.append(repr((name, await client.execute_command(*read[kind]))))
    return "\n".join(found).encode()


async def key_kinds(ledger: Ledger) -> dict[str, int]:
    """Return the bytes of all keys of each kind: of `event:…`, `event:…:jobs`, `pending` and so on."""
    client, prefix, sizes = raw.client(ledger), raw.prefix(ledger), Counter[str]()
    names = [name async for name in client.scan_iter(f"{prefix}*", count=_SCANNED)]
    for start in range(0, len(names), _SCANNED):
        portion = names[start : start + _SCANNED]
        pipe = client.pipeline(transaction=False)
        for name in portion:
            pipe.execute_command("MEMORY", "USAGE", name, "SAMPLES", _SAMPLES)
        for name, size in zip(portion, await pipe.execute(), strict=True):
            first, *rest = name.decode().removeprefix(prefix).split(":")
            last = rest[-1] if len(rest) > 1 and rest[-1].isalpha() else ""
            sizes[f"{first}:…{':' if last else ''}{last}" if rest else first] += int(size or 0)
    return dict(sizes)


async def commands(ledger: Ledger, call: Callable[[], Awaitable[Any]]) -> int:
    """Return how many commands Redis executes for a call, those inside scripts included."""
    await raw.client(ledger).config_resetstat()
    await call()
    stats = await raw.client(ledger).info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_config|resetstat")


async def main_thread_cpu(ledger: Ledger) -> float:
    """Return the CPU time that Redis's main thread has used so far (seconds), what expires included."""
    used = await raw.client(ledger).info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])


async def script_microseconds(ledger: Ledger) -> int:
    """Return how long scripts have run in Redis so far (microseconds)."""
    return int((await raw.client(ledger).info("commandstats")).get("cmdstat_evalsha", {}).get("usec", 0))


@contextmanager
def script_calls(ledger: Ledger) -> Iterator[list[str]]:
    """Note the name of each script that this process calls meanwhile."""
    names: list[str] = []

    def noting(run: raw.Run) -> raw.Run:
        async def noted(name: str, **arguments: object) -> Any:
            names.append(name)
            return await run(name, **arguments)

        return noted

    with raw.intercepted(ledger, noting):
        yield names


async def hot_observers(ledger: Ledger) -> int:
    """Return how many processes are registered that observe new events at once."""
    return int(await raw.command(ledger, "ZCARD", "observers"))


async def events_for_hot_observers(ledger: Ledger) -> int:
    """Return how many new events wait for such processes."""
    return int(await raw.command(ledger, "LLEN", "observe-next"))


@asynccontextmanager
async def round_trips(ledger: Ledger) -> AsyncIterator[list[str]]:
    """Note each command on keys of the ledger meanwhile, but for those that scripts call."""
    seen: list[str] = []
    async with raw.client(ledger).monitor() as monitor:
        yield seen
        await raw.client(ledger).echo(_END)
        async with asyncio.timeout(_END_SECONDS):
            while (found := await monitor.next_command())["command"] != f"ECHO {_END}":
                if found["client_type"] != "lua" and raw.prefix(ledger) in found["command"]:
                    seen.append(found["command"].split(" ", 1)[0])
