"""What is printed of runs that are over."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.checker import Check, lost_jobs
from tests.chaos.play import Outcome


def lines(outcome: Outcome) -> Iterator[str]:
    """The counts of a run."""
    records, check = outcome.records, Check(outcome.records)
    yield f"broker: {'RabbitMQ' if outcome.plan.rabbitmq else 'the Redis of the ledger'}"
    kinds = Counter(each.victim for each in records.killed)
    rows: list[tuple[str, int, str]] = [
        ("kills", len(records.killed), ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds))),
        ("events offered", len(records.offers), f"{len(records.offers) / outcome.offered_for:.0f} a second"),
        ("accepted", sum(each.accepted for each in records.offers), _ingresses(outcome)),
        ("known to the ledger", len(records.events), ""),
        ("jobs", len(records.jobs), _states(outcome)),
        ("attempts, each with its log", len(records.logs), f"{len(records.requests)} reached a receiver"),
        ("lost with their worker", lost_jobs(records.jobs), f"{check.in_flight} were in flight at a kill"),
        ("outlived their lease", check.outlived, "their worker lived, and the heartbeat was late"),
        ("deliveries", check.taken.total(), ""),
        ("duplicates", check.doubled, ""),
    ]
    if records.lossy:
        rows += [
            ("raw Celery messages lost", len(check.lost), "by kombu over Redis; counted apart"),
            ("raw Celery messages held", len(check.held), "by kombu, and delivered again after 120 s"),
        ]
    for name, count, remark in rows:
        yield f"  {name:<28}{count:>9,}{f'   {remark}' if remark else ''}"
    yield from _verdict(outcome.problems)


def _verdict(problems: Sequence[str]) -> Iterator[str]:
    yield f"  {len(problems)} problems" if problems else "  nothing is missing, and everything adds up"
    for problem in problems:
        yield f"    {problem}"


def _ingresses(outcome: Outcome) -> str:
    ingresses = Counter(each.ingress for each in outcome.records.offers if each.accepted)
    return ", ".join(f"{ingress} {count:,}" for ingress, count in ingresses.items())


def _states(outcome: Outcome) -> str:
    states = Counter(job.state for job in outcome.records.jobs)
    return ", ".join(f"{state} {count:,}" for state, count in states.items())
