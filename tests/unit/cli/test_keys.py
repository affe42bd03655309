from pathlib import Path
from stat import S_IMODE

from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.settings import Settings
from worker.cli.commands.dev import child_changes
from worker.cli.demo.stage import set_apart
from worker.cli.keys import KEY_FILE, make_key, secrets_keys


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    key = make_key(folder)

    assert make_key(folder) == key
    assert S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    Fernet(key.get_secret_value())


def test_the_key_that_was_made_is_for_the_embedded_redis_alone(tmp_path: Path) -> None:
    key = make_key(tmp_path)

    assert list(secrets_keys(Settings(data_dir=tmp_path))) == [key]
    assert not secrets_keys(Settings(data_dir=tmp_path, redis_url=SecretStr("redis://localhost")))
    assert not secrets_keys(Settings(data_dir=tmp_path / "elsewhere"))


def test_keys_that_are_set_win(tmp_path: Path) -> None:
    make_key(tmp_path)
    own = SecretStr(Fernet.generate_key().decode())

    assert list(secrets_keys(Settings(data_dir=tmp_path, secrets_keys=(own,)))) == [own]


def test_dev_gives_its_worker_what_the_user_has_not_said(tmp_path: Path) -> None:
    made = child_changes(Settings(data_dir=tmp_path))

    assert set(made) == {"EDW_SECRETS_KEYS", "EDW_EGRESS_ALLOW", "EDW_LOG_FORMAT"}


def test_dev_overrules_nothing_that_the_user_has_said(tmp_path: Path) -> None:
    own = SecretStr(Fernet.generate_key().decode())
    said = Settings(data_dir=tmp_path, secrets_keys=(own,), egress_allow=(), log_format="json")

    assert child_changes(said) == {}
    assert not (tmp_path / KEY_FILE).exists()


def test_the_demo_takes_none_of_the_users_settings(tmp_path: Path) -> None:
    environment = {"EDW_REDIS_URL": "redis://prod", "edw_broker_url": "amqp://prod", "BROKER_URL": "x", "PATH": "/bin"}

    set_apart(environment, tmp_path)

    assert environment["PATH"] == "/bin"
    assert environment["EDW_DATA_DIR"] == str(tmp_path)
    assert not {"EDW_REDIS_URL", "edw_broker_url", "BROKER_URL"} & set(environment)
