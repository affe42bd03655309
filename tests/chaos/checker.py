"""What must hold of a run's records. Pure: each rule answers what breaks it, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

from tests.chaos.records import JobRow, LogRow, Offer, Records, Request

#: What the log of an attempt says whose worker died (worker.delivery.attempt.Lost).
LOST = "worker was lost"
#: Of the things that break a rule, so many are named.
NAMED = 10


@dataclass(frozen=True)
class Check:
    """One look at the records."""

    records: Records

    def problems(self) -> list[str]:
        """All that does not hold; nothing of a good run."""
        rules = (
            self.missing,
            self.strangers,
            self.unlogged,
            self.gaps,
            self.sent_twice,
            self.duplicates,
            self.balance,
            self.idle,
        )
        return list(chain.from_iterable(_shortened(rule()) for rule in rules))

    def missing(self) -> Iterator[str]:
        """What is accepted, or in the ledger, is taken by every integration that observes it."""
        for offer in self._owed:
            for integration in self._observers(offer.type):
                if not self.taken[offer.id, integration]:
                    yield f"{offer.id} was accepted by {offer.ingress} and is missing at {integration}"

    def strangers(self) -> Iterator[str]:
        """Nobody gets what nobody sent, or what he does not observe."""
        types = {offer.id: offer.type for offer in self.records.offers}
        for request in self.records.requests:
            if request.integration not in self._observers(types.get(request.event_id, "")):
                yield f"{request.integration} got {request.event_id}, which is none of its own"

    def unlogged(self) -> Iterator[str]:
        """No attempt without its log."""
        for job, attempt in sorted(set(self._sent) - set(self.logs)):
            yield f"attempt {attempt} of job {job} was sent and has no log"

    def gaps(self) -> Iterator[str]:
        """The attempts of a job are numbered 1, 2, 3 …, with one log each."""
        numbers = defaultdict(list)
        for log in self.records.logs:
            numbers[log.job_id].append(log.attempt)
        known = {job.id for job in self.records.jobs}
        for job in self.records.jobs:
            if sorted(numbers[job.id]) != list(range(1, job.attempts + 1)):
                yield f"job {job.id} had {job.attempts} attempts, and logs of {sorted(numbers[job.id])}"
        for job_id in sorted(set(numbers) - known):
            yield f"there are logs of job {job_id}, and no such job"

    def sent_twice(self) -> Iterator[str]:
        """An attempt is carried out once."""
        for (job, attempt), times in self._sent.items():
            if times > 1:
                yield f"attempt {attempt} of job {job} was sent {times} times"

    def duplicates(self) -> Iterator[str]:
        """Who has an event gets it again only by an attempt of which nobody could know, as one in flight at a kill."""
        jobs = {(job.event_id, job.integration): job for job in self.records.jobs}
        for (event, integration), times in self.taken.items():
            job = jobs.get((event, integration))
            allowed = 1 + (job.lost + self._unanswered[job.id] if job else 0)
            if times > allowed:
                yield f"{integration} took {event} {times} times, and {allowed} can be explained"
        allowed = self.in_flight + self.outlived + self._unanswered.total()
        if self.doubled > allowed:
            yield f"{self.doubled} duplicates, and only {allowed} attempts can be their cause"

    def balance(self) -> Iterator[str]:
        """Both balances of invariant 1, invariant 6, and no accident in the run itself."""
        if self.records.events_balance:
            yield f"the balance of events is {self.records.events_balance}"
        if self.records.jobs_balance:
            yield f"the balance of jobs is {self.records.jobs_balance}"
        yield from self.records.audit
        yield from self.records.accidents

    def idle(self) -> Iterator[str]:
        """A run in which nothing happens shows nothing."""
        accepted = Counter(offer.ingress for offer in self.records.offers if offer.accepted)
        for ingress in sorted({offer.ingress for offer in self.records.offers}):
            if not accepted[ingress]:
                yield f"nothing was accepted by {ingress}"
        if not self.records.offers:
            yield "nothing was offered"

    @cached_property
    def taken(self) -> Counter[tuple[str, str]]:
        """How often an integration took an event."""
        return Counter((each.event_id, each.integration) for each in self.records.requests if each.taken)

    @cached_property
    def logs(self) -> Mapping[tuple[str, int], LogRow]:
        """The logs by job and attempt."""
        return {(log.job_id, log.attempt): log for log in self.records.logs}

    @property
    def doubled(self) -> int:
        """How many deliveries were one too many."""
        return sum(times - 1 for times in self.taken.values())

    @property
    def in_flight(self) -> int:
        """Attempts that were in flight with a victim."""
        return sum(each.in_flight for each in self.records.killed)

    @property
    def outlived(self) -> int:
        """Attempts that succeeded after their lease had run out, and another had taken their job: on a busy machine."""
        successes = Counter(log.job_id for log in self.records.logs if log.succeeded)
        return sum(times - 1 for times in successes.values())

    @cached_property
    def lost(self) -> Sequence[Offer]:
        """Raw messages that were accepted by a broker that may lose one, and came nowhere."""
        return [offer for offer in self._lossy if offer.id not in self._known | self.records.held]

    @cached_property
    def held(self) -> Sequence[Offer]:
        """Those that the broker will deliver again, because their worker died."""
        return [offer for offer in self._lossy if offer.id in self.records.held - self._known]

    @cached_property
    def _lossy(self) -> Sequence[Offer]:
        return [offer for offer in self.records.offers if offer.accepted and offer.ingress in self.records.lossy]

    @cached_property
    def _known(self) -> frozenset[str]:
        return self.records.events | {request.event_id for request in self.records.requests}

    @property
    def _owed(self) -> Iterator[Offer]:
        for offer in self.records.offers:
            if offer.id in self._known or (offer.accepted and offer.ingress not in self.records.lossy):
                yield offer

    @cached_property
    def _sent(self) -> Counter[tuple[str, int]]:
        return Counter((request.job_id, request.attempt) for request in self.records.requests)

    @cached_property
    def _unanswered(self) -> Counter[str]:
        """Attempts of a job whose receiver has the event, and whose worker lived and got no answer."""
        return Counter(each.job_id for each in self.records.requests if each.taken and self._was_unanswered(each))

    def _was_unanswered(self, request: Request) -> bool:
        log = self.logs.get((request.job_id, request.attempt))
        return log is not None and not log.succeeded and LOST not in log.detail

    def _observers(self, type_: str) -> frozenset[str]:
        return self.records.observers.get(type_, frozenset())


def lost_jobs(jobs: Sequence[JobRow]) -> int:
    """Attempts that were settled as lost with their worker."""
    return sum(job.lost for job in jobs)


def _shortened(found: Iterator[str]) -> Iterator[str]:
    yield from islice(found, NAMED)
    if more := sum(1 for _ in found):
        yield f"… and {more} more like that"
