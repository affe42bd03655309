"""The syntax of a URI-reference (RFC 3986, appendix A), which an event's `source` is."""

import re
from functools import lru_cache

_PERCENT = "%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-._~!$&'()*+,;="
_NAME = f"(?:[{_UNRESERVED}]|{_PERCENT})"
_AUTHORITY = rf"(?:(?:[{_UNRESERVED}:]|{_PERCENT})*+@)?(?:\[[0-9A-Fa-f:.]++\]|{_NAME}*+)(?::[0-9]*+)?(?=[/?#]|\Z)"
_PATH = f"(?:[{_UNRESERVED}:@/]|{_PERCENT})*+"
_QUERY = f"(?:[{_UNRESERVED}:@/?]|{_PERCENT})*+"
# Without a scheme, the first segment has no colon.
_REFERENCE = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.\-]*+:|(?![^/?#:]*+:))(?://{_AUTHORITY}|(?!//)){_PATH}(?:\?{_QUERY})?(?:#{_QUERY})?"
)


@lru_cache(256)  # a producer names the same source in all its events
def is_uri_reference(text: str) -> bool:
    """Return whether a text is a URI or a relative reference."""
    return _REFERENCE.fullmatch(text) is not None
