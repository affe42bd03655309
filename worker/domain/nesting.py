"""The nesting depth of a JSON text, found in linear time whether the text is valid, malformed or cut off.

A scan that looks for the end of each string backtracks if a string has no end. It then starts again at every quote
inside that string, which takes quadratic time. This module never backtracks. It removes escapes first. After that a
quote can only begin or end a string, and counting quotes shows which bytes are inside one.
"""

from array import array
from itertools import accumulate

#: Bytes that are scanned together. This bounds the memory that a scan needs.
_PIECE_BYTES = 64 * 1024
# Opening brackets become +1, closing ones -1, as signed bytes.
_LEVELS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"{[}]"))


def nesting(raw: bytes, most: int) -> int:
    """Return the depth of objects and lists in a JSON text.

    The result is exact only in its relation to `most`. If the depth cannot be over `most`, it is an upper bound of the
    depth. If the depth is over `most`, it is any number over `most`. For a text that is not JSON, it covers the depth
    that a decoder would reach before it finds the error.
    """
    # Nearly every text has few brackets. Before Python 3.13, `count` looks at each byte; this leaps to each bracket.
    bound = len(raw) - len(raw.replace(b"{", b"", most + 1).replace(b"[", b"", most + 1))
    if bound <= most:
        return bound
    # The order matters: in `\\"` the two backslashes are one escape, and the quote ends the string.
    text = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    depth = deepest = inside = 0
    for start in range(0, len(text), _PIECE_BYTES):
        parts = text[start : start + _PIECE_BYTES].split(b'"')
        brackets = b"".join(parts[inside::2]).translate(_LEVELS, _OTHERS)
        inside ^= (len(parts) - 1) & 1
        depths = list(accumulate(array("b", brackets), initial=depth))
        depth, highest = depths[-1], max(depths)
        deepest = max(deepest, highest)
        if deepest > most:
            break
    return deepest
