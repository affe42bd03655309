from io import BytesIO

from worker.cli.lines import Line, lines_of, portions


def test_lines_are_counted_as_an_editor_counts_them_and_blank_ones_are_left_out() -> None:
    file = BytesIO(b'\xef\xbb\xbf{"a":1}\r\n\n  \n {"b":2} \n{"c":3}')

    assert list(lines_of(file, 100)) == [
        Line(1, b'{"a":1}', 12),
        Line(4, b'{"b":2}', 10),
        Line(5, b'{"c":3}', 7),
    ]


def test_a_line_far_too_long_is_cut_and_the_next_one_is_whole() -> None:
    file = BytesIO(b"x" * 10_000 + b"\n{}\n")

    long, short = lines_of(file, 100)

    assert (long.number, long.size, long.cut) == (1, 10_001, True)
    assert len(long.content) < 2_000
    assert short == Line(2, b"{}", 3)


def test_a_file_of_nothing_has_no_lines() -> None:
    assert list(lines_of(BytesIO(b""), 100)) == []


def test_portions_keep_the_order_and_both_limits() -> None:
    lines = [Line(number, b"x" * 10, 11) for number in range(1, 8)]

    by_count = [[line.number for line in portion] for portion in portions(lines, 3, 1_000)]
    by_bytes = [[line.number for line in portion] for portion in portions(lines, 100, 25)]

    assert by_count == [[1, 2, 3], [4, 5, 6], [7]]
    assert by_bytes == [[1, 2], [3, 4], [5, 6], [7]]


def test_a_line_larger_than_a_portion_goes_alone() -> None:
    lines = [Line(1, b"x", 2), Line(2, b"x" * 50, 51), Line(3, b"x", 2)]

    assert [[line.number for line in portion] for portion in portions(lines, 10, 20)] == [[1], [2], [3]]
