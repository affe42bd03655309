"""What `edw doctor` says about the settings of a machine."""

import pytest

from config.settings import load_settings
from worker.cli.diagnose import Grade
from worker.cli.diagnose.host_checks import settings_and_files


@pytest.mark.parametrize(
    ("drain", "longest", "is_warned"),
    [("30s", "30s", False), ("25s", "30s", True), ("30s", "2m", True), ("0", "2m", False)],
)
def test_a_drain_that_is_shorter_than_the_longest_timeout_is_warned_of(
    drain: str, longest: str, is_warned: bool
) -> None:
    settings = load_settings(drain_seconds=drain, webhook_timeout_max=longest)
    found = [each for each in settings_and_files(settings) if each.subject == "draining"]
    assert [each.grade for each in found] == ([Grade.WARNING] if is_warned else [])
    for each in found:
        assert "EDW_WEBHOOK_TIMEOUT_MAX" in each.seen
        assert "raise EDW_DRAIN_SECONDS" in each.advice
