"""The checks of `edw doctor`, one module per subject: each says what it found and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """The severity of a finding. A warning works today, but may not under load or after an accident."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its subject, what was seen, and what to do if it is not well."""

    subject: str
    grade: Grade
    seen: str
    advice: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Return a finding of something that works."""
    return Finding(subject, Grade.OK, seen)


def warning(subject: str, seen: str, advice: str) -> Finding:
    """Return a finding of something that works, but not reliably."""
    return Finding(subject, Grade.WARNING, seen, advice)


def failed(subject: str, seen: str, advice: str) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(subject, Grade.FAILED, seen, advice)
