"""How deep a text nests, whatever its bytes are."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain.nesting import nesting

#: Pieces of which the texts are made: what the scan looks at, and what must not confuse it.
PIECES = st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b'\\"', b"\\\\", b"a", b",", b"\xff", b'"a\\"[":'])

PIECES_OF_TEXT = st.sampled_from('[]{}"\\,aé')


def depth_of(raw: bytes) -> int:
    """Return the depth, byte by byte: the plain way to say what `nesting` means.

    A backslash outside of a string ends it: there a decoder finds out that the text is no JSON.
    """
    depth = deepest = 0
    inside = escaped = False
    for byte in raw:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            if not inside:
                break
            escaped = True
        elif byte == ord('"'):
            inside = not inside
        elif not inside and byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not inside and byte in b"]}":
            depth -= 1
    return deepest


@given(st.lists(PIECES).map(b"".join))
@example(b'["\\\\"]' * 40_000)
@example(b"[" + b'"\\"[",' * 40_000 + b"1]")
@example(b'["' + b"\\" * 65_535 + b'"[')
@example(b"[" * 65_537 + b"]" * 65_537)
@example(b"[]" * 32_767 + b'"' + b"[" * 65_536 + b'"[[]]')
def test_it_is_the_depth_that_a_decoder_reaches(raw: bytes) -> None:
    assert nesting(raw, most=len(raw)) == raw.count(b"[") + raw.count(b"{")
    for most in (0, 1, 3, 100):
        if depth_of(raw) > most:
            assert nesting(raw, most) > most


@given(
    st.recursive(
        st.none() | st.text(PIECES_OF_TEXT),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(PIECES_OF_TEXT), inner),
    )
)
def test_json_of_the_most_levels_is_taken_and_of_one_more_is_not(value: Any) -> None:
    raw = json.dumps(value).encode()
    depth = depth_of(raw)
    assert nesting(raw, depth) <= depth
    assert depth == 0 or nesting(raw, depth - 1) > depth - 1


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 101 + b'"' + b'\\"' * 48_000,
        b"[" * 101 + b'"' + b"a" * 48_000,
        b"[" * 101 + b"\\" * 48_001,
        b'"' * 48_001 + b"[" * 101,
        b'{"a":"' * 101 + b"{" * 48_000,
    ],
)
def test_a_string_without_an_end_hides_what_stands_in_it_and_nothing_before(raw: bytes) -> None:
    assert (nesting(raw, 100) > 100) == (depth_of(raw) > 100)
