"""The doctor: looks at everything that an installation stands on, and says what to do. One module for each thing."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is. A warning works today, and may not under load or after an accident."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was seen, and what to do where it is not well."""

    subject: str
    grade: Grade
    seen: str
    advice: str = ""


def ok(subject: str, seen: str) -> Finding:
    """It is well."""
    return Finding(subject, Grade.OK, seen)


def warning(subject: str, seen: str, advice: str) -> Finding:
    """It works, and not for certain."""
    return Finding(subject, Grade.WARNING, seen, advice)


def failed(subject: str, seen: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(subject, Grade.FAILED, seen, advice)
