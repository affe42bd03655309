"""The cache of integrations: targets are read for many lanes at once; attempts report what cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from deliverers.contract import Deliverer
from deliverers.registry import DelivererRegistry
from tests.samples import SCOPE, an_integration
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget
from worker.domain.integration import Integration
from worker.domain.matching import Snapshot
from worker.domain.secrets_box import SecretsBox
from worker.ledger import Ledger, LedgerUnavailable


@dataclass
class Registry:
    """The integrations of a ledger, which remembers its calls."""

    integrations: dict[str, Integration] = field(default_factory=dict)
    calls: list[Sequence[str]] = field(default_factory=list)
    fault: Exception | None = None

    async def get(self, ids: Sequence[str]) -> list[Integration]:
        self.calls.append(ids)
        if self.fault:
            raise self.fault
        return [self.integrations[each] for each in ids if each in self.integrations]

    async def refresh(self, snapshot: Snapshot) -> Snapshot:
        return snapshot.updated(7, list(self.integrations.values()), set())


def a_registry(*ids: str) -> Registry:
    return Registry({each: an_integration(each, revision=1) for each in ids})


def a_cache(registry: Registry) -> IntegrationCache:
    deliverer = cast("Deliverer", object())
    ledger = cast("Ledger", SimpleNamespace(integrations=registry))
    return IntegrationCache(ledger, DelivererRegistry.built_in(), {"webhook": deliverer}, SecretsBox())


def stores(*lanes: str) -> dict[str, str]:
    return dict.fromkeys(lanes, SCOPE.key)


def claim_of(lane: str, revision: int = 1) -> Claim:
    return Claim(f"job of {lane}", lane, revision, SCOPE.key, "ref", 1)


async def test_the_targets_of_many_lanes_are_read_in_one_call_and_only_once() -> None:
    registry = a_registry("a", "b")
    cache = a_cache(registry)
    assert list(cache.unread(stores("a", "b"))) == ["a", "b"]
    await cache.read(["a", "b"])
    assert list(cache.unread(stores("a", "b", "c"))) == ["c"]
    for lane in ("a", "b"):
        found = cache.known_target(claim_of(lane))
        assert isinstance(found, DeliveryTarget)
        assert found.ref.id == lane
    assert registry.calls == [["a", "b"]]


async def test_what_a_snapshot_has_is_not_read() -> None:
    registry = a_registry("a")
    cache = a_cache(registry)
    await cache.snapshot(SCOPE, 7)
    assert not cache.unread(stores("a"))
    assert isinstance(await cache.load_target(claim_of("a")), DeliveryTarget)
    assert registry.calls == []


async def test_a_target_of_another_revision_than_the_claims_is_read_again() -> None:
    registry = a_registry("a")
    cache = a_cache(registry)
    await cache.read(["a"])
    registry.integrations["a"] = replace(registry.integrations["a"], name="new", revision=2)
    assert cache.known_target(claim_of("a", revision=2)) is None
    found: Any = await cache.load_target(claim_of("a", revision=2))
    assert found.ref.name == "new"


async def test_a_failure_to_read_is_left_to_the_attempts() -> None:
    for fault in (LedgerUnavailable("away"), ValueError("a document that nobody can read")):
        registry = a_registry("a")
        registry.fault = fault
        cache = a_cache(registry)
        await cache.read(["a"])
        registry.fault = None
        assert isinstance(await cache.load_target(claim_of("a")), DeliveryTarget)
