"""The producers' page: each of its programs is run as it stands, and its event is delivered."""

import re
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.clients.dev import Dev
from tests.clients.runtimes import GO, JAVA, JAVASCRIPT, PHP, PYTHON, Runtime, as_module
from tests.pages import blocks
from tests.waiting import wait_until

PAGE = "worker/intake/PRODUCERS.md"
#: How a program of each language is called.
SOURCES: dict[str, tuple[Runtime, str]] = {
    "python": (PYTHON, "publish.py"),
    "javascript": (JAVASCRIPT, "publish.mjs"),
    "php": (PHP, "publish.php"),
    "go": (GO, "publish.go"),
    "java": (JAVA, "Publish.java"),
}
PROGRAMS = [(language, program) for language in SOURCES for program in blocks(PAGE, language)]


def event_id(program: str) -> str:
    (found,) = re.findall(r"order-\d+-paid", program)
    return str(found)


def test_each_language_publishes_over_http_and_onto_the_plain_queue() -> None:
    for language in SOURCES:
        over_http, onto_the_queue = blocks(PAGE, language)
        assert "/v2/events" in over_http
        assert "edw.intake" in onto_the_queue
    assert len({event_id(program) for _, program in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize(("language", "program"), PROGRAMS, ids=[event_id(program) for _, program in PROGRAMS])
def test_a_program_of_the_page_publishes_its_event(dev: Dev, language: str, program: str, tmp_path: Path) -> None:
    runtime, name = SOURCES[language]
    source = tmp_path / name
    source.write_text(program)
    if runtime is JAVASCRIPT:
        source = as_module(source, tmp_path)
    runtime.run(
        source,
        environment={"INTEGRATIONS_URL": dev.url, "INTEGRATIONS_TOKEN": dev.token, "EDW_REDIS_URL": dev.redis_url},
    )
    found = wait_until(lambda: _found(dev, event_id(program)), "the event is in the ledger")
    assert (found["triggered_by"], found["store_id"]) == ("order.paid", "store-1")


@pytest.mark.parametrize("language", SOURCES)
def test_a_program_fails_where_its_event_is_not_accepted(dev: Dev, language: str, tmp_path: Path) -> None:
    runtime, name = SOURCES[language]
    source = tmp_path / name
    source.write_text(blocks(PAGE, language)[0])
    if runtime is JAVASCRIPT:
        source = as_module(source, tmp_path)
    with pytest.raises(AssertionError, match="401"):
        runtime.run(source, environment={"INTEGRATIONS_URL": dev.url, "INTEGRATIONS_TOKEN": "nobody's"})


def _found(dev: Dev, event: str) -> dict[str, str] | None:
    try:
        answer: dict[str, str] = dev.ask(f"/v2/events/{event}")
    except HTTPError as error:
        assert error.code == 404
        return None
    return answer
