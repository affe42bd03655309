"""Text that leaves for a terminal or a log."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.text_escaping import visible, visible_line

#: Signs of Arabic, Syriac and Kaithi that Unicode files under "format" and that have a shape.
SHAPED = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
#: What is decided by its neighbours.
JOINERS = {0x200C, 0x200D}

#: Any text, with many of the characters in question.
hostile = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Mn"]),
        st.sampled_from("a\u0645\u0915\U0001f469\u200c\u200d\ufe0f\ufe01\u034f\u3164\ud800\udfff\n\t"),
    )
)


def test_every_character_without_a_shape_is_escaped_and_no_other_one_is() -> None:
    wrong = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and code not in SHAPED
        if hidden and character not in "\t\n" and character in visible(f"a{character}b"):
            wrong.append(f"shown: {code:#x}")
        shaped = unicodedata.category(character)[0] in "LNPS" and character not in "\u115f\u1160\u3164\uffa0"
        if shaped and visible(character) != character:
            wrong.append(f"escaped: {code:#x}")
    assert wrong == []


@given(hostile)
def test_what_is_left_is_fit_for_a_terminal(text: str) -> None:
    left = {c for c in visible(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert {ord(c) for c in left} <= {9, 10, *JOINERS, *SHAPED}
    assert not set(visible_line(text)) & set("\t\n")


@given(hostile)
def test_doing_it_twice_changes_nothing_more(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.recursive(hostile, lambda inner: st.lists(inner) | st.dictionaries(hostile, inner), max_leaves=5))
def test_a_json_document_keeps_its_value(document: object) -> None:
    raw = json.dumps(document, ensure_ascii=False, indent=1)
    assert json.loads(visible(raw)) == json.loads(json.dumps(document))


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_plain_ascii_stays(text: str) -> None:
    assert visible_line(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "مرحبا بالعالم",
        "שלום עולם",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d💻 👩🏽\u200d🚀 ❤\ufe0f #\ufe0f\u20e3",
        "Zoë Łódź 東京\u3000店",
    ],
)
def test_people_read_their_own_script(text: str) -> None:
    assert visible_line(text) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\x1b[31mred\x07\x9b", "\\u001b[31mred\\u0007\\u009b"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("pay\u200dpal \u200c", "pay\\u200dpal \\u200c"),
        ("م\u200d", "م\\u200d"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f\\ufe0f"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_fools_a_reader_is_written_out(text: str, written: str) -> None:
    assert visible(text) == written


def test_a_line_stays_one_line() -> None:
    assert visible_line("a\nb\tc\r\u2028") == "a\\u000ab\\u0009c\\u000d\\u2028"
    assert visible("a\nb\tc") == "a\nb\tc"
