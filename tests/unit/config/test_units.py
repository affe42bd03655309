from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import between, byte_size, count, durations, entries, fraction, networks, seconds, words

ANYTHING = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10", 10), ("10s", 10), ("500ms", 0.5), ("1.5m", 90), ("3h", 10_800), ("7d", 604_800), (" 2 m ", 120), ("0", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value", ["", "s", "10x", "-5s", "1e3", "٣s", "10 s s", "inf", "nan", float("nan"), True, None, -1]
)
def test_what_is_no_duration_is_refused_and_not_repeated(value: object) -> None:
    with pytest.raises(ValueError, match="^expected a duration: a number and a unit") as caught:
        seconds(value)
    assert "such as 10s" in str(caught.value)


@given(st.integers(0, 10**9), st.sampled_from([("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)]))
def test_every_written_duration_is_read_as_its_seconds(number: int, unit: tuple[str, float]) -> None:
    assert seconds(f"{number}{unit[0]}") == pytest.approx(number * unit[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1048576", 1 << 20), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2 GiB", 2 << 30), ("1kB", 1000), ("10B", 10)],
)
def test_a_size_is_a_whole_number_and_a_unit(text: str, expected: int) -> None:
    assert byte_size(text) == expected


@pytest.mark.parametrize("value", ["", "KiB", "1.5MiB", "-1", "1 kib", "64K", True, None, 1.0])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="^expected a size"):
        byte_size(value)


@pytest.mark.parametrize(("text", "expected"), [("200", 200), ("1_000_000", 1_000_000), (7, 7)])
def test_a_count_is_a_whole_number(text: object, expected: int) -> None:
    assert count(text) == expected


@pytest.mark.parametrize("value", ["", "1.5", "-1", "_1", "1__0", "many", True, None])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="^expected a whole number"):
        count(value)


@pytest.mark.parametrize(("text", "expected"), [("0.85", 0.85), ("85%", 0.85), ("1", 1.0), (0.5, 0.5)])
def test_a_share_is_a_fraction_or_a_percentage(text: object, expected: float) -> None:
    assert fraction(text) == pytest.approx(expected)


@pytest.mark.parametrize("value", ["0", "1.01", "101%", "-0.5", "nan", "inf", "most", None, "%"])
def test_a_share_is_above_none_and_at_most_all(value: object) -> None:
    with pytest.raises(ValueError, match="^expected a share above 0 and at most 1"):
        fraction(value)


@given(ANYTHING)
def test_whatever_is_given_a_unit_answers_a_sound_value_or_refuses(value: object) -> None:
    for read in (seconds, byte_size, count, fraction):
        try:
            found = read(value)
        except ValueError as error:
            assert str(error).startswith("expected")
        else:
            assert 0 <= found < float("inf")


@given(st.lists(st.integers(0, 10**6), max_size=60), st.sampled_from([" ", ",", ", ", "  "]))
def test_a_schedule_is_durations_with_spaces_or_commas_between_them(pauses: list[int], between_them: str) -> None:
    assert durations(between_them.join(f"{pause}s" for pause in pauses)) == tuple(map(float, pauses))


def test_a_list_may_come_as_values_too() -> None:
    assert durations([5, "1m"]) == (5.0, 60.0)
    assert words(("a", "b")) == ("a", "b")


@pytest.mark.parametrize("value", [None, 5, b"5s", {"5s": 1}])
def test_what_is_no_list_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="^expected words"):
        durations(value)


def test_networks_are_cidr_or_single_addresses() -> None:
    expected = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1/32"))
    assert networks("10.0.0.0/8 fd00::/8,127.0.0.1") == expected


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected networks such as 10\.0\.0\.0/8"):
        networks(text)


def test_bounds_belong_to_the_range_and_are_named() -> None:
    check = between(1, 3_600, "s")
    assert (check(1), check(3_600)) == (1, 3_600)
    for outside in (0.999, 3_601):
        with pytest.raises(ValueError, match="^must be between 1 and 3_600 s$"):
            check(outside)


def test_a_list_has_a_number_of_entries() -> None:
    check = entries(1, 2)
    assert check((1,)) == (1,)
    with pytest.raises(ValueError, match="^must have 1 to 2 entries, and has 3$"):
        check((1, 2, 3))


@pytest.mark.parametrize("text", ["secret", "fd00::/8" + "9" * 2_000, "²" + "0" * 2_000, "10.0.0.1/8"])
def test_a_network_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="expected networks such as") as refused:
        networks(text)
    assert text not in str(refused.value)
    assert ("host bits" in str(refused.value)) == (text == "10.0.0.1/8")
