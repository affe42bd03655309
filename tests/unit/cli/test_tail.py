from uuid import UUID

from worker.cli.tail import OVERLAP, Tail
from worker.domain.integration_log import IntegrationLog


def log(attempt: int, created_at: int, *, detail: str = "") -> IntegrationLog:
    job = str(UUID(int=1))
    return IntegrationLog(job, "integration", attempt, not detail, "", 200, detail, 0.1, created_at)


def test_each_log_is_reported_once_the_oldest_first() -> None:
    tail = Tail()

    assert tail.new([log(2, 1_002), log(1, 1_001)]) == [log(1, 1_001), log(2, 1_002)]
    assert tail.new([log(3, 1_003), log(2, 1_002), log(1, 1_001)]) == [log(3, 1_003)]
    assert tail.new([log(3, 1_003)]) == []


def test_one_of_the_same_moment_as_the_newest_is_news() -> None:
    tail = Tail()
    tail.new([log(1, 1_000)])

    assert tail.new([log(2, 1_000), log(1, 1_000)]) == [log(2, 1_000)]


def test_an_outcome_that_comes_late_is_reported_again() -> None:
    tail = Tail()
    tail.new([log(1, 1_000, detail="lost")])

    assert tail.new([log(1, 2_000)]) == [log(1, 2_000)]


def test_what_is_old_is_known_and_forgotten() -> None:
    tail = Tail()
    tail.new([log(1, 1_000)])
    tail.new([log(2, 1_001 + OVERLAP)])

    assert tail.knows(log(1, 1_000))
    assert tail.new([log(1, 1_000)]) == []
