import ast
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from config.observable_events import ObservableKey
from config.settings import Settings, SettingsError, load_settings, unknown_variables, variable

PLANTED = "planted-secret"
#: A key as good as any; the same each time, because it is in the name of a test.
KEY = "2xMPq94U7BFJEXsnyRgLlPxyQo1pcmi0SDll02A5VVg="
ROOT = Path(__file__).parents[3]

# The names are public: to rename one breaks a deployment.
DEFAULTS: dict[str, Any] = {
    "EDW_REDIS_URL": None,
    "EDW_BROKER_URL": None,
    "EDW_HISTORY_URL": None,
    "EDW_HISTORY_MIGRATE": "auto",
    "EDW_LEDGER_WINDOW": 15 * 60,
    "EDW_DEDUPLICATION_WINDOW": 86_400,
    "EDW_HISTORY_RETENTION": 90 * 86_400,
    "EDW_HISTORY_PAYLOADS": 30 * 86_400,
    "EDW_DATA_DIR": Path(".edw"),
    "EDW_API_HOST": "127.0.0.1",
    "EDW_API_PORT": 8080,
    "EDW_API_URL": "",
    "EDW_API_BODY_LIMIT": 8 * 1024 * 1024,
    "EDW_API_CONNECTIONS": 500,
    "EDW_API_PROXIES": (),
    "EDW_API_CORS_ORIGINS": (),
    "EDW_CONSOLE_FRAME_ANCESTORS": (),
    "EDW_INBOX_LIMIT": 100_000,
    "EDW_INBOX_MAX_AGE": 900,
    "EDW_STORE_INTAKE_LIMIT": 0,
    "EDW_STORE_INTEGRATIONS": 1_000,
    "EDW_METRICS_PORT": 9464,
    "EDW_METRICS_CONNECTIONS": 64,
    "EDW_METRICS_SECONDS": 5.0,
    "EDW_METRICS_INTEGRATIONS": False,
    "EDW_RETRY_SCHEDULE": (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400),
    "EDW_WEBHOOK_TIMEOUT": 10,
    "EDW_WEBHOOK_SECRET_IN_BODY": False,
    "EDW_WEBHOOK_READ_LIMIT": 65_536,
    "EDW_MAX_IN_FLIGHT": 200,
    "EDW_LANE_CAP": 50,
    "EDW_CIRCUIT_FAILURES": 10,
    "EDW_CIRCUIT_SHARE": 0.9,
    "EDW_CIRCUIT_WINDOW": 60,
    "EDW_CIRCUIT_PAUSES": (10, 30, 60, 120, 300),
    "EDW_DISABLE_AFTER": 5 * 86_400,
    "EDW_DISABLE_ATTEMPTS": 20,
    "EDW_DRAIN_SECONDS": 30,
    "EDW_WEBHOOK_TIMEOUT_MAX": 30,
    "EDW_EGRESS_ALLOW": (),
    "EDW_EGRESS_PORTS": (),
    "EDW_EGRESS_SCHEMES": (),
    "EDW_EGRESS_PROXY": None,
    "EDW_SQS_ENDPOINT": "",
    "EDW_AWS_CREDENTIALS": "none",
    "EDW_STS_ENDPOINT": "",
    "EDW_SQS_LIMIT": 262_144,
    "EDW_STOMP_MESSAGES": "text",
    "EDW_SECRETS_KEYS": (),
    "EDW_TLS_CA_FILE": None,
    "EDW_LOG_RETENTION": 259_200,
    "EDW_LOG_CAP": 100_000,
    "EDW_LOG_BODY_LIMIT": 4_096,
    "EDW_EVENT_RETENTION": 86_400,
    "EDW_EVENT_MAX_BYTES": 1_048_576,
    "EDW_JOB_DEADLINE": 604_800,
    "EDW_MAX_IN_FLIGHT_BYTES": 64 << 20,
    "EDW_OBSERVER_IDLE": 2.0,
    "EDW_LANE_BACKLOG": 1_000_000,
    "EDW_LANE_BACKLOG_BYTES": 1 << 30,
    "EDW_BACKLOG_MEMORY": 0.5,
    "EDW_LOG_EXCHANGE": "failures",
    "EDW_REJECTED_CAP": 1_000,
    "EDW_AUDIT_CAP": 10_000,
    "EDW_AUDIT_RETENTION": 365 * 86_400.0,
    "EDW_OBSERVABLE_KEYS": (),
    "EDW_LEASE_SECONDS": 5,
    "EDW_SWEEP_SECONDS": 1,
    "EDW_ANNOUNCE_SECONDS": 2,
    "EDW_LEDGER_WAIT_REPLICAS": 0,
    "EDW_MEMORY_HIGH_WATER": 0.85,
    "EDW_CELERY_THREADS": 4,
    "EDW_SHARD": "0",
    "EDW_LOG_FORMAT": "json",
    "EDW_LOG_LEVEL": "info",
    "EDW_LOG_PAYLOADS": False,
    "EDW_TRACES": "none",
}


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = load_settings()
    assert {variable(field): getattr(settings, field) for field in Settings.model_fields} == DEFAULTS


def test_every_setting_has_a_line_of_documentation_and_an_example() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description, name
        assert field.examples, name


@pytest.mark.parametrize(
    "name", [name for name in Settings.model_fields if name not in ("secrets_keys", "tls_ca_file")]
)
def test_every_example_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = Settings.model_fields[name].examples
    assert examples
    monkeypatch.setenv(variable(name), examples[0])
    load_settings()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    for name, value in {
        "EDW_REDIS_URL": "rediss://:pw@redis.example:6380/2",
        "EDW_BROKER_URL": "amqp://a@one.example//;amqp://a@two.example//",
        "EDW_RETRY_SCHEDULE": "200ms, 1s",
        "EDW_EGRESS_ALLOW": "127.0.0.0/8,fd00::/8",
        "EDW_SECRETS_KEYS": f"{new} {old}",
        "EDW_TLS_CA_FILE": str(tmp_path / "ca.pem"),
        "EDW_OBSERVABLE_KEYS": "warranty.registered quote.sent:store+organization",
        "EDW_LOG_LEVEL": " WARNING",
        "EDW_LANE_CAP": "",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "rediss://:pw@redis.example:6380/2"
    assert settings.broker_url is not None
    assert settings.retry_schedule == (0.2, 1.0)
    assert settings.egress_allow == (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
    assert [key.get_secret_value() for key in settings.secrets_keys] == [new, old]
    assert settings.tls_ca_file == tmp_path / "ca.pem"
    assert settings.observable_keys == (
        ObservableKey("warranty.registered", frozenset({"store"})),
        ObservableKey("quote.sent", frozenset({"store", "organization"})),
    )
    assert settings.log_level == "warning"
    assert settings.lane_cap == 50, "an empty variable is not set"


def test_an_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_LANE_CAP", "3")
    assert load_settings(lane_cap=4).lane_cap == 4


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().lane_cap = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EDW_API_PORT", "65536", "must be between 0 and 65_535"),
        ("EDW_API_PORT", "http", "expected a whole number"),
        ("EDW_API_HOST", " ", "must not be blank"),
        ("EDW_WEBHOOK_TIMEOUT", "10x", "expected a duration"),
        ("EDW_WEBHOOK_TIMEOUT", "0", "must be between 0.01 and 600 s"),
        ("EDW_API_CORS_ORIGINS", "shop.example", "expected origins such as https://shop.example.com"),
        ("EDW_API_CORS_ORIGINS", "https://shop.example/page", "expected origins such as https://shop.example.com"),
        ("EDW_API_CORS_ORIGINS", "https://a.example null", "expected origins such as https://shop.example.com"),
        ("EDW_API_CORS_ORIGINS", "https://me@a.example", "expected origins such as https://shop.example.com"),
        ("EDW_API_CORS_ORIGINS", "https://a.example:99999", "expected origins such as https://shop.example.com"),
        ("EDW_API_CORS_ORIGINS", "https://zoë.example", "expected origins such as https://shop.example.com"),
        ("EDW_LEASE_SECONDS", "999ms", "must be between 1 and 3_600 s"),
        ("EDW_RETRY_SCHEDULE", "1s " * 51, "must have 1 to 50 entries, and has 51"),
        ("EDW_RETRY_SCHEDULE", " ", "must have 1 to 50 entries, and has 0"),
        ("EDW_RETRY_SCHEDULE", "5s soon", "expected a duration"),
        ("EDW_RETRY_SCHEDULE", "5s 31d", "must be between 0 and 2_592_000 s"),
        ("EDW_EGRESS_ALLOW", "10.0.0.1/8", "has host bits set"),
        ("EDW_EVENT_MAX_BYTES", "1", "must be between 1_024 and 67_108_864 bytes"),
        ("EDW_MAX_IN_FLIGHT", "0", "must be between 1 and 100_000"),
        ("EDW_MEMORY_HIGH_WATER", "0", "expected a share"),
        ("EDW_LOG_FORMAT", "xml", "expected one of json, console"),
        ("EDW_LOG_LEVEL", "loud", "expected one of debug, info, warning, error, critical"),
        ("EDW_SHARD", "{0}", "expected up to 32 lower-case letters, digits and hyphens"),
        ("EDW_TLS_CA_FILE", "nowhere.pem", "there is no such file"),
        ("EDW_OBSERVABLE_KEYS", "Order", "expected keys in the form resource.action"),
        ("EDW_OBSERVABLE_KEYS", "a.b:shop", "expected the levels store, organization"),
    ],
)
def test_a_bad_value_is_named_with_its_problem_and_an_example(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    head, line = str(caught.value).splitlines()
    assert head == "a setting is wrong:"
    assert line.startswith(f"  {name}='{value[:10]}")
    assert problem in line
    assert f"; for example {name}=" in line


def test_everything_wrong_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_API_PORT", "x")
    monkeypatch.setenv("EDW_LANE_CAP", "x")
    with pytest.raises(SettingsError, match="^2 settings are wrong:\n  EDW_API_PORT='x': .*\n  EDW_LANE_CAP='x': "):
        load_settings()


def test_an_override_that_is_no_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="EDW_LANE_CAPP is not a setting; did you mean EDW_LANE_CAP?"):
        load_settings(lane_capp=1)


def test_a_variable_that_is_no_setting_is_warned_of_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_WEBHOK_TIMEOUT", "1s")
    load_settings()
    assert unknown_variables() == (
        "EDW_WEBHOK_TIMEOUT is not a setting, and changes nothing; did you mean EDW_WEBHOOK_TIMEOUT?",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDW_REDIS_URL", f"http://:{PLANTED}@redis.example"),
        ("EDW_REDIS_URL", f"redis://:{PLANTED}@redis.example:port"),
        ("EDW_REDIS_URL", f"redis://:a/{PLANTED}@redis.example"),
        ("EDW_REDIS_URL", f"redis://[{PLANTED}"),
        ("EDW_BROKER_URL", f"{PLANTED}:5672"),
        ("EDW_HISTORY_URL", f"mysql://user:{PLANTED}@db.example/edw"),
        ("EDW_SECRETS_KEYS", f"{PLANTED} {KEY}"),
    ],
)
def test_no_error_repeats_a_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"  {name}: " in str(caught.value)
    assert PLANTED not in str(caught.value)
    assert caught.value.__suppress_context__, "a traceback would show pydantic's text"


def test_no_text_of_the_settings_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("EDW_REDIS_URL", f"redis://:{PLANTED}@redis.example")
    monkeypatch.setenv("EDW_BROKER_URL", f"amqp://user:{PLANTED}@rabbit.example")
    monkeypatch.setenv("EDW_SECRETS_KEYS", key)
    settings = load_settings()
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"):
        assert PLANTED not in text
        assert key not in text


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        file.relative_to(ROOT).as_posix()
        for package in ("config", "deliverers", "worker")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"})
        or (isinstance(node, ast.ImportFrom) and {name.name for name in node.names} & {"environ", "getenv"})
    }
    # The codec changes stomp.py while it is imported, and nothing else.
    assert readers == {"config/settings.py", "deliverers/stomp/codec.py"}


def test_traces_need_what_the_extra_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_TRACES", "OTLP")
    assert load_settings().traces == "otlp"
    monkeypatch.setattr("config.checks.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"EDW_TRACES='OTLP': needs the extra \"otel\": pip install"):
        load_settings()


def test_a_history_needs_what_its_extra_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_HISTORY_URL", f"postgresql://edw:{PLANTED}@db.example/edw")
    assert load_settings().history_url is not None
    monkeypatch.setattr("config.checks.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"EDW_HISTORY_URL: needs the extra \"history\": pip install") as caught:
        load_settings()
    assert PLANTED not in str(caught.value)
