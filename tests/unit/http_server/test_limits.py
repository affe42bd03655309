"""How many connections leave enough descriptors for deliveries."""

import resource
import subprocess
import sys

import pytest

from config.settings import load_settings
from worker.http_server.limits import (
    BACKLOG,
    CONNECTIONS_LEAST,
    api_limits,
    connections_within,
    deliveries_need,
    metrics_limits,
)


@pytest.mark.parametrize(
    ("descriptors", "allowed"),
    [(65_536, 500), (1_024, 500), (500 + 100 + BACKLOG, 500), (400, 400 - 100 - BACKLOG), (10, CONNECTIONS_LEAST)],
)
def test_a_server_has_what_it_wants_as_far_as_descriptors_are_left(descriptors: int, allowed: int) -> None:
    assert connections_within(500, descriptors, 100) == allowed


def test_at_the_usual_limit_of_1024_files_deliveries_and_metrics_have_all_they_want() -> None:
    settings = load_settings()
    limits = metrics_limits(settings, 1_024)
    assert limits.connections == settings.metrics_connections
    assert deliveries_need(settings) + limits.connections + BACKLOG < 1_024


@pytest.mark.parametrize("descriptors", [1_024, 600, 256])
def test_the_metrics_port_never_takes_what_deliveries_need(descriptors: int) -> None:
    settings = load_settings(metrics_connections="10000")
    limits = metrics_limits(settings, descriptors)
    assert limits.connections <= max(CONNECTIONS_LEAST, descriptors - deliveries_need(settings) - BACKLOG)


def test_the_api_leaves_descriptors_for_its_metrics_and_redis() -> None:
    settings = load_settings(api_connections="100000")
    most = api_limits(settings, 1_024).connections
    assert most + settings.metrics_connections + 2 * BACKLOG + 200 <= 1_024


def test_a_process_raises_its_limit_to_the_hard_one_and_not_beyond() -> None:
    script = "from worker.http_server.limits import raise_descriptor_limit as up; print(up(), up())"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    within = min(512, hard) if hard != resource.RLIM_INFINITY else 512

    def lowered() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, within))

    command = [sys.executable, "-c", script]
    said = subprocess.run(command, preexec_fn=lowered, capture_output=True, check=True, text=True)
    assert said.stdout.split() == [str(within)] * 2
