"""The registry of integrations. People change it; every worker reads it as versioned snapshots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from worker.domain.change import Change
from worker.domain.event import Event, Ingress, Scope
from worker.domain.format_version import CONFIGURATION_SINCE, FILTER_SINCE, KEYS_SINCE, PATIENCE_SINCE, is_newer
from worker.domain.integration import Integration
from worker.domain.matching import Snapshot
from worker.domain.signing_keys import KeyPair
from worker.ledger.change_records import change_arguments
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import acceptance
from worker.ledger.lanes.settlements import CircuitChange
from worker.ledger.pages import Page
from worker.ledger.policy import by_message

#: Deletions that a scope remembers, so that older snapshots can be updated.
TOMBSTONES = 1_000
#: How long the ledger knows a scope after its last integration was deleted (ms).
SCOPE_RETENTION = 86_400_000


#: The state of a new lane.
_NOTHING_EARNED: Mapping[str, Any] = MappingProxyType(
    {"circuit": "", "circuit_until": 0, "failing_since": 0, "failing_attempts": 0}
)


class RevisionConflict(Exception):
    """The integration was changed after it was read."""


class TooManyIntegrations(Exception):
    """The scope already has `have` integrations, `most` are allowed; none was created."""

    def __init__(self, have: int, most: int) -> None:
        super().__init__(f"there are {have:,} integrations, and at most {most:,} are allowed")
        self.have = have
        self.most = most


@dataclass(frozen=True, slots=True)
class SavedIntegration:
    """An integration as the ledger has it now, and the change of its lane's circuit if there was one."""

    integration: Integration
    circuit: CircuitChange | None = None


class _Row(msgspec.Struct):
    """The fields of an integration's record, and of its lane's. Redis has numbers as text."""

    doc: str
    enabled: bool
    created_at: int
    updated_at: int
    revision: int
    reason: str = ""
    resealed: int = 0
    circuit: str = ""
    circuit_until: int = 0
    failing_since: int = 0
    failing_attempts: int = 0


class _Record(msgspec.Struct):
    id: str
    row: _Row


class _Rows(msgspec.Struct):
    records: list[_Record]
    total: int = 0


_rows = msgspec.msgpack.Decoder(_Rows, strict=False)


class _Document(msgspec.Struct):
    name: str
    integration_type: str
    observes: tuple[str, ...]
    configuration: dict[str, Any]
    org_id: str | None = None
    store_id: str | None = None
    description: str = ""
    paused: bool = False
    rate_limit: float | None = None
    timeout: float | None = None
    retry_schedule: tuple[float, ...] | None = None
    filter: dict[str, Any] | None = None
    keys: tuple[KeyPair, ...] | None = None
    #: The minor version that a process needs to understand the document.
    minor: int = 0


class _KnownDocument(_Document, forbid_unknown_fields=True):
    """A document that no newer version has written a field into."""


_known_document = msgspec.json.Decoder(_KnownDocument)
_document = msgspec.json.Decoder(_Document)
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: Fields of the document that a minor version added, each with that version. They are written only while it is in
#: force, or where the document has needed it already, and left out if their value is None. A document that has one
#: needs a process of that version.
FIELDS_SINCE: Mapping[str, int] = MappingProxyType(
    {"keys": KEYS_SINCE, "timeout": PATIENCE_SINCE, "retry_schedule": PATIENCE_SINCE, "filter": FILTER_SINCE}
)
_KNOWN = frozenset(_Document.__struct_fields__)


class NotInForceError(Exception):
    """A process of an older version lives, which would not understand the `field`; nothing was written."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: not every process understands it yet")
        self.field = field


class WritingVersion(Protocol):
    """The part of the membership that says which minor version this process writes."""

    @property
    def minor(self) -> int: ...


class IntegrationRepository:
    """The integrations of the ledger."""

    def __init__(self, redis: RedisClient, version: WritingVersion) -> None:
        self._redis = redis
        self._version = version

    async def put(
        self,
        integration: Integration,
        expect: int | None = None,
        events: Sequence[Event] = (),
        *,
        renewed: bool = True,
        change: Change | None = None,
    ) -> SavedIntegration:
        """Create or update an integration; return it as the ledger has it now.

        Args:
            integration: The integration to write.
            expect: The revision that the ledger must have; 0 if the integration must be new, None for any revision.
            events: Events about the change, which are accepted together with it.
            renewed: Whether the receiver may be a different one now, or is to be tried again. Then the circuit closes,
                and jobs that wait for a later attempt are due now.
            change: The audit's record of the change; None for a change that no person makes.

        Raises:
            RevisionConflict: It has another revision, or its secrets were sealed again since it was read.
            TooManyIntegrations: It is new, and its scope has as many integrations as it may have.
            NotInForceError: It has a new field, and a process lives that would ignore it.
        """
        if too_early := [
            name for name, since in _needs(integration).items() if not self._may_write(since, integration)
        ]:
            raise NotInForceError(too_early[0])
        document, minor = self._document(integration)
        kept = await self._redis.run_confirmed(
            "put_integration",
            id=integration.id,
            scope=integration.scope.key,
            doc=document,
            minor=minor,
            enabled=int(integration.enabled),
            paused=int(integration.paused),
            rate=integration.rate_limit or 0,
            renewed=int(renewed),
            reason=integration.disabled_reason,
            expect=_expected(expect),
            resealed=integration.resealed,
            most=self._redis.policy.integrations,
            **self._with_events(events),
            **change_arguments(change, self._redis.policy),
        )
        if kept is None:
            raise _conflict(integration.id)
        if len(kept) == 1:
            raise TooManyIntegrations(int(kept[0]), self._redis.policy.integrations)
        revision, created_at, updated_at, closed = map(int, kept)
        now = replace(
            integration,
            revision=revision,
            created_at=created_at,
            updated_at=updated_at,
            **(_NOTHING_EARNED if renewed else {}),
        )
        return SavedIntegration(now, CircuitChange(integration.id, is_open=False, until=0) if closed else None)

    async def get(self, integration_ids: Sequence[str]) -> list[Integration]:
        """Return those of the integrations that exist, in the order given."""
        found: list[Integration] = []
        for ids in by_message(integration_ids):
            reply = await self._redis.run("show_integrations", ids=ids)
            found += [_integration(each.id, each.row) for each in _rows.decode(reply).records]
        return found

    async def page(self, scope: Scope, offset: int, limit: int) -> Page[Integration]:
        """Return a page of a scope's integrations, the newest first."""
        reply = await self._redis.run("page_integrations", scope=scope.key, offset=offset, limit=limit)
        found = _rows.decode(reply)
        return Page([_integration(each.id, each.row) for each in found.records], found.total)

    async def delete(
        self,
        integration_id: str,
        expect: int | None = None,
        events: Sequence[Event] = (),
        *,
        change: Change | None = None,
    ) -> bool:
        """Delete an integration; return False if there was none. Later sweeps cancel the pending jobs of its lane.

        `expect`, `events` and `change` as in put().
        """
        deleted = await self._redis.run_confirmed(
            "delete_integration",
            id=integration_id,
            tombstones=TOMBSTONES,
            scope_retention=SCOPE_RETENTION,
            expect=_expected(expect),
            **self._with_events(events),
            **change_arguments(change, self._redis.policy),
        )
        if deleted < 0:
            raise _conflict(integration_id)
        return bool(deleted)

    async def announce_disabled(self, integration_id: str, events: Sequence[Event]) -> bool:
        """Accept the events about an integration that the fleet disabled, once and only while it is disabled.

        Returns whether they were accepted.
        """
        accepted = await self._redis.run_confirmed("announce_disabled", id=integration_id, **self._with_events(events))
        return bool(accepted)

    async def scan(self, cursor: int = 0) -> tuple[int, list[Integration]]:
        """Return the next cursor (0 at the end) and some integrations of any scope.

        A whole scan returns an integration that exists throughout it at least once.
        """
        following, ids = await self._redis.scan("integration:*", cursor)
        return following, await self.get(ids)

    async def reseal(self, before: Integration, after: Integration, change: Change | None = None) -> bool:
        """Write the same integration with secrets sealed by another key; return False if it was changed meanwhile."""
        done = await self._redis.run_confirmed(
            "reseal",
            id=before.id,
            revision=before.revision,
            doc=self._document(after)[0],
            **change_arguments(change, self._redis.policy),
        )
        return bool(done)

    async def refresh(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot at the registry's current version; read only the changes since then."""
        version, floor, ids = await self.changed_since(snapshot.scope, snapshot.version)
        if snapshot.version < floor or snapshot.version > version:
            # It is older than the deletions that the scope remembers, or Redis has lost data since.
            snapshot = Snapshot(snapshot.scope)
            version, _, ids = await self.changed_since(snapshot.scope, 0)
        if snapshot.version == version:
            return snapshot
        found = await self.get(ids)
        return snapshot.updated(version, found, set(ids) - {each.id for each in found})

    async def changed_since(self, scope: Scope, since: int) -> tuple[int, int, list[str]]:
        """Return a scope's version, the oldest version whose deletions it remembers, and the ids changed since.

        The ids come in the order of their changes, with those of deleted integrations. All is read at one moment.
        """
        key = f"scope:{scope.key}"
        (version, floor), changes = await self._redis.atomically(
            ("hmget", key, "version", "floor"), ("zrange", f"{key}:changes", f"({since}", "+inf", "BYSCORE")
        )
        return int(version or 0), int(floor or 0), [each.decode() for each in changes]

    def _document(self, integration: Integration) -> tuple[str, int]:
        """Return the document, with the fields that a newer version wrote into it, and the minor version it needs."""
        fields = self._fields(integration)
        document = msgspec.json.encode(fields | dict(integration.unknown)).decode()
        return document, fields.get("minor", 0)

    def _fields(self, integration: Integration) -> dict[str, Any]:
        """Return the known fields of the document that may be written now."""
        document = _Document(
            integration.name,
            integration.integration_type,
            integration.observes,
            dict(integration.configuration),
            integration.scope.org_id,
            integration.scope.store_id,
            integration.description,
            integration.paused,
            integration.rate_limit,
            integration.timeout,
            integration.retry_schedule,
            None if integration.filter is None else dict(integration.filter),
            integration.keys,
        )
        given = msgspec.structs.asdict(document)
        new = {
            name: since
            for name, since in FIELDS_SINCE.items()
            if given[name] is not None and self._may_write(since, integration)
        }
        fields = {name: value for name, value in given.items() if name in new or name not in FIELDS_SINCE}
        # A version that this build knows is needed only by what is written now.
        newer = integration.minor if is_newer(integration.minor) else 0
        fields["minor"] = max([newer, *new.values(), *_keys_since(integration).values()])
        return fields if fields["minor"] else {name: value for name, value in fields.items() if name != "minor"}

    def _may_write(self, since: int, integration: Integration) -> bool:
        return since <= max(self._version.minor, integration.minor)

    def _with_events(self, events: Sequence[Event]) -> dict[str, Any]:
        return acceptance(events, Ingress.INTEGRATIONS, self._redis.policy)


def _needs(integration: Integration) -> dict[str, int]:
    """Return what an integration has that a minor version added: each field, and each key of its configuration."""
    fields = {name: since for name, since in FIELDS_SINCE.items() if getattr(integration, name, None) is not None}
    return fields | _keys_since(integration)


def _keys_since(integration: Integration) -> dict[str, int]:
    known = CONFIGURATION_SINCE.get(integration.integration_type, {})
    return {f"configuration.{name}": known[name] for name in integration.configuration if name in known}


def _expected(revision: int | None) -> int:
    return -1 if revision is None else revision


def _conflict(integration_id: str) -> RevisionConflict:
    return RevisionConflict(f"integration {integration_id} was changed by another request after it was read")


def _integration(integration_id: str, row: _Row) -> Integration:
    document, unknown = _read(row.doc)
    return Integration(
        id=integration_id,
        scope=Scope(document.org_id, document.store_id),
        name=document.name,
        integration_type=document.integration_type,
        observes=document.observes,
        configuration=document.configuration,
        description=document.description,
        enabled=row.enabled,
        paused=document.paused,
        rate_limit=document.rate_limit,
        timeout=document.timeout,
        retry_schedule=document.retry_schedule,
        filter=document.filter,
        keys=document.keys,
        disabled_reason=row.reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        resealed=row.resealed,
        circuit=row.circuit,
        circuit_until=row.circuit_until,
        failing_since=row.failing_since,
        failing_attempts=row.failing_attempts,
        minor=document.minor,
        unknown=unknown,
    )


def _read(text: str) -> tuple[_Document, dict[str, msgspec.Raw]]:
    """Return a document, and the fields that this version does not know."""
    try:
        return _known_document.decode(text), {}
    except msgspec.ValidationError:
        document, fields = _document.decode(text), _raw_fields.decode(text)
        return document, {name: value for name, value in fields.items() if name not in _KNOWN}
