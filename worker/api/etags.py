"""Lists of entity tags in If-Match and If-None-Match (RFC 9110, section 13.1). No I/O."""

import re

# Possessive quantifiers, and matching from the end of the last element, keep the time linear in the header's length.
# `\Z` and not `$`: `$` also matches before a final line break, where an element would be empty and the loop endless.
_ELEMENT = re.compile(r'[ \t]*+(?:(?:W/)?"([^"]*+)")?[ \t]*+(?:,|\Z)')
_ANY = "*"


def tag_of(revision: int) -> str:
    """Return the entity tag of a revision, as in the ETag header."""
    return f'"{revision}"'


def names(header: str | None, revision: int) -> bool:
    """Return whether a header names a revision; weak tags count as strong ones.

    Reading stops at the first element that is not a tag.
    """
    if header is None:
        return False
    if is_any(header):
        return True
    position = 0
    while position < len(header) and (element := _ELEMENT.match(header, position)):
        if element[1] == str(revision):
            return True
        position = element.end()
    return False


def is_any(header: str) -> bool:
    """Return whether a header names every revision (`*`)."""
    return header.strip() == _ANY
