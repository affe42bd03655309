"""The secrets that tests plant: whatever is printed anywhere in the whole run is searched for them."""

from collections.abc import Iterable

#: Each secret of a test contains one of these.
MARKS = ("nobody-may-see", "planted-secret", "planted/secret", "planted-token", "s3cret")


def leaks(texts: Iterable[str]) -> list[str]:
    """The marks that are in one of the texts."""
    return sorted({mark for text in texts for mark in MARKS if mark in text})
