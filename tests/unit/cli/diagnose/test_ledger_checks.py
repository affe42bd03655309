"""What the doctor says of the ledger, from what it read of it."""

from collections import Counter

from worker.cli.diagnose import Finding, Grade
from worker.cli.diagnose.ledger_checks import judge, judge_audit
from worker.ledger.inspection.audit import PROBLEMS, AuditReport
from worker.ledger.inspection.ledger_status import LedgerStatus


def status(**changes: object) -> LedgerStatus:
    values: dict[str, object] = {
        "counters": {"accepted": 3, "matched": 3, "opened": 2, "succeeded": 2},
        "inbox": 0,
        "inbox_overdue": -1,
        "pending": 0,
        "leased": 0,
        "processes": 1,
        "lanes": (),
        "lanes_total": 0,
        "rejected": 0,
        "memory_used": 1,
        "memory_limit": 0,
    }
    return LedgerStatus(**(values | changes))  # type: ignore[arg-type]


def grades(found: list[Finding]) -> dict[str, Grade]:
    return {each.subject: each.grade for each in found}


def test_sums_that_balance_and_a_worker_that_lives_are_well() -> None:
    assert set(grades(list(judge(status(), 1))).values()) == {Grade.OK}


def test_sums_that_do_not_balance_no_worker_and_an_inbox_that_waits_are_reported() -> None:
    found = grades(list(judge(status(inbox=5, inbox_overdue=60_000, pending=1), 0)))
    assert found == {"balance": Grade.FAILED, "workers": Grade.FAILED, "inbox": Grade.WARNING}


def test_each_kind_of_problem_is_a_line_with_examples_and_what_repair_does() -> None:
    counts = Counter({"nowhere": 2, "not_indexed": 1})
    report = AuditReport(jobs=7, counts=counts, examples={"nowhere": ["j-1"], "not_indexed": ["l"]})
    found = list(judge_audit(report, repaired=False))
    assert [each.grade for each in found] == [Grade.FAILED] * 2
    assert "pending jobs that are neither due nor in flight: 2 (such as j-1)" in found[0].seen
    assert "edw doctor --repair" in found[0].advice
    assert [each.grade for each in judge_audit(report, repaired=True)] == [Grade.WARNING] * 2
    assert [each.grade for each in judge_audit(AuditReport(), repaired=False)] == [Grade.OK]


def test_every_kind_of_problem_says_what_it_is_and_what_mending_does() -> None:
    assert all(len(text.partition(": ")[2]) > 5 for text in PROBLEMS.values())
