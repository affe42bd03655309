import pytest

from worker.domain.humanize import counted, due, duration, one_line, size


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 ms"),
        (850, "850 ms"),
        (999.6, "1 s"),
        (12_000, "12 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (7_200_000, "2 h"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(milliseconds: float, words: str) -> None:
    assert duration(milliseconds) == words


def test_what_is_due_says_since_when_and_what_is_not_says_when() -> None:
    assert due(12_000) == "for 12 s"
    assert due(-12_000) == "in 12 s"


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB")])
def test_a_size_is_said_in_the_unit_that_fits(count: int, words: str) -> None:
    assert size(count) == words


def test_a_line_is_one_line_and_not_longer_than_asked() -> None:
    assert one_line("a\r\n b\tc\x85d", 10) == "a b c d"
    assert one_line("\x1b[2J", 20) == "\\u001b[2J"
    assert one_line("abcdef", 4) == "abc…"


def test_things_are_counted_in_the_plural_unless_it_is_one() -> None:
    assert [counted(n, "job") for n in (0, 1, 1000)] == ["0 jobs", "1 job", "1,000 jobs"]
