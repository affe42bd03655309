"""Changes what the ledger has stored, as time, retention or an accident would. Each function says what happens."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from struct import pack, unpack

from tests.ledger import raw
from worker.domain.event import Event, Ingress, Scope
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger
from worker.ledger.events.wire_event import raw_of, stored_of, written

# Retention


async def forget_integration(ledger: Ledger, integration_id: str) -> None:
    """Drop an integration's record; the indexes still name it."""
    await raw.command(ledger, "DEL", f"integration:{integration_id}")


async def forget_event(ledger: Ledger, event_ref: str) -> None:
    """Drop an event, as retention does."""
    for name in (f"event:{event_ref}", f"event:{event_ref}:jobs", f"event:{event_ref}:progress"):
        await raw.command(ledger, "DEL", name)


async def forget_job(ledger: Ledger, job_id: str) -> None:
    """Drop an ended job, with what the counters and its event know of it; its logs and the indexes stay."""
    row = await raw.client(ledger).hgetall(raw.key(ledger, f"job:{job_id}"))
    state, attempts, event = row[b"state"].decode(), int(row[b"attempts"]), row[b"event"].decode()
    assert state != "pending", f"job {job_id} is pending, and no retention would drop it"
    await raw.command(ledger, "DEL", f"job:{job_id}")
    listed = await ledger.outbox.jobs_of(event)
    await list_jobs(ledger, event, [each for each in listed if each != job_id])
    await raw.command(ledger, "ZREM", f"jobs:{row[b'lane'].decode()}", job_id)
    for counter, count in ((state, 1), ("opened", 1), ("attempts", attempts)):
        await raw.command(ledger, "HINCRBY", "counters", counter, -count)


async def list_jobs(ledger: Ledger, event_ref: str, jobs: Sequence[str]) -> None:
    """Have the list of an event name these jobs."""
    first = jobs[0].encode() if jobs else bytes(36)
    await raw.command(ledger, "SETRANGE", f"event:{event_ref}", 26, first)
    await raw.command(ledger, "SET", f"event:{event_ref}:jobs", "".join(jobs[1:]))


async def forget_log(ledger: Ledger, job_id: str, attempt: int) -> None:
    """Drop the log of an attempt; the indexes still name it."""
    await raw.command(ledger, "DEL", f"log:{job_id}:{attempt}")


@asynccontextmanager
async def without_log(ledger: Ledger, job_id: str, attempt: int) -> AsyncIterator[None]:
    """Drop the log of an attempt, and put it back in the end."""
    kept = await raw.command(ledger, "GETDEL", f"log:{job_id}:{attempt}")
    assert kept is not None, f"attempt {attempt} of job {job_id} has no log"
    yield
    await raw.command(ledger, "SET", f"log:{job_id}:{attempt}", kept, "PX", ledger.policy.log_retention)


async def expire_token(ledger: Ledger, token_id: str) -> None:
    """Have a token's lifetime end now."""
    await raw.command(ledger, "PEXPIRE", f"token:{token_id}", 1)


# Times


async def date_integration(ledger: Ledger, integration_id: str, created_at: int, updated_at: int) -> None:
    """Move the times of an integration (ms since 1970)."""
    await raw.command(
        ledger, "HSET", f"integration:{integration_id}", "created_at", created_at, "updated_at", updated_at
    )


async def list_integrations_in_order(ledger: Ledger, scope: Scope, oldest_first: Sequence[str]) -> None:
    """Have a store's integrations listed as if each was created a moment after the one before it."""
    for age, each in enumerate(oldest_first, 1):
        await raw.command(ledger, "ZADD", f"scope:{scope.key}:list", age, each)


async def date_events(ledger: Ledger, scope: Scope, accepted_at: Mapping[str, int]) -> None:
    """Move when events were accepted (ms since 1970, by event), for those who look for them by time."""
    for event_ref, moment in accepted_at.items():
        await raw.command(ledger, "ZADD", f"events:{scope.key}", "XX", moment, event_ref)


async def age_event(ledger: Ledger, event_ref: str, milliseconds: int) -> None:
    """Have an event of the inbox wait for longer."""
    record = await raw.command(ledger, "GETRANGE", f"event:{event_ref}", 0, 7)
    accepted_at = unpack(">d", record)[0] - milliseconds
    await raw.command(ledger, "SETRANGE", f"event:{event_ref}", 0, pack(">d", accepted_at))


async def garble_event(ledger: Ledger, event_ref: str) -> bytes:
    """Damage the JSON of an event, so that nobody can read it; return what is left of it."""
    record = await raw.command(ledger, "GET", f"event:{event_ref}")
    left = b"{broken" + raw_of(record)[len(b"{broken") :]
    stored = stored_of(event_ref, record)
    assert stored is not None
    broken = replace(stored.event, raw=left)
    await _rewrite_event(ledger, record, replace(stored, event=broken))
    return left


async def set_event_minor(ledger: Ledger, event_ref: str, minor: int) -> None:
    """Have an event need a build of that minor version."""
    record = await raw.command(ledger, "GET", f"event:{event_ref}")
    stored = stored_of(event_ref, record)
    assert stored is not None
    changed = replace(stored.event, minor=minor)
    await _rewrite_event(ledger, record, replace(stored, event=changed))


async def _rewrite_event(ledger: Ledger, record: bytes, changed: StoredEvent) -> None:
    """Write an event with its time and its first job as the record has them."""
    fresh = record[:8] + written(changed.event, Ingress(changed.ingress))
    await raw.command(ledger, "SET", f"event:{changed.ref}", fresh[:26] + record[26:62] + fresh[62:])


async def date_jobs(ledger: Ledger, integration_id: str, opened_at: Mapping[str, int]) -> None:
    """Move when jobs of an integration were opened (ms since 1970, by job)."""
    for job_id, moment in opened_at.items():
        await raw.command(ledger, "ZADD", f"jobs:{integration_id}", "XX", moment, job_id)


# Lanes and jobs


async def age_ended_jobs(ledger: Ledger, milliseconds: int) -> None:
    """Have the jobs that wait to be archived have ended that much earlier."""
    for entry in await raw.command(ledger, "LRANGE", "ended", 0, -1):
        await raw.command(ledger, "HINCRBY", f"job:{entry.decode().lstrip('+')}", "ended_at", -milliseconds)


async def put_circuit(ledger: Ledger, integration_id: str, state: str, until: int | None = None) -> None:
    """Put an integration's circuit into a state: `open` until a moment (ms since 1970), or `half`."""
    await raw.command(ledger, "HSET", f"lane:{integration_id}", "circuit", state)
    if until is not None:
        await raw.command(ledger, "HSET", f"lane:{integration_id}", "circuit_until", until)


async def put_failing(ledger: Ledger, integration_id: str, since: int, attempts: int) -> None:
    """Have a receiver only fail since a moment (ms since 1970), so many times."""
    await raw.command(ledger, "HSET", f"lane:{integration_id}", "failing_since", since, "failing_attempts", attempts)


async def put_losses(ledger: Ledger, job_id: str, losses: int) -> None:
    """Have a job lose so many attempts with their workers."""
    await raw.command(ledger, "HSET", f"job:{job_id}", "lost", losses)


async def lose_due_job(ledger: Ledger, integration_id: str, job_id: str) -> None:
    """Take a pending job out of its lane, so that no sweep finds it."""
    await raw.command(ledger, "ZREM", f"lane:{integration_id}:due", job_id)


async def forget_backlog(ledger: Ledger, lane: str) -> None:
    """Forget that a lane has a backlog; its due jobs stay."""
    taken = int(await raw.command(ledger, "HGET", f"lane:{lane}", "bytes") or 0)
    await raw.command(ledger, "HSET", f"lane:{lane}", "bytes", 0)
    await raw.command(ledger, "ZREM", "backlogs", lane)
    await raw.command(ledger, "DECRBY", "backlog-bytes", taken)


async def cancel_for_overflow(ledger: Ledger, job_id: str) -> None:
    """Cancel the only due job of a lane, as a lane does that overflows."""
    row = {name.decode(): value.decode() for name, value in (await _job(ledger, job_id)).items()}
    lane, event = row["lane"], row["event"]
    await raw.command(ledger, "ZREM", f"lane:{lane}:due", job_id)
    await forget_backlog(ledger, lane)
    await raw.command(ledger, "ZREM", "lanes", lane)
    await raw.command(ledger, "ZREM", "pending", job_id)
    ended = ("state", "cancelled", "reason", "lane_overflow", "ended_at", await raw.now(ledger))
    await raw.command(ledger, "HSET", f"job:{job_id}", *ended)
    await raw.command(ledger, "HINCRBY", f"event:{event}:progress", "open", -1)
    await raw.command(ledger, "RPUSH", "ended", f"+{job_id}")
    await raw.command(ledger, "HINCRBY", "counters", "cancelled", 1)


async def _job(ledger: Ledger, job_id: str) -> Mapping[bytes, bytes]:
    found: Mapping[bytes, bytes] = await raw.client(ledger).hgetall(raw.key(ledger, f"job:{job_id}"))
    assert found, f"there is no job {job_id}"
    return found


# The ledger as a whole


async def put_format(ledger: Ledger, number: int) -> None:
    """Have the ledger written by the version that has this format."""
    await raw.command(ledger, "HSET", "meta", "format", number)


async def set_format(ledger: Ledger, written: int) -> None:
    """Mark the ledger with a format, as another version would."""
    await raw.command(ledger, "HSET", "meta", "format", written)


async def leap(ledger: Ledger, milliseconds: int) -> None:
    """Let Redis's clock have leapt forward by so much, as the ledger sees it."""
    floor = int(await raw.command(ledger, "HGET", "meta", "floor"))
    offset = int(await raw.command(ledger, "HGET", "meta", "offset"))
    changes = ("floor", floor - milliseconds, "offset", offset, "watch", "")
    await raw.command(ledger, "HSET", "meta", *changes)


async def end_hold(ledger: Ledger) -> None:
    """End the hold of a leap that was measured as wrong: ledger time goes on without it."""
    await raw.command(ledger, "HSET", "meta", "held", 0)


async def join(ledger: Ledger, minor: int, owner: str) -> None:
    """Announce a worker of another minor version, for long."""
    await raw.command(ledger, "ZADD", "members", 9e15, f"{minor} worker {owner}")


async def move_resource_ahead(ledger: Ledger, event: Event, milliseconds: int) -> int:
    """Have the last event of an event's resource be accepted so much later than now; return its sequence."""
    key = f"events:{event.resource_key}"
    listed = await raw.command(ledger, "GET", key)
    time = float(unpack(">d", listed[:8])[0]) + milliseconds
    await raw.command(ledger, "SET", key, pack(">d", time) + listed[8:])
    return round(time * 1000)
