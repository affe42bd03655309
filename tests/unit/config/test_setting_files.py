"""Settings from files, as Docker and Kubernetes mount secrets."""

import os
from pathlib import Path

import pytest

from config.settings import (
    Settings,
    SettingsError,
    environment_with,
    load_settings,
    process_environment,
    unknown_variables,
    variable,
)

PLANTED = "planted-secret"
KEY = "2xMPq94U7BFJEXsnyRgLlPxyQo1pcmi0SDll02A5VVg="


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Mount":
    return Mount(tmp_path, monkeypatch)


class Mount:
    """Writes a file, and names it in the environment."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._environment = environment

    def __call__(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name.lower()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self._environment.setenv(f"{name}_FILE", str(path))
        return path


def refusal() -> str:
    """The only line of the error about the environment."""
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would show the content"
    assert PLANTED not in str(caught.value)
    head, line = str(caught.value).splitlines()
    assert head == "a setting is wrong:"
    return line.strip()


@pytest.mark.parametrize(
    "field", [name for name in Settings.model_fields if name not in ("secrets_keys", "tls_ca_file")]
)
def test_every_setting_may_come_from_a_file(field: str, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    example = (Settings.model_fields[field].examples or [""])[0]
    monkeypatch.setenv(variable(field), example)
    expected = load_settings()
    monkeypatch.delenv(variable(field))

    mount(variable(field), f"{example}\n")

    assert load_settings() == expected
    assert field in load_settings().model_fields_set, "a setting of the user, and no default"
    assert unknown_variables() == ()


def test_the_name_of_a_file_of_certificates_may_come_from_a_file(mount: Mount) -> None:
    (mount.folder / "ca.pem").touch()
    mount("EDW_TLS_CA_FILE", str(mount.folder / "ca.pem"))
    assert load_settings().tls_ca_file == mount.folder / "ca.pem"


def test_keys_may_have_a_line_each(mount: Mount) -> None:
    mount("EDW_SECRETS_KEYS", f"{KEY}\n{KEY}\n")
    assert [key.get_secret_value() for key in load_settings().secrets_keys] == [KEY, KEY]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_newline_at_the_end_does_not_count(end: str, mount: Mount) -> None:
    mount("EDW_REDIS_URL", f"redis://:pass word @redis.example/0{end}")
    url = load_settings().redis_url
    assert url is not None
    assert url.get_secret_value() == "redis://:pass word @redis.example/0"


def test_a_link_is_followed_as_kubernetes_mounts_a_secret(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    target = mount("EDW_LANE_CAP", "7")
    (mount.folder / "link").symlink_to(target)
    monkeypatch.setenv("EDW_LANE_CAP_FILE", str(mount.folder / "link"))
    assert load_settings().lane_cap == 7


def test_names_are_read_in_any_case_and_empty_ones_are_not_set(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mount("EDW_LANE_CAP", "7")
    monkeypatch.delenv("EDW_LANE_CAP_FILE")
    monkeypatch.setenv("edw_lane_cap_file", str(path))
    monkeypatch.setenv("EDW_LANE_CAP", "")
    monkeypatch.setenv("EDW_API_PORT_FILE", "")
    assert load_settings().lane_cap == 7
    assert load_settings().api_port == 8080


def test_an_override_wins_over_a_file_that_is_not_even_read(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_LANE_CAP_FILE", "/nowhere")
    assert load_settings(lane_cap=4).lane_cap == 4


def test_a_setting_that_is_given_twice_is_refused_with_both_names(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount("EDW_REDIS_URL", f"redis://:{PLANTED}@redis.example")
    monkeypatch.setenv("EDW_REDIS_URL", f"redis://:{PLANTED}@other.example")
    assert refusal() == "EDW_REDIS_URL_FILE is set, and so is EDW_REDIS_URL; set only one of them"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDW_REDIS_URL_FILE", str(tmp_path / "nowhere"))
    expected = f"EDW_REDIS_URL_FILE names '{tmp_path}/nowhere', which cannot be read: No such file or directory"
    assert refusal() == expected


def test_what_is_no_file_is_refused_and_a_pipe_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        monkeypatch.setenv("EDW_REDIS_URL_FILE", str(path))
        assert refusal() == f"EDW_REDIS_URL_FILE names '{path}', which is not a file"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"\xff" + PLANTED.encode(), "is not UTF-8 text"),
        (PLANTED.encode() * 100_000, "is larger than 1 MiB"),
    ],
    ids=["empty", "blank", "bytes", "large"],
)
def test_a_file_that_holds_no_value_is_refused(content: bytes, problem: str, mount: Mount) -> None:
    path = mount("EDW_REDIS_URL", content)
    assert refusal() == f"EDW_REDIS_URL_FILE names '{path}', which {problem}"


@pytest.mark.parametrize("value", [f"redis://:{PLANTED}@redis.example", KEY])
def test_a_secret_in_place_of_its_file_is_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_REDIS_URL_FILE", value)
    assert refusal() == "EDW_REDIS_URL_FILE must be an absolute path, such as /run/secrets/name"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("EDW_REDIS_URL", "expected a URL that starts with redis://, rediss://, unix://, sentinel://"),
        ("EDW_SECRETS_KEYS", "expected Fernet keys: 32 bytes each, in URL-safe base64"),
        ("EDW_LANE_CAP", "expected a whole number, such as 200"),
    ],
)
def test_a_bad_content_is_not_shown_but_its_file_is(name: str, problem: str, mount: Mount) -> None:
    path = mount(name, PLANTED)
    assert refusal().startswith(f"{name}_FILE='{path}': {problem}; for example {name}=")


def test_problems_of_files_and_of_variables_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_REDIS_URL_FILE", "/nowhere")
    monkeypatch.setenv("EDW_API_PORT", "x")
    with pytest.raises(
        SettingsError, match=r"^2 settings are wrong:\n  EDW_REDIS_URL_FILE names .*\n  EDW_API_PORT='x'"
    ):
        load_settings()


def test_a_variable_that_names_no_settings_file_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_REDIS_URI_FILE", "/run/secrets/redis")
    assert unknown_variables() == (
        "EDW_REDIS_URI_FILE is not a setting, and changes nothing; did you mean EDW_REDIS_URL_FILE?",
    )


def test_what_a_supervisor_sets_for_a_process_replaces_a_file(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount("EDW_METRICS_PORT", "9000")
    mount("EDW_LANE_CAP", "7")
    changed = environment_with({"EDW_METRICS_PORT": "9001"})
    for name in ("EDW_METRICS_PORT_FILE", "EDW_LANE_CAP_FILE"):
        assert name in process_environment()
        monkeypatch.delenv(name)
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    assert load_settings().metrics_port == 9001
    assert load_settings().lane_cap == 7
