"""deploy/ names no setting that is not there, and its numbers are those of the settings."""

import re
from collections.abc import Callable
from importlib.metadata import version

import pytest
from cryptography.fernet import Fernet

from config.settings import known_variables, load_settings
from tests.integration.deploy.documents import DEPLOY, OVERLAYS, compose, of_kind, overlay, texts, variables, workloads

KNOWN = set(known_variables())
FILES = dict(texts())


@pytest.mark.parametrize("name", FILES)
def test_every_variable_that_a_file_names_is_a_setting(name: str) -> None:
    assert variables(FILES[name]) <= KNOWN


def test_what_compose_and_kubernetes_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(compose()["services"]["worker"]["environment"])
    for each in overlay("production"):
        if each["kind"] == "ConfigMap":
            given |= each["data"]
    for name, value in given.items():
        # What a deployment fills in is no value yet.
        if name != "EDW_SECRETS_KEYS":
            monkeypatch.setenv(name, re.sub(r"\$\{(\w+):\?[^}]*\}", "made-up", value))

    settings = load_settings()

    assert settings.drain_seconds == 30
    assert settings.ledger_wait_replicas == 1
    assert settings.api_url == "https://integrations.example.com"


@pytest.mark.parametrize("name", ["production", "trial"])
def test_ports_of_pods_and_services_are_those_of_the_settings(name: str) -> None:
    settings = load_settings()
    ports = {"metrics": settings.metrics_port, "http": settings.api_port}

    for pod in ("edw-worker", "edw-api"):
        (container,) = workloads(name)[pod]["containers"]
        assert all(ports[each["name"]] == each["containerPort"] for each in container["ports"])
    assert of_kind(name, "Service")["edw-api"]["spec"]["ports"][0]["targetPort"] == "http"


def test_versions_are_ours_and_nobodys_is_the_latest() -> None:
    ours = version("event-delivery-worker")
    images = [each["image"] for each in compose()["services"].values()]
    images += [
        container["image"] for name in OVERLAYS for pod in workloads(name).values() for container in pod["containers"]
    ]

    assert f"ARG VERSION={ours}\n" in FILES["Dockerfile"]
    assert f"registry.example.com/event-delivery-worker:{ours}" in images
    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?$|:local$", image), image


def test_ports_of_compose_are_those_of_the_settings() -> None:
    settings = load_settings()

    assert compose()["services"]["api"]["ports"] == [f"127.0.0.1:{settings.api_port}:{settings.api_port}"]
    prometheus = (DEPLOY / "prometheus/prometheus.yaml").read_text()
    assert set(re.findall(r"port: (\d+)", prometheus)) == {str(settings.metrics_port)}


@pytest.mark.parametrize("name", ["systemd/edw.env.example", "kubernetes/overlays/production/secrets.env.example"])
def test_an_example_is_right_once_its_passwords_and_its_key_are_filled_in(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in FILES[name].splitlines():
        if line and not line.startswith("#"):
            variable, _, value = line.partition("=")
            monkeypatch.setenv(variable, value or Fernet.generate_key().decode())

    settings = load_settings()

    assert settings.redis_url is not None
    assert settings.broker_url is not None
    assert settings.secrets_keys


def _bytes(text: str) -> int:
    """Return a size as Compose, Kubernetes or Redis writes it."""
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]*)", text).groups()  # type: ignore[union-attr]  # a size matches
    return int(number) << {"": 0, "mi": 20, "g": 30, "gb": 30, "gi": 30}[unit.lower()]


def _redis_of_compose() -> tuple[int, int, dict[str, str]]:
    maxmemory = re.search(r"^maxmemory (\S+)$", FILES["redis.conf"], re.MULTILINE)
    assert maxmemory
    services = compose()["services"]
    return _bytes(maxmemory[1]), _bytes(services["redis"]["mem_limit"]), services["worker"]["environment"]


def _redis_of_trial() -> tuple[int, int, dict[str, str]]:
    (container,) = workloads("trial")["edw-redis"]["containers"]
    maxmemory = container["args"][container["args"].index("--maxmemory") + 1]
    (settings,) = of_kind("trial", "ConfigMap").values()
    return _bytes(maxmemory), _bytes(container["resources"]["limits"]["memory"]), settings["data"]


@pytest.mark.parametrize("redis", [_redis_of_compose, _redis_of_trial], ids=["compose", "trial"])
def test_backlogs_fit_into_their_share_of_redis_and_redis_into_its_container(
    redis: Callable[[], tuple[int, int, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    maxmemory, container, given = redis()
    if "EDW_LANE_BACKLOG_BYTES" in given:
        monkeypatch.setenv("EDW_LANE_BACKLOG_BYTES", given["EDW_LANE_BACKLOG_BYTES"])
    settings = load_settings()

    # One receiver's backlog is cut by its own limit first, and all together before events are refused.
    assert settings.lane_backlog_bytes <= settings.backlog_memory * maxmemory
    assert settings.backlog_memory < settings.memory_high_water < 1
    # A third of the container is headroom, for clients' buffers and rewriting the append-only file.
    assert maxmemory <= 2 / 3 * container


def test_the_events_in_flight_fit_into_the_container_of_a_worker() -> None:
    for name in OVERLAYS:
        (container,) = workloads(name)["edw-worker"]["containers"]
        limit = _bytes(container["resources"]["limits"]["memory"])
        # A worker takes 100 MiB, and 700 MB in flight took 417 MiB more; four times their bytes is ample.
        assert (100 << 20) + 4 * load_settings().max_in_flight_bytes <= limit
