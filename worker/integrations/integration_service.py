"""Changes to integrations, for API and CLI: read, decide, seal, write, and publish a lifecycle event."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakValueDictionary

from config.observable_events import Catalogue
from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.domain.change import Actor, Change, ChangeAction, integration_change, keys_change
from worker.domain.configuration_replacement import ignored_keys
from worker.domain.event import Event, Ingress, Refusal, Scope
from worker.domain.expiry import expiry_warnings
from worker.domain.humanize import counted
from worker.domain.integration import Integration
from worker.domain.integration_input import is_renewed, register
from worker.domain.patience import USUAL_LIMITS, PatienceLimits
from worker.domain.sealing import changed_secrets, opened, sealed, shown, warnings_of
from worker.domain.secrets_box import SecretsBox
from worker.domain.signing_keys import USUAL_OVERLAP, KeyPair, new_pair, overlap_problem, rotated
from worker.integrations.lifecycle_events import LifecycleEvents
from worker.ledger.integration_repository import (
    NotInForceError,
    RevisionConflict,
    SavedIntegration,
    TooManyIntegrations,
)
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_circuit

#: Most tries of a change that conflicts with changes of other processes, if the caller named no revision.
TRIES = 20


def patience_limits(settings: Settings) -> PatienceLimits:
    """Return the limits of integrations' own timeouts and retry schedules."""
    return PatienceLimits(settings.webhook_timeout_max, settings.job_deadline)


class IntegrationWriter(Protocol):
    """The part of the ledger's registry that reads and writes integrations."""

    async def put(
        self,
        integration: Integration,
        expect: int | None = None,
        events: Sequence[Event] = (),
        *,
        renewed: bool = True,
        change: Change | None = None,
    ) -> SavedIntegration: ...
    async def get(self, integration_ids: Sequence[str]) -> list[Integration]: ...
    async def delete(
        self,
        integration_id: str,
        expect: int | None = None,
        events: Sequence[Event] = (),
        *,
        change: Change | None = None,
    ) -> bool: ...


class IntegrationService:
    """Creates, changes and deletes integrations. The ledger accepts a lifecycle event together with each change.

    The ledger also records each change for the audit, together with `by`, who made it.

    `announce` receives the references of those events; without it, the sweeps find the events. Every call may raise
    LedgerError, and SecretsError if a secret cannot be sealed or opened.
    """

    def __init__(
        self,
        registry: IntegrationWriter,
        types: DelivererRegistry,
        catalogue: Catalogue,
        secrets: SecretsBox,
        announce: Callable[[Sequence[str]], None] = lambda _: None,
        limits: PatienceLimits = USUAL_LIMITS,
    ) -> None:
        self._registry = registry
        self._types = types
        self._catalogue = catalogue
        self._secrets = secrets
        self._changes = LifecycleEvents(types, catalogue, secrets)
        self._announce = announce
        self._limits = limits
        #: Locks that serialise the changes of one integration; many at once would use up the tries of the last one.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(
        self, attributes: Mapping[str, Any], scope: Scope, by: Actor
    ) -> tuple[Integration, list[str]] | list[Refusal]:
        """Create an integration; return it and its warnings, or everything that is wrong with the attributes."""
        made = register(attributes, scope, self._types, self._catalogue, limits=self._limits, now=datetime.now(UTC))
        if isinstance(made, list):
            return made
        safe = sealed(made, self._types, self._secrets)
        event = self._changes.event("created", safe)
        change = integration_change(by, ChangeAction.INTEGRATION_CREATED, None, self.shown(safe))
        try:
            kept = await self._registry.put(safe, 0, [event], change=change)
        except TooManyIntegrations as full:
            return [_refused(full, scope)]
        except NotInForceError as error:
            return [_too_early(error)]
        return self._published(kept, event), [*warnings_of(made, self._types), *self.ignored(attributes, made)]

    async def update(
        self, current: Integration, attributes: Mapping[str, Any], by: Actor, expect: int | None = None
    ) -> Integration | list[Refusal]:
        """Change the given attributes; return the new integration, or everything that is wrong with the attributes.

        With `expect`, raises RevisionConflict unless the integration has that revision. Without it, a concurrent
        change is kept, and this change is made on top of it. Raises RevisionConflict too if the integration was deleted
        meanwhile.
        """
        async with self._turns.setdefault(current.id, asyncio.Lock()):
            return await self._update(current, attributes, by, expect)

    async def _update(
        self, current: Integration, attributes: Mapping[str, Any], by: Actor, expect: int | None
    ) -> Integration | list[Refusal]:
        for _ in range(TRIES):
            if expect is not None and current.revision != expect:
                break
            made = self._changed(current, attributes)
            if isinstance(made, list):
                return made
            event = self._changes.event("updated", made)
            renewed = is_renewed(current, made, attributes)
            try:
                change = self._update_of(current, made, attributes, by)
                kept = await self._registry.put(made, current.revision, [event], renewed=renewed, change=change)
            except RevisionConflict:
                # If only its secrets were sealed again, its revision is still the one that the caller knows.
                current = await self._kept(current.id)
                continue
            except NotInForceError as error:
                return [_too_early(error)]
            return self._published(kept, event)
        raise RevisionConflict(
            f"integration {current.id} was changed by another request; read it again and repeat the change"
        )

    async def rotate_keys(
        self, current: Integration, by: Actor, now: int, overlap: float = USUAL_OVERLAP
    ) -> Integration | Refusal:
        """Make a key pair that signs the integration's webhooks; older ones go on signing for `overlap` seconds.

        `now` is in milliseconds since 1970. Returns the integration, or why it gets no key.
        """
        if not self._types.signs(current.integration_type):
            return Refusal("", f"integrations of the type {current.integration_type} have no signing keys")
        if problem := overlap_problem(overlap):
            return Refusal("overlap", problem)
        fresh = new_pair(self._secrets, now)
        return await self._with_keys(
            current, ChangeAction.KEYS_ROTATED, by, lambda pairs: rotated(pairs, fresh, now, overlap)
        )

    async def delete_keys(self, current: Integration, by: Actor) -> Integration | Refusal:
        """Delete an integration's key pairs; none signs any more."""
        return await self._with_keys(current, ChangeAction.KEYS_DELETED, by, lambda _: ())

    async def _with_keys(
        self,
        current: Integration,
        action: ChangeAction,
        by: Actor,
        change: Callable[[tuple[KeyPair, ...] | None], tuple[KeyPair, ...] | Refusal],
    ) -> Integration | Refusal:
        async with self._turns.setdefault(current.id, asyncio.Lock()):
            for _ in range(TRIES):
                pairs = change(current.keys)
                if isinstance(pairs, Refusal):
                    return pairs
                made = replace(current, keys=pairs or None)
                event = self._changes.event("updated", made)
                try:
                    record = keys_change(by, action, current, made)
                    kept = await self._registry.put(made, current.revision, [event], renewed=False, change=record)
                except RevisionConflict:
                    current = await self._kept(current.id)
                    continue
                except NotInForceError as error:
                    return _too_early(error)
                return self._published(kept, event)
        raise RevisionConflict(f"integration {current.id} was changed by other requests; repeat the change")

    async def delete(self, current: Integration, by: Actor, expect: int | None = None) -> bool:
        """Delete an integration; return False if it was already deleted.

        With `expect`, raises RevisionConflict unless the integration has that revision.
        """
        event = self._changes.event("deleted", current)
        change = integration_change(by, ChangeAction.INTEGRATION_DELETED, self.shown(current), None)
        deleted = await self._registry.delete(current.id, expect, [event], change=change)
        if deleted:
            self._publish(event)
        return deleted

    def ignored(self, attributes: Mapping[str, Any], integration: Integration) -> list[str]:
        """Return warnings about given keys that an accepted create or update ignored."""
        return ignored_keys(attributes.get("configuration"), integration.integration_type, self._types)

    def expiring(self, integration: Integration) -> list[str]:
        """Return warnings about what runs out within 30 days, such as a client certificate."""
        return expiry_warnings(integration, self._types, datetime.now(UTC))

    def shown(self, integration: Integration, *, reveal: bool = False) -> Integration:
        """Return the integration with its secrets masked; with `reveal`, as an admin of its scope may see it."""
        return shown(integration, self._types, self._secrets, reveal=reveal)

    def _changed(self, current: Integration, attributes: Mapping[str, Any]) -> Integration | list[Refusal]:
        # Without a new configuration the secrets stay sealed, and no key is needed.
        if "configuration" not in attributes and "integration_type" not in attributes:
            return self._registered(attributes, current)
        before = opened(current, self._types, self._secrets)
        made = self._registered(attributes, before)
        return made if isinstance(made, list) else sealed(made, self._types, self._secrets)

    def _registered(self, attributes: Mapping[str, Any], current: Integration) -> Integration | list[Refusal]:
        return register(
            attributes,
            current.scope,
            self._types,
            self._catalogue,
            current=current,
            limits=self._limits,
            now=datetime.now(UTC),
        )

    def _update_of(self, current: Integration, made: Integration, attributes: Mapping[str, Any], by: Actor) -> Change:
        """Return the audit's record of an update."""
        new_secrets = []
        if "configuration" in attributes or "integration_type" in attributes:
            new_secrets = changed_secrets(current, made, self._types, self._secrets)
        before, after = self.shown(current), self.shown(made)
        return integration_change(by, ChangeAction.INTEGRATION_UPDATED, before, after, new_secrets)

    def _published(self, kept: SavedIntegration, event: Event) -> Integration:
        """Announce a stored change, and return the integration."""
        self._publish(event)
        if kept.circuit:
            report_circuit(kept.circuit)
        return kept.integration

    def _publish(self, event: Event) -> None:
        metrics.observe_accepted(Ingress.INTEGRATIONS, [True])
        self._announce([event.ref])

    async def _kept(self, integration_id: str) -> Integration:
        found = await self._registry.get([integration_id])
        if not found:
            raise RevisionConflict(f"integration {integration_id} was deleted by another request")
        return found[0]


def _refused(full: TooManyIntegrations, scope: Scope) -> Refusal:
    owner = "organisation" if scope.level == "organization" else "store"
    return Refusal(
        "",
        f"this {owner} has {counted(full.have, 'integration')}, and at most {full.most:,} are allowed"
        " (EDW_STORE_INTEGRATIONS): delete one that is not needed",
    )


def _too_early(error: NotInForceError) -> Refusal:
    return Refusal(
        error.field,
        "cannot be kept yet: a process of an older version runs, which would ignore it. Finish the upgrade"
        " (edw doctor names the process), then repeat the request",
    )
