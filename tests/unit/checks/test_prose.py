"""Words that this project does not use are found where people read, and in names."""

import pytest

from tests.checks.prose import ALLOWED, BANNED, problems, tracked


def found(path: str, text: str) -> list[str]:
    """The places and words that the check reports."""
    return [each.split(";")[0] for each in problems({path: text}, ())]


def test_nothing_here_uses_them() -> None:
    files = tracked()
    assert {"Makefile", "README.md", "deploy/grafana/dashboards/edw.json", "worker/publisher.py"} <= set(files)
    assert problems(files) == []


def test_every_allowance_has_its_reason() -> None:
    assert all(len(reason) > 10 for reason in ALLOWED.values())
    assert {word for _, word in ALLOWED} <= set(BANNED)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""What a caller is\ntold."""', 2),
        ("x = 1\n# Whoever asks.\n", 2),
        ('log.info("worker tells", job=1)', 1),
        ('f"{x} was told"', 1),
        ("error = f'''{x}\nsomebody heard it'''", 2),
        ("def tell_worker(): ...", 1),
        ("class LedgerTeller: ...", 1),
        ('x = {"untold": 1}', 1),
        ("# It goes on as it\tcame.", 1),
    ],
)
def test_python(source: str, line: int) -> None:
    (place,) = found("a.py", source)
    assert place.startswith(f'a.py:{line}: "')


@pytest.mark.parametrize(
    "source", ["# In flight; retold, shear, storeroom, warehouse.", 'f(room=1)["room"]', "intellect = 1"]
)
def test_only_whole_words_count(source: str) -> None:
    assert found("a.py", source) == []


def test_lua_has_comments_and_everything_else_is_prose() -> None:
    assert found("a.lua", "-- first\nlocal told = 1 -- whoever\n") == ['a.lua:2: "whoever"']
    assert found("a.md", "One\n\ntwo, a  matter\nof time") == ['a.md:3: "a matter of"']
    assert found("Makefile", "help: ## tells all") == ['Makefile:1: "tells"']
    assert found("tests/doors.py", "") == ['tests/doors.py:1: "doors"']


def test_an_allowance_is_for_one_word_of_one_file_and_must_be_needed() -> None:
    files = {"a.md": "told", "b.md": "told"}
    assert len(problems(files, [("a.md", "told")])) == 1
    assert problems({"a.md": "said"}, [("a.md", "told")]) == [
        'tests/checks/prose.py allows "told" in a.md, where it does not occur'
    ]
