from io import BytesIO

from worker.cli.lines import Line, lines_of


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
