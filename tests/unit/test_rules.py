"""Alerts are tested, documented, and worth being woken for."""

import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import click
import pytest
import yaml

from worker.cli import edw

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yaml"))
TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml"))
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
MISSING = 'promtool is not installed: run "make servers", or apt install prometheus'

_HEADING = re.compile(r"^### (\w+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:`|^ {4})edw ([^`\n]+)", re.MULTILINE)


def rules(kind: str) -> list[dict[str, Any]]:
    groups = (group for file in RULES for group in yaml.safe_load(file.read_text())["groups"])
    return [rule for group in groups for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for rule in rules("alert")}


def promtool(*words: str) -> None:
    if not which("promtool"):
        pytest.skip(MISSING)
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_sound() -> None:
    promtool("check", "rules", *map(str, RULES))


def test_each_alert_fires_and_clears_as_its_test_says() -> None:
    promtool("test", "rules", *map(str, TESTS))


def test_every_alert_has_a_test_in_which_it_fires_and_later_is_gone() -> None:
    cases = [
        case for file in TESTS for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    for alert in ALERTS:
        outcomes = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert]
        assert outcomes == [True, False], alert


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{alert['alert'].lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_none_for_another() -> None:
    assert sorted(_HEADING.findall(RUNBOOK)) == sorted(ALERTS)
    for alert, entry in zip(_HEADING.findall(RUNBOOK), _HEADING.split(RUNBOOK)[2::2], strict=True):
        for part in ("**Meaning:**", "**Users see:**", "**Find the cause:**", "**Mend it:**"):
            assert part in entry, f"{alert}: {part}"
        assert f"[{alert}](#{alert.lower()})" in RUNBOOK.split("## Receivers")[0], f"{alert} is not in the table"


def test_the_runbooks_table_wakes_for_what_is_critical_and_for_nothing_else() -> None:
    (row,) = [line for line in RUNBOOK.splitlines() if line.startswith("| [")]
    page, morning = ({*re.findall(r"\[(\w+)\]", cell)} for cell in row.strip("| ").split(" | "))
    assert page == {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "critical"}
    assert morning == set(ALERTS) - page


def test_every_command_of_the_runbook_exists() -> None:
    commands = _COMMAND.findall(RUNBOOK)
    assert len(commands) > 20
    for words in map(str.split, commands):
        command: click.Command = edw
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, words
            command = found
        # A group does something of its own only if it says so, as `edw logs` does.
        assert not isinstance(command, click.Group) or command.invoke_without_command, words
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words if word.startswith("--")} <= options, words
