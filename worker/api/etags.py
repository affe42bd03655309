"""Lists of entity tags in If-Match and If-None-Match (RFC 9110, section 13.1). No I/O."""

import re

# Possessive, and matched where the last one ended: a header that is no list costs its length once. Before the end, an
# element takes at least one character: `$` would match before a line break, and take none.
_ELEMENT = re.compile(r'[ \t]*+(?:(?:W/)?"([^"]*+)")?[ \t]*+(?:,|\Z)')
_ANY = "*"


def tag_of(revision: int) -> str:
    """Return the entity tag of a revision, as the ETag header has it."""
    return f'"{revision}"'


def names(header: str | None, revision: int) -> bool:
    """Say whether a header names a revision; a weak tag is as good as a strong one.

    What follows the first element that is no tag is not read.
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
    """Say whether a header names every revision."""
    return header.strip() == _ANY
