"""What the audit says of a change."""

from dataclasses import replace
from typing import Any

import pytest

from tests.samples import an_integration
from worker.console.change_words import attributes_of, words_of
from worker.domain.change import Actor, Change, ChangeAction, integration_change

ACTOR = Actor("0123456789abcdef", "Anna")
INTEGRATION = an_integration()


def updated(new_secrets: list[str] | None = None, **changes: Any) -> Change:
    after = replace(INTEGRATION, **changes)
    return integration_change(ACTOR, ChangeAction.INTEGRATION_UPDATED, INTEGRATION, after, new_secrets)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (updated(enabled=False), "disabled"),
        (updated(paused=True), "paused"),
        (updated(enabled=False, name="ERP"), "disabled, changed name"),
        (updated(name="ERP", description="x"), "changed name and description"),
        (updated(configuration={"url": "https://new.example/"}), "changed url"),
        (updated(["secret_key"]), "changed secret_key"),
        (updated(), "changed nothing"),
        (integration_change(ACTOR, ChangeAction.INTEGRATION_CREATED, None, INTEGRATION), "created"),
        (Change(ACTOR, ChangeAction.EVENT_ERASED, "o/s", "event", "e-1"), "erased"),
    ],
)
def test_a_change_is_described_in_a_few_words(change: Change, words: str) -> None:
    assert words_of(change) == words


def test_every_action_has_words_of_its_own() -> None:
    words = {words_of(Change(ACTOR, action, "o/s", "x", "1")) for action in ChangeAction}
    assert not {each for each in words if "." in each}


def test_an_update_names_each_changed_part_of_the_configuration_and_no_other() -> None:
    before = replace(INTEGRATION, configuration={"url": "https://old.example/", "secret_key": "********"})
    after = replace(before, configuration={"url": "https://new.example/", "secret_key": "********"})
    change = integration_change(ACTOR, ChangeAction.INTEGRATION_UPDATED, before, after)
    (found,) = attributes_of(change)
    assert (found.name, found.before, found.after) == ("url", "https://old.example/", "https://new.example/")


def test_hostile_values_stay_on_one_line_and_short() -> None:
    (found,) = attributes_of(updated(name="a\x1b[31m\n" + "b" * 5_000))
    assert found.after.startswith(r"a\u001b[31m b")
    assert len(found.after) <= 300
