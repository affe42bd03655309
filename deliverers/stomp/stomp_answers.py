"""What becomes of what was sent to a broker: a message, or a login."""

from __future__ import annotations

from dataclasses import dataclass

from deliverers.contract import Resource
from deliverers.stomp.frames import Frame


@dataclass(frozen=True, slots=True)
class Receipted:
    """The broker has the message."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The broker does not take the message, or the login."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The deadline passed first."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection ended first. `words` say how; `frame` is the broker's last one, where it said why.

    `lack` is the resource of this process whose lack ended it, where one did.
    """

    words: str
    frame: Frame | None = None
    lack: Resource | None = None


Answer = Receipted | Declined | Unanswered | ConnectionLost

RECEIVED = Receipted()
UNANSWERED = Unanswered()
