"""Matching of events and integrations: a pure decision over a snapshot of one scope's registry."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from worker.domain.content_filter import ContentFilter, compile_filter
from worker.domain.event import Scope
from worker.domain.format_version import is_newer
from worker.domain.integration import Integration


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One scope's integrations at one version of the registry, indexed by the keys that they observe."""

    scope: Scope
    version: int = 0
    by_id: Mapping[str, Integration] = field(default_factory=dict)
    by_key: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Enabled integrations that need a newer build than this one.
    newer: frozenset[str] = frozenset()
    #: The compiled filters of those that have one.
    filters: Mapping[str, ContentFilter] = field(default_factory=dict)

    def matching(self, observable_key: str) -> tuple[str, ...]:
        """Return the ids of the enabled integrations that observe the key."""
        return self.by_key.get(observable_key, ())

    def updated(self, version: int, changed: Iterable[Integration], deleted: Collection[str]) -> "Snapshot":
        """Return the snapshot at a later version. The index is rebuilt only for keys of changed integrations."""
        by_id = dict(self.by_id)
        affected: set[str] = set()
        replaced = {integration.id: integration for integration in changed}
        for gone in (*deleted, *replaced):
            if old := by_id.pop(gone, None):
                affected.update(old.observes)
        for integration in replaced.values():
            by_id[integration.id] = integration
            affected.update(integration.observes)
        by_key = dict(self.by_key)
        members: dict[str, list[str]] = defaultdict(list)
        for key in affected:
            members[key] = [known for known in by_key.pop(key, ()) if known in by_id and known not in replaced]
        for integration in replaced.values():
            if integration.enabled:
                for key in set(integration.observes):
                    members[key].append(integration.id)
        by_key.update({key: tuple(ids) for key, ids in members.items() if ids})
        compiled = {each.id: compile_filter(each.filter) for each in replaced.values() if each.filter is not None}
        filters = {each: known for each, known in self.filters.items() if each in by_id and each not in replaced}
        filters |= {each: found for each, found in compiled.items() if isinstance(found, ContentFilter)}
        # A filter that this build cannot read was written by a newer one.
        newer = {
            each.id
            for each in replaced.values()
            if each.enabled and (is_newer(each.minor) or each.id in compiled.keys() - filters.keys())
        }
        kept = self.newer - set(replaced) - set(deleted)
        return Snapshot(self.scope, version, by_id, by_key, kept | newer, filters)
