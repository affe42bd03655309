"""Answers to what was sent to a broker: a message, or a login."""

from __future__ import annotations

from dataclasses import dataclass

from deliverers.contract import Resource
from deliverers.stomp.frames import Frame


@dataclass(frozen=True, slots=True)
class Receipted:
    """The broker has the message."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The broker refused the message, or the login."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The deadline passed without an answer."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection ended without an answer. `words` say how; `frame` is the broker's last one, if it gave a reason.

    `lack` is the resource that this process lacked, if that ended the connection.
    """

    words: str
    frame: Frame | None = None
    lack: Resource | None = None


Answer = Receipted | Declined | Unanswered | ConnectionLost

RECEIVED = Receipted()
UNANSWERED = Unanswered()
