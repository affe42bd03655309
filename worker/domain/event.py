"""Events, their scopes, and the reasons why one is refused."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote
from uuid import UUID

from deliverers.lazily import Lazily
from deliverers.quick_values import quickly_made
from worker.domain.affected_resource import AffectedResource, affected_resource
from worker.domain.compact_id import compact
from worker.domain.name_uuid import name_bytes
from worker.domain.trace_context import TraceContext

_EVENT_NAMESPACE = UUID("6f0e8a1e-52f7-5c0e-9a3b-6d3f0f7f4b11").bytes
#: A copy of it costs half of what making one costs.
_EMPTY_DIGEST = blake2b(digest_size=16, person=b"edw-event")


class Ingress(StrEnum):
    """The ways in by which an event can be accepted."""

    HTTP = "http"
    PUBLISHER = "publisher"
    QUEUE = "queue"
    CELERY = "celery"
    #: Lifecycle events of integrations. The ledger accepts each one in the same step as the change that it reports.
    INTEGRATIONS = "integrations"


@dataclass(frozen=True)
class Scope:
    """The owner of an event or integration: a store (with or without its organisation), or an organisation itself."""

    org_id: str | None = None
    store_id: str | None = None

    @Lazily
    def level(self) -> str:
        """The catalogue's name of the level: `organization` if only the organisation is named, else `store`."""
        return "organization" if self.org_id and not self.store_id else "store"

    @Lazily
    def key(self) -> str:
        """The scope as one unambiguous string, used in the ledger's keys."""
        return _key(self.org_id, self.store_id)

    @classmethod
    def of_key(cls, key: str) -> "Scope":
        """Return the scope whose `key` is given."""
        return _scope(key)


@lru_cache(4096)  # a worker sees the same few scopes again and again
def _scope(key: str) -> Scope:
    org, _, store = key.partition("/")
    return Scope(unquote(org) or None, unquote(store) or None)


@lru_cache(4096)
def _key(org_id: str | None, store_id: str | None) -> str:
    return f"{quote(org_id or '', safe='')}/{quote(store_id or '', safe='')}"


def event_ref(scope: Scope, event_id: str) -> str:
    """Return the reference of an event; see Event.ref."""
    return compact(name_bytes(_EVENT_NAMESPACE, f"{scope.key}/{event_id}"))


@quickly_made
@dataclass(frozen=True)
class Event:
    """Something that happened, with its raw JSON and the slices of it that are delivered."""

    id: str
    type: str
    scope: Scope
    raw: bytes
    #: The affected resource; the whole payload if the event is `flat`.
    data: bytes
    included: bytes | None
    time: str | None
    source: str | None
    #: The trace that the event belongs to.
    trace: TraceContext | None = None
    #: The minor version that a process needs to understand it (see format_version.py).
    minor: int = 0
    #: Whether the event carries `payload`, which is sent as it is, in place of `data` and `included`.
    flat: bool = False
    #: Whether we made its id, so that it cannot be a repetition.
    made: bool = field(default=False, compare=False)

    @Lazily
    def ref(self) -> str:
        """The event's identity (organisation, store, id) as one compact UUID (see compact_id.py).

        Because the scope is part of it, no tenant's event can be taken for another tenant's.
        """
        return event_ref(self.scope, self.id)

    @Lazily
    def resource(self) -> AffectedResource | None:
        """The resource that it is about; None if its `data` has no id."""
        return affected_resource(self.type, self.data)

    @Lazily
    def resource_key(self) -> str:
        """The key of that resource in its scope (see AffectedResource.key); empty without one."""
        return self.resource.key(self.scope.key) if self.resource is not None else ""

    @property
    def digest(self) -> bytes:
        """A digest that distinguishes a true repetition from another event with the same id: 16 bytes."""
        digest = _EMPTY_DIGEST.copy()
        digest.update(self.data)
        digest.update(b"\0" + (self.included or b"") + b"\0" + self.type.encode())
        if self.flat:
            digest.update(b"\0payload")
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not accepted: the field (`observes.0`), and what was expected there."""

    field: str
    reason: str
    #: The parts of the field's name; needed where a part itself contains a dot.
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason

    @property
    def pointer(self) -> str:
        """The field as a JSON pointer (RFC 6901): `/observes/0`; empty for the whole document."""
        parts = self.path or tuple(filter(None, self.field.split(".")))
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass(frozen=True, slots=True)
class NewerVersion(Refusal):
    """An event that needs a newer build. What comes by a queue is left to such a build, and is not rejected."""


class ForeignEvent(Refusal):
    """The event names a store or organisation that its sender may not act for."""


@lru_cache(1024)  # events that are accepted together share their millisecond
def rfc3339(milliseconds: float) -> str:
    """Return a time, given in milliseconds since 1970, as RFC 3339 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
