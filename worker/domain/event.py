"""Events and whose they are: values, and the words for what was refused."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote
from uuid import UUID, uuid5

from worker.domain.trace_context import TraceContext

_EVENT_NAMESPACE = UUID("6f0e8a1e-52f7-5c0e-9a3b-6d3f0f7f4b11")


class Ingress(StrEnum):
    """The ways in for events."""

    HTTP = "http"
    PUBLISHER = "publisher"
    QUEUE = "queue"
    CELERY = "celery"
    #: Those that tell of integrations themselves: they enter with what they tell of.
    INTEGRATIONS = "integrations"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose an event or integration is: a store's (with or without a named organisation) or an organisation's own."""

    org_id: str | None = None
    store_id: str | None = None

    @property
    def level(self) -> str:
        """`organization` where only the organisation is named, else `store`: the catalogue's words."""
        return "organization" if self.org_id and not self.store_id else "store"

    @property
    def key(self) -> str:
        """The scope as one unambiguous string: how the ledger files what belongs to it."""
        return f"{quote(self.org_id or '', safe='')}/{quote(self.store_id or '', safe='')}"

    @classmethod
    def of_key(cls, key: str) -> "Scope":
        """The scope of a `key`."""
        return _scope(key)


@lru_cache(4096)  # a worker sees the same few again and again
def _scope(key: str) -> Scope:
    org, _, store = key.partition("/")
    return Scope(unquote(org) or None, unquote(store) or None)


def event_ref(scope: Scope, event_id: str) -> str:
    """The reference of an event by its identity: see Event.ref."""
    return str(uuid5(_EVENT_NAMESPACE, f"{scope.key}/{event_id}"))


@dataclass(frozen=True)
class Event:
    """One thing that happened, with its raw JSON and the slices of it that travel on."""

    id: str
    type: str
    scope: Scope
    raw: bytes
    data: bytes
    included: bytes | None
    time: str | None
    source: str | None
    #: The trace that it belongs to.
    trace: TraceContext | None = None

    @cached_property
    def ref(self) -> str:
        """The event's identity, (organisation, store, id), as one UUID: no tenant can see or swallow another's."""
        return event_ref(self.scope, self.id)

    @property
    def digest(self) -> str:
        """What tells a true repetition from another event under the same id."""
        digest = blake2b(self.data, digest_size=16, person=b"edw-event")
        digest.update(b"\0" + (self.included or b"") + b"\0" + self.type.encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not accepted: the field (`observes.0`), and what was expected of it."""

    field: str
    reason: str
    #: The field's place, for one whose name has a dot of its own.
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason

    @property
    def pointer(self) -> str:
        """The field as a JSON pointer (RFC 6901): `/observes/0`; empty for the whole."""
        parts = self.path or tuple(filter(None, self.field.split(".")))
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass(frozen=True, slots=True)
class ForeignEvent(Refusal):
    """The event is another store's or organisation's than its sender may speak for."""


@lru_cache(1024)  # events that were accepted together share their millisecond
def rfc3339(milliseconds: float) -> str:
    """A time in milliseconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
