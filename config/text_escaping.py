r"""Escapes for foreign text on a terminal or in a log.

Characters that a reader cannot see, or that command the terminal, are escaped. `visible()` is called where text leaves
a process: in the streams of the `edw` command (`worker/cli/streams.py`) and in the renderers of the log
(`config/logging.py`). It escapes a character as JSON does (`\u001b`, and two escapes for a character above U+FFFF).
An escaped JSON document is therefore still JSON with the same value.

Escaped are:

- control characters (C0, DEL, C1) and lone surrogates,
- characters that change the writing direction (U+061C, U+200E, U+200F, U+202A-202E, U+2066-2069),
- line and paragraph separators, soft hyphens, zero-width spaces, fillers, tags, and all else without a shape.

Letters of every script stay, and so do Arabic number signs. A joiner (U+200C, U+200D) stays between two letters or
symbols beyond ASCII, where Persian, Indic scripts and emoji need it. Anywhere else it is escaped, because there it
could only make two different names look equal. A variation selector stays behind one visible character. Flags made of
tags (England, Scotland, Wales) appear as a black flag with escapes.
"""

import re
import unicodedata

# Characters that never stay. A property test compares them with Unicode's categories Cc, Cf, Cs, Zl and Zp.
_HIDDEN = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f"
_NEVER_SHOWN = re.compile(f"[{_HIDDEN}]")
_IN_TEXT = re.compile(f"[{_HIDDEN}{_JOINERS}{_SELECTORS}]")
_IN_LINE = re.compile(f"[\t\n{_HIDDEN}{_JOINERS}{_SELECTORS}]")
_A_SELECTOR = re.compile(f"[{_SELECTORS}]")


def visible(text: str) -> str:
    """Escape what cannot be seen, except line breaks and tabs. A second call changes nothing more."""
    return _IN_TEXT.sub(_written, text)


def visible_line(text: str) -> str:
    """Escape line breaks and tabs as well, so that the text cannot look like a second line."""
    return _IN_LINE.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    character = match.group()
    if character in _JOINERS and _joins(match.string, match.start()):
        return character
    if _A_SELECTOR.match(character) and _selects(match.string, match.start()):
        return character
    code = ord(character)
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def _joins(text: str, at: int) -> bool:
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return len(around) == 2 and all(
        not each.isascii() and unicodedata.category(each)[0] in "LMS" and not _NEVER_SHOWN.match(each)
        for each in around
    )


def _selects(text: str, at: int) -> bool:
    before = text[max(0, at - 1) : at]
    return bool(before) and unicodedata.category(before)[0] not in "CZ" and not _hides(before)


def _hides(character: str) -> bool:
    return bool(_NEVER_SHOWN.match(character) or _A_SELECTOR.match(character))
