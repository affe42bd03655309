"""Reads every key of a ledger, as a stranger to the code that wrote them, and says what does not add up."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.ledger import raw
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger
from worker.ledger.events.wire_event import first_job_of, stored_of
from worker.ledger.lanes.log_records import decoded_log

#: A lane at its cap is looked at again within so long (ms; FULL_LANE_RECHECK of lane_index.lua).
RECHECK = 5_000

#: What has no TTL, whether it is owed or over: sweeps forget it.
_WITHOUT_TTL = ("job:", "jobs:", "event:", "events:", "ended", "cut")

#: What a job's record leaves out.
_UNSAID = {"owner": "", "base": "0", "epoch": "0", "lost": "0", "reason": ""}

#: What a due job takes beside its event's record (bytes; JOB_BYTES of due_jobs.lua).
JOB_BYTES = 1_100

Token = tuple[str, int]


@dataclass(frozen=True)
class LedgerContents:
    """A ledger's keys, without their prefix, at one moment. TTLs are milliseconds, -1 for none."""

    now: int
    hashes: dict[str, dict[str, str]]
    sets: dict[str, set[str]]
    scores: dict[str, dict[str, float]]
    lists: dict[str, list[str]]
    strings: dict[str, bytes]
    ttls: dict[str, int]
    #: The cap of each lane (EDW_LANE_CAP).
    lane_cap: int
    jobs: dict[str, dict[str, str]] = field(init=False)
    counters: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jobs", {job: _UNSAID | row for job, row in self._named("job:", self.hashes)})
        counts = self.hashes.get("counters", {})
        object.__setattr__(self, "counters", Counter({name: int(value) for name, value in counts.items()}))

    @classmethod
    async def read(cls, ledger: Ledger) -> "LedgerContents":
        """Everything that the ledger has."""
        client, prefix = raw.client(ledger), raw.prefix(ledger)
        names = [name.decode() for name in await client.execute_command("KEYS", f"{prefix}*")]
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.type(name)
            pipe.pttl(name)
        reported = await pipe.execute() if names else []
        kinds = [kind.decode() for kind in reported[0::2]]
        for name, kind in zip(names, kinds, strict=True):
            match kind:
                case "hash":
                    pipe.hgetall(name)
                case "set":
                    pipe.smembers(name)
                case "zset":
                    pipe.zrange(name, 0, -1, withscores=True)
                case "list":
                    pipe.lrange(name, 0, -1)
                case _:
                    pipe.get(name)
        values = await pipe.execute() if names else []
        found = cls(await raw.now(ledger), {}, {}, {}, {}, {}, {}, ledger.policy.lane_cap)
        for name, kind, ttl, value in zip(names, kinds, reported[1::2], values, strict=True):
            found._put(name.removeprefix(prefix), kind, value)
            found.ttls[name.removeprefix(prefix)] = ttl
        for passing in ("floor", "offset"):
            # The time that the ledger noted last: to read it changes it.
            found.hashes.get("meta", {}).pop(passing, None)
        found.__post_init__()
        return found

    def _put(self, name: str, kind: str, value: Any) -> None:
        match kind:
            case "hash":
                self.hashes[name] = {k.decode(): v.decode() for k, v in value.items()}
            case "set":
                # Digests of known_ids.lua are bytes.
                self.sets[name] = {each.decode(errors="backslashreplace") for each in value}
            case "zset":
                self.scores[name] = {each.decode(): score for each, score in value}
            case "list":
                self.lists[name] = [each.decode() for each in value]
            case _:
                self.strings[name] = value

    @staticmethod
    def _named(kind: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((key.removeprefix(kind), value) for key, value in table.items() if key.startswith(kind))

    @property
    def pending(self) -> set[str]:
        """The jobs that are owed."""
        return set(self.scores.get("pending", {}))

    @property
    def tables(self) -> tuple[object, ...]:
        """All that does not pass with time, to be compared."""
        return self.hashes, self.scores, self.sets, self.lists, self.strings

    @property
    def event_ids(self) -> dict[str, str]:
        """The id that its producer gave to each event, by the ledger's name for it."""
        return {ref: each.event.id for ref, each in self.events.items()}

    @property
    def events(self) -> dict[str, StoredEvent]:
        """Every event that is kept, by the ledger's name for it."""
        records = {ref: record for ref, record in self._named("event:", self.strings) if ":" not in ref}
        stored = {ref: stored_of(ref, record) for ref, record in records.items()}
        return {ref: each for ref, each in stored.items() if each is not None}

    def jobs_of(self, ref: str) -> list[str]:
        """The jobs that the list of an event names."""
        listed = first_job_of(self.strings.get(f"event:{ref}", b""))
        listed += self.strings.get(f"event:{ref}:jobs", b"").decode()
        return [listed[at : at + 36] for at in range(0, len(listed), 36)]

    @property
    def logs(self) -> list[IntegrationLog]:
        """Every log that is kept."""
        return [decoded_log(member, record) for member, record in self._named("log:", self.strings)]

    def of_scope(self, scope: Scope) -> tuple[object, ...]:
        """What a store may call its own: every record, the indexes of the store, and the inbox."""
        records = ("integration:", "job:", "event:")
        return (
            {name: row for name, row in self.hashes.items() if name.startswith(records)},
            {name: row for name, row in self.scores.items() if name.endswith(scope.key) or f"{scope.key}:" in name},
            {name: row for name, row in self.lists.items() if name.endswith(scope.key)},
            self.strings,
            self.scores.get("inbox"),
        )

    def state(self, job: str) -> tuple[str, str]:
        """A job's state, and the reason for it."""
        return self.jobs[job]["state"], self.jobs[job]["reason"]

    def problems(self, outstanding: Collection[Token] = ()) -> list[str]:
        """All that does not add up. `outstanding`: attempts that somebody still carries out, and will report."""
        return [
            *self._balance(),
            *self._places(),
            *self._leases(),
            *self._caps(),
            *self._index(),
            *self._sizes(),
            *self._lives(),
            *self._indexes(),
            *self._logs(set(outstanding)),
        ]

    def _balance(self) -> Iterator[str]:
        """Invariant 1."""
        count = self.counters
        ended = sum(count[each] for each in ("unmatched", "filtered", "matched", "set_aside"))
        events = len(self.scores.get("inbox", {})) + ended
        if count["accepted"] != events:
            yield f"{count['accepted']} events accepted, {events} accounted for"
        jobs = count["succeeded"] + count["failed"] + count["cancelled"] + len(self.pending)
        if count["opened"] + count["reopened"] != jobs:
            yield f"{count['opened']} + {count['reopened']} jobs opened, {jobs} accounted for"
        issued = sum(int(job["attempts"]) for job in self.jobs.values())
        # Retention takes the attempts of a job along.
        if count["attempts"] < issued or (count["opened"] == len(self.jobs) and count["attempts"] != issued):
            yield f"{count['attempts']} attempts counted, {issued} issued"
        # Jobs that were reopened may have ended more than once, and so the states are the least of the counts.
        for state, found in Counter(job["state"] for job in self.jobs.values()).items():
            if state != "pending" and count[state] < found:
                yield f"{found} jobs {state}, {count[state]} counted"

    def _places(self) -> Iterator[str]:
        """Invariant 6: a pending job is either due or leased, of its own lane."""
        due = Counter(
            (name.removesuffix(":due"), job)
            for name, members in self._named("lane:", self.scores)
            if name.endswith(":due")
            for job in members
        )
        leased = Counter((lane, job) for lane, members in self._leased() for job in members)
        expected = {(self.jobs[job]["lane"], job) for job in self.pending if job in self.jobs}
        for place, times in (due + leased).items():
            if place not in expected:
                yield f"{place} is in a lane and not pending there"
            if times > 1:
                yield f"{place} is due and leased"
        for place in expected - set(due) - set(leased):
            yield f"{place} is pending and nowhere"
        for job, row in self.jobs.items():
            if (row["state"] == "pending") != (job in self.pending):
                yield f"job {job} is {row['state']}, and {'' if job in self.pending else 'not '}on the pending list"
        for job in self.pending - set(self.jobs):
            yield f"job {job} is pending and has no record"

    def _leases(self) -> Iterator[str]:
        """Invariant 2: what is leased has one owner, who is known, and whom the job names."""
        holders: dict[str, list[str]] = {}
        for name, members in self._named("owner:", self.sets):
            owner = name.removesuffix(":leases")
            if owner not in self.scores.get("owners", {}):
                yield f"{owner} has leases and is not among the owners"
            for job in members:
                holders.setdefault(job, []).append(owner)
        leased = set().union(*(members for _, members in self._leased()))
        for job in leased | set(holders):
            named = self.jobs.get(job, {}).get("owner", "")
            if holders.get(job) != [named]:
                yield f"job {job} names {named!r} as its owner and is leased to {holders.get(job)}"
            if job not in leased:
                yield f"job {job} is leased to {holders.get(job)} and takes no place of its lane's cap"
        for job, row in self.jobs.items():
            if row.get("owner") and job not in holders:
                yield f"job {job} names an owner who does not have it"

    def _caps(self) -> Iterator[str]:
        for lane, members in self._leased():
            if len(members) > self.lane_cap:
                yield f"lane {lane} has {len(members)} leased, and a cap of {self.lane_cap}"

    def _leased(self) -> Iterator[tuple[str, set[str]]]:
        return (
            (name.removesuffix(":leased"), members)
            for name, members in self._named("lane:", self.sets)
            if name.endswith(":leased")
        )

    def _index(self) -> Iterator[str]:
        """Invariant 6: every lane with due jobs is in the index or held, and no other is."""
        index, held = self.scores.get("lanes", {}), self.sets.get("held", set())
        with_due = {
            name.removesuffix(":due"): min(members.values())
            for name, members in self._named("lane:", self.scores)
            if name.endswith(":due")
        }
        for lane in {*index, *held} - set(with_due):
            yield f"lane {lane} has nothing due and is indexed or held"
        for lane, first in with_due.items():
            policy = self.hashes.get(f"lane:{lane}", {})
            on_hold = policy.get("hold", "") != "" or "scope" not in policy
            if on_hold != (lane in held) or on_hold == (lane in index):
                yield f"lane {lane} is {'' if on_hold else 'not '}on hold; held {lane in held}, indexed {lane in index}"
            if lane in index:
                earliest = max(first, int(policy.get("rest_until", 0)))
                if policy.get("circuit") == "open":
                    earliest = max(earliest, int(policy["circuit_until"]))
                latest = max(earliest, int(policy.get("announced_until", 0)), self.now + RECHECK)
                if rate := float(policy.get("rate", 0)):
                    latest = max(latest, float(policy.get("used_until", 0)) + 1000 / rate)
                if not earliest <= index[lane] <= latest:
                    yield f"lane {lane} wants service at {index[lane]}, not between {earliest} and {latest}"

    def _sizes(self) -> Iterator[str]:
        """A lane knows how many bytes its backlog takes, and the ledger knows the sum."""
        backlogs = {
            name.removesuffix(":due"): sum(int(self.jobs[job]["size"]) + JOB_BYTES for job in due if job in self.jobs)
            for name, due in self._named("lane:", self.scores)
            if name.endswith(":due")
        }
        for lane, policy in self._named("lane:", self.hashes):
            if int(policy.get("bytes", 0)) != backlogs.get(lane, 0):
                yield f"lane {lane} says that {policy.get('bytes')} bytes are due, and {backlogs.get(lane, 0)} are"
        noted = self.scores.get("backlogs", {})
        for lane in {*noted, *backlogs}:
            if f"lane:{lane}" in self.hashes and noted.get(lane, 0) != backlogs.get(lane, 0):
                yield f"the backlog of lane {lane} is {backlogs.get(lane)}, and {noted.get(lane)} is noted"
        if int(self.strings.get("backlog-bytes", 0)) != sum(noted.values()):
            yield f"all backlogs take {sum(noted.values())} bytes; {self.strings.get('backlog-bytes')!r} are noted"

    def _lives(self) -> Iterator[str]:
        """What is over is on the list of what is to be forgotten, and nothing of it has a TTL."""
        inbox, entries = self.scores.get("inbox", {}), {*self.lists.get("ended", []), *self.lists.get("cut", [])}
        ended_alone = {each.rpartition(" ")[2] for each in entries if " " in each}
        owed = Counter(self.jobs[job]["event"] for job in self.pending if job in self.jobs)
        for ref in self.events:
            known = int(self.hashes.get(f"event:{ref}:progress", {}).get("open", 0))
            if known != owed[ref]:
                yield f"event {ref} says that {known} of its jobs are open, and {owed[ref]} are"
            last = {f"+{self._entry(job)}" for job in self.jobs_of(ref) if job in self.jobs}
            is_over = ref not in inbox and not owed[ref]
            if is_over and not (last & entries or ref in ended_alone):
                yield f"event {ref} is over, and will never be forgotten"
        for job, row in self.jobs.items():
            if row["state"] != "pending" and "ended_at" not in row:
                yield f"job {job} is {row['state']} and ended at no time"
            if row["state"] != "pending" and not {self._entry(job), f"+{self._entry(job)}"} & entries:
                yield f"job {job} is {row['state']}, and will never be forgotten"
        lasting = {name: ttl for name, ttl in self.ttls.items() if name.startswith(_WITHOUT_TTL)}
        yield from (f"{name} has a TTL of {ttl} ms" for name, ttl in lasting.items() if ttl != -1)

    def _entry(self, job: str) -> str:
        epoch = int(self.jobs[job].get("epoch", 0))
        return f"{job}:{epoch}" if epoch else job

    def _indexes(self) -> Iterator[str]:
        """An event knows its jobs, and so does their integration."""
        jobs_of: dict[str, list[str]] = defaultdict(list)
        for job, row in self.jobs.items():
            jobs_of[row["event"]].append(job)
            if job not in self.scores.get(f"jobs:{row['lane']}", {}):
                yield f"job {job} is not among its integration's"
        for ref, each in self.events.items():
            # Retention may have forgotten some.
            if len(set(self.jobs_of(ref))) < len(self.jobs_of(ref)) or set(jobs_of[ref]) - set(self.jobs_of(ref)):
                yield f"event {ref} does not know its jobs"
            if ref not in self.scores.get(f"events:{each.event.scope.key}", {}):
                yield f"event {ref} is not among its scope's"

    def _indexes_of_logs(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name, members in self._named("logs:", self.lists):
            for each in members:
                found[each].append(name)
        return found

    def _logs(self, outstanding: set[Token]) -> Iterator[str]:
        """Invariant 3: attempts 1, 2, 3 …, a log each, but for the one in flight."""
        logs = dict(self._named("log:", self.strings))
        known, indexes = set(), self._indexes_of_logs()
        for job, row in self.jobs.items():
            issued = int(row["attempts"])
            for attempt in range(1, issued + 1):
                in_flight = row.get("owner", "") != "" and attempt == issued
                member = f"{job}:{attempt}"
                known.add(member)
                if (member in logs) == in_flight and (job, attempt) not in outstanding:
                    yield f"attempt {attempt} of {issued} of job {job} has {'a' if member in logs else 'no'} log"
        for member, stored in logs.items():
            log = decoded_log(member, stored)
            if member not in known and log.job_id in self.jobs:
                yield f"{member} is logged and was never issued"
            if self.ttls[f"log:{member}"] < 0:
                yield f"log {member} is kept for ever"
            indexed = indexes[member]
            kinds = Counter(name.split(":")[0] for name in indexed)
            if f"integration:{log.integration_id}" not in indexed:
                yield f"log {member} is not among its integration's"
            if kinds != Counter({"store": 1, "integration": 1} | ({} if log.succeeded else {"failures": 1})):
                yield f"log {member} (succeeded: {log.succeeded}) is indexed by {indexed}"
