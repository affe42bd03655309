"""Foreign text on a terminal or in a log: what a reader cannot see, or what commands the terminal, is written out.

`visible()` stands at the edges where text leaves a process: the streams of the `edw` command (`worker/cli/streams.py`)
and the renderers of the log (`config/logging.py`). It writes a character as JSON does (`\\u001b`, and two of them for
a character above U+FFFF), so that an escaped JSON document is still JSON and has the same value.

Escaped are:

- control characters (C0, DEL, C1) and lone surrogates,
- the characters that turn the direction of writing (U+061C, U+200E, U+200F, U+202A-202E, U+2066-2069),
- line and paragraph separators, soft hyphens, zero-width spaces, fillers, tags, and whatever else has no shape.

Letters of every script stay as they are, and so do Arabic number signs. A joiner (U+200C, U+200D) stays between two
letters or symbols beyond ASCII, where Persian, Indic scripts and emoji need it, and is escaped anywhere else: there it
could only make two equal-looking names different. A variation selector stays behind one visible character. Flags that
are made of tags (England, Scotland, Wales) are shown as a black flag with escapes.
"""

import re
import unicodedata

# What never stays. A property test compares it with Unicode's categories Cc, Cf, Cs, Zl and Zp.
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
    """Write out what cannot be seen; line breaks and tabs stay. Doing it twice changes nothing more."""
    return _IN_TEXT.sub(_written, text)


def visible_line(text: str) -> str:
    """Write out line breaks and tabs as well: the text cannot look like a second line."""
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
