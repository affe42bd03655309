"""The directory of a store's integrations: what changed is read again, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.samples import ELSEWHERE, SCOPE, an_integration
from worker.console import integration_directory
from worker.console.integration_directory import IntegrationDirectory, candidates, entry_of, matching_entries
from worker.domain.event import Scope
from worker.domain.integration import Integration


class Registry:
    """Integrations with versions, and how many were read."""

    def __init__(self) -> None:
        self.version = self.floor = self.reads = 0
        self.rows: dict[str, Integration] = {}
        self.changes: dict[str, int] = {}

    def put(self, *integrations: Integration) -> None:
        for each in integrations:
            self.version += 1
            self.rows[each.id] = each
            self._change(each.id)

    def delete(self, integration_id: str) -> None:
        self.version += 1
        del self.rows[integration_id]
        self._change(integration_id)

    def _change(self, integration_id: str) -> None:
        self.changes.pop(integration_id, None)
        self.changes[integration_id] = self.version

    async def changed_since(self, scope: Scope, since: int) -> tuple[int, int, list[str]]:
        if scope != SCOPE:
            return 0, 0, []
        return self.version, self.floor, [each for each, version in self.changes.items() if version > since]

    async def get(self, integration_ids: Sequence[str]) -> list[Integration]:
        self.reads += len(integration_ids)
        return [self.rows[each] for each in integration_ids if each in self.rows]


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.put(*(an_integration(f"i-{n}", name=f"Shop {n}", created_at=n) for n in range(120)))
    return made


async def ids(directory: IntegrationDirectory, scope: Scope = SCOPE) -> list[str]:
    return [each.id for each in await directory.newest_first(scope)]


async def test_the_newest_comes_first_and_another_store_has_none_of_them(registry: Registry) -> None:
    directory = IntegrationDirectory(registry)
    found = await ids(directory)
    assert (len(found), found[:2], found[-1]) == (120, ["i-119", "i-118"], "i-0")
    assert await ids(directory, ELSEWHERE) == []


async def test_only_what_changed_is_read_again(registry: Registry) -> None:
    directory = IntegrationDirectory(registry)
    await ids(directory)
    registry.reads = 0
    registry.put(an_integration("i-7", name="renamed", created_at=7, enabled=False))
    registry.put(an_integration("new", created_at=500))
    registry.delete("i-5")
    found = {each.id: each for each in await directory.newest_first(SCOPE)}
    assert registry.reads == 3
    assert (len(found), found["i-7"].name, found["i-7"].enabled) == (120, "renamed", False)
    assert next(iter(found)) == "new"
    assert "i-5" not in found
    await ids(directory)
    assert registry.reads == 3


@pytest.mark.parametrize("lost", ["floor", "version"])
async def test_a_directory_that_is_too_old_or_too_new_is_read_anew(registry: Registry, lost: str) -> None:
    directory = IntegrationDirectory(registry)
    await ids(directory)
    del registry.rows["i-3"], registry.changes["i-3"]
    if lost == "floor":
        # The store remembers no deletion as old as this one.
        registry.version += 10
        registry.floor = registry.version
    else:
        # Redis has lost its last writes.
        registry.version -= 1
    assert "i-3" not in await ids(directory)


async def test_of_a_store_with_more_integrations_than_are_kept_the_last_changed_ones_are_kept(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration_directory, "LISTED_MOST", 100)
    directory = IntegrationDirectory(registry)
    assert len(await ids(directory)) == 100
    registry.put(an_integration("i-0", created_at=0))
    found = await ids(directory)
    assert (len(found), found[-1], "i-20" in found) == (100, "i-0", False)


def test_filters_find_states_and_parts_of_names_ids_and_places() -> None:
    made = [
        an_integration("on", name="ÄRP", configuration={"url": "https://Erp.example/"}),
        an_integration("off", enabled=False),
        an_integration("held", paused=True),
        an_integration("bad"),
        an_integration("bad and off", enabled=False),
    ]
    entries = [entry_of(each) for each in made]
    failing = {"bad", "bad and off"}
    states = {
        state: [each.id for each in matching_entries(entries, state, "", failing)]
        for state in ("healthy", "disabled", "paused", "failing", "")
    }
    assert states["healthy"] == ["on"]
    assert states["disabled"] == ["off", "bad and off"]
    assert (states["paused"], states["failing"], len(states[""])) == (["held"], ["bad"], 5)
    for text in ("ärp", "ERP.example", "on"):
        assert "on" in [each.id for each in matching_entries(entries, "", text, ())]
    assert not matching_entries(entries, "healthy", "nowhere", ())


def test_an_order_looks_at_failing_integrations_first_then_at_those_on_hold_then_at_the_newest() -> None:
    entries = [entry_of(an_integration(f"i-{n}")) for n in range(6)]
    entries[4] = replace(entries[4], paused=True)
    assert [each.id for each in candidates(entries, ["i-5", "i-2", "gone"], 4)] == ["i-5", "i-2", "i-4", "i-0"]
