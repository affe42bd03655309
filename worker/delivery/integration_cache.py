"""The integrations that a worker process keeps: snapshots to match events with, and targets to deliver to."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import inf

import structlog

from deliverers.contract import Deliverer, IntegrationRef
from deliverers.registry import ConfigurationError, DelivererRegistry, UnknownIntegrationType
from worker.delivery.integration_reads import IntegrationReads
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.event import Scope
from worker.domain.expiry import ends_of
from worker.domain.integration import Integration
from worker.domain.matching import Snapshot
from worker.domain.secrets_box import SecretsBox, SecretsError
from worker.domain.signing_keys import opened_keys
from worker.ledger import Ledger
from worker.telemetry.certificate_watch import CERTIFICATES

_log = structlog.get_logger("edw.delivery")

#: The most targets that a process keeps; the least recently used are dropped.
TARGETS_KEPT = 20_000
#: The most scopes whose snapshot a process keeps.
SNAPSHOTS_KEPT = 5_000


class IntegrationCache:
    """A process's cache of the registry. Versions and revisions in the ledger's replies show what is out of date.

    `longest_timeout` (seconds) limits the integrations' own timeouts: the setting may be lower than it was.
    """

    def __init__(
        self,
        ledger: Ledger,
        types: DelivererRegistry,
        deliverers: Mapping[str, Deliverer],
        secrets: SecretsBox,
        longest_timeout: float = inf,
    ) -> None:
        self._ledger = ledger
        self._types = types
        self._deliverers = deliverers
        self._secrets = secrets
        self._longest_timeout = longest_timeout
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._reads = IntegrationReads(ledger.integrations.get)
        self._targets: OrderedDict[str, tuple[int, DeliveryTarget | NoTarget]] = OrderedDict()

    async def snapshot(self, scope: Scope, version: int) -> Snapshot:
        """Return the scope's integrations, as of the registry's `version` or later."""
        known = self._snapshots.get(scope.key) or Snapshot(scope)
        if known.version != version:
            before, known = known, await self._ledger.integrations.refresh(known)
            CERTIFICATES.forget(each for each in before.by_id if each not in known.by_id)
        self._snapshots[scope.key] = known
        self._snapshots.move_to_end(scope.key)
        if len(self._snapshots) > SNAPSHOTS_KEPT:
            self._snapshots.popitem(last=False)
        return known

    def known(self, scope: Scope) -> Snapshot | None:
        """Return the cached integrations of the scope, which may have changed since; None if there are none."""
        return self._snapshots.get(scope.key)

    def forget(self) -> None:
        """Drop the cache. After Redis lost data, the same revision may name another state of an integration."""
        self._snapshots.clear()
        self._targets.clear()

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None:
        """Return the cached target of a claim, or None if there is none of the lane's revision."""
        found = self._targets.get(claim.integration_id)
        if found is None or found[0] != claim.revision:
            return None
        self._targets.move_to_end(claim.integration_id)
        return found[1]

    def unread(self, stores: Mapping[str, str]) -> Sequence[str]:
        """Return those of the lanes whose integration is not cached; `stores` has the Scope.key of each."""
        return [lane for lane, store in stores.items() if lane not in self._targets and not self._shown(lane, store)]

    async def read(self, lanes: Sequence[str]) -> None:
        """Read the targets of lanes from the registry, and cache them.

        It raises nothing: each attempt reads the target that it misses, and reports why it cannot.
        """
        try:
            for found in await self._ledger.integrations.get(lanes):
                self._keep(found)
        except Exception as error:  # noqa: BLE001  (it must not affect the jobs that are claimed meanwhile)
            _log.info("targets not read ahead", why=str(error))

    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget:
        """Read the target of a claim from a snapshot of this revision, else from the registry, and cache it."""
        found = self._shown(claim.integration_id, claim.scope_key)
        if found is None or found.revision != claim.revision:
            found = await self._reads.read(claim.integration_id)
        if found is None:
            return NoTarget("", "the integration was deleted")
        return self._keep(found)

    def target(self, integration: Integration) -> DeliveryTarget | NoTarget:
        """Make a new target for an integration of the ledger."""
        kind, schedule = integration.integration_type, integration.retry_schedule
        deliverer = self._deliverers.get(kind)
        if deliverer is None:
            reason = f"this worker has no deliverer for the integration_type {kind!r}"
            return NoTarget(kind, reason, retry_schedule=schedule)
        try:
            opened = self._secrets.open(integration.configuration, self._types.secret_fields(kind))
            configuration = self._types.parse_configuration(kind, opened)
            signs = bool(integration.keys) and self._types.signs(kind)
            signing_keys = opened_keys(integration.keys, self._secrets) if signs else ()
        except SecretsError as error:
            return NoTarget(kind, "the integration's secrets cannot be opened now", str(error), schedule)
        except (ConfigurationError, UnknownIntegrationType) as error:
            return NoTarget(kind, f"the integration's configuration cannot be used: {error}", retry_schedule=schedule)
        CERTIFICATES.note(integration.id, ends_of(integration, self._types))
        ref = IntegrationRef(integration.id, kind, integration.name, integration.description)
        timeout = None if integration.timeout is None else min(integration.timeout, self._longest_timeout)
        return DeliveryTarget(ref, deliverer, configuration, timeout, schedule, signing_keys)

    def _shown(self, integration_id: str, scope_key: str) -> Integration | None:
        """Return an integration as the cached snapshot of its scope has it."""
        snapshot = self._snapshots.get(scope_key)
        return snapshot.by_id.get(integration_id) if snapshot else None

    def _keep(self, integration: Integration) -> DeliveryTarget | NoTarget:
        """Make the target of an integration, cache and return it."""
        target = self.target(integration)
        self._targets[integration.id] = (integration.revision, target)
        if len(self._targets) > TARGETS_KEPT:
            self._targets.popitem(last=False)
        return target
