"""What was noted in a run, as values, and how it is written: a JSON object a line."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.schedule import Victim


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that a producer sent; whether it was accepted is not known of one whose producer was killed."""

    id: str
    ingress: str
    type: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a receiver got, and the status that it answered with."""

    event_id: str
    integration: str
    job_id: str
    attempt: int
    status: int

    @property
    def taken(self) -> bool:
        """True where the receiver has the event by it."""
        return self.status < 300


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job of the ledger."""

    id: str
    event_id: str
    integration: str
    state: str
    attempts: int
    #: Attempts that were taken over from a process that was held for dead.
    lost: int


@dataclass(frozen=True, slots=True)
class LogRow:
    """An IntegrationLog."""

    job_id: str
    attempt: int
    succeeded: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Killed:
    """A kill that was carried out, and how many attempts were in flight with its victim."""

    victim: Victim
    in_flight: int


@dataclass(frozen=True, slots=True)
class Records:
    """Everything that is known of a run when it is over."""

    #: The ingresses whose messages may be lost although they were accepted, until they are in the ledger.
    lossy: frozenset[str]
    #: The integrations that observe a type of event.
    observers: Mapping[str, frozenset[str]]
    offers: Sequence[Offer] = ()
    requests: Sequence[Request] = ()
    #: Ids of the events that the ledger knows.
    events: frozenset[str] = frozenset()
    jobs: Sequence[JobRow] = ()
    logs: Sequence[LogRow] = ()
    killed: Sequence[Killed] = ()
    #: Ids of events in messages that the broker holds for a worker that is dead, and will deliver again.
    held: frozenset[str] = frozenset()
    events_balance: int = 0
    jobs_balance: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    #: What the audit of the ledger's keys found, and what went wrong in the run itself.
    audit: Sequence[str] = ()
    accidents: Sequence[str] = ()


class Journal:
    """A file that one process writes and another counts. What was written is there, though its writer be killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, **fields: Any) -> None:
        """Adds a line, in one call of the system."""
        os.write(self._file, msgspec.json.encode(fields) + b"\n")


class Count:
    """How many lines of some files have a mark by now; each line is read once."""

    def __init__(self, paths: Iterable[Path], mark: bytes) -> None:
        self._read = dict.fromkeys(paths, 0)
        self._mark = mark
        self._found = 0

    def now(self) -> int:
        """Reads on."""
        for path, place in self._read.items():
            if path.exists():
                with path.open("rb") as file:
                    file.seek(place)
                    whole = file.read().rpartition(b"\n")[0]
                self._found += whole.count(self._mark)
                self._read[path] = place + len(whole)
        return self._found


ACCEPTED = b'"accepted":true'
TAKEN = b'"status":200'


def read_offers(path: Path, ingress: str) -> list[Offer]:
    """What one ingress's producers noted: `{id, type}` before each event, `{id, accepted}` after it."""
    types: dict[str, str] = {}
    accepted = set()
    for line in _lines(path):
        if "type" in line:
            types[line["id"]] = line["type"]
        else:
            accepted.add(line["id"])
    return [Offer(id_, ingress, type_, id_ in accepted) for id_, type_ in types.items()]


def read_requests(path: Path) -> list[Request]:
    """What the receiver noted."""
    return [Request(**line) for line in _lines(path)]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open("rb") as file:
            yield from map(msgspec.json.decode, file)
