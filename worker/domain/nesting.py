"""How deep a JSON text nests. Linear in its length whatever its bytes are: valid, malformed, or cut off.

A scan that looks for the end of each string goes back where a string has none: from every quote inside of it, so that
such a text costs its length squared. Here nothing goes back. Escapes are taken out first; then a quote can only begin
or end a string, and counting quotes says which bytes are inside of one.
"""

from array import array
from itertools import accumulate

#: Bytes that are looked at together. It bounds the memory that a text takes while it is looked at.
_PIECE_BYTES = 64 * 1024
# One level more, one level less, as signed bytes.
_LEVELS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"{[}]"))


def nesting(raw: bytes, most: int) -> int:
    """Return the depth of objects and lists in a JSON text.

    Where the depth cannot be over `most`, an upper bound of it is returned; where it is over, any number over `most`.
    Of a text that is not JSON, the depth counts that a decoder would reach before it finds that out.
    """
    bound = raw.count(b"{") + raw.count(b"[")
    if bound <= most:
        return bound
    # In this order: of `\\"` the first two are one escape, and the quote ends the string.
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
