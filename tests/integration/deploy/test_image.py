"""The image: its file by hadolint's rules, and its steps done in a throw-away folder, from which processes then run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from config.settings import load_settings
from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.integration.deploy.rehearsal import DOCKERFILE, ROOT, Image, built, ignored, instructions
from tests.waiting import PATIENCE, wait_until

#: Seconds. The first of them waits for the image: 10 s of an idle machine, and minutes of a busy disk.
pytestmark = pytest.mark.timeout(300)
PACKAGES = ("config", "deliverers", "worker")
#: Becomes the command behind it, which may then never have memory that is both written and executed, as in a unit with
#: MemoryDenyWriteExecute=: PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN of prctl(2), which kernels before 6.3 do not know.
CONFINED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
#: Becomes it as the user and group that come first, with no capability, in a world where every folder is read-only.
READ_ONLY = """
mount --make-rprivate /
for place in $(awk '{print $5}' /proc/self/mountinfo | sort --reverse); do
    mount -o remount,bind,ro "$place" 2>/dev/null || true
done
! touch "$HOME/written" /tmp/written 2>/dev/null || exit 99
user=$1 group=$2; shift 2
exec setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --bounding-set=-all "$@"
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built(PIP_NO_CACHE_DIR="0") as made:
        yield made


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def environment(image: Image, redis_server: RedisServer) -> dict[str, str]:
    """The image's, with what a deployment adds; on loopback, where the image listens everywhere."""
    return image.environment() | {
        "EDW_REDIS_URL": redis_server.tcp_url,
        "EDW_SECRETS_KEYS": Fernet.generate_key().decode(),
        "EDW_API_HOST": "127.0.0.1",
        "EDW_API_PORT": str(free_port()),
        "EDW_METRICS_PORT": str(free_port()),
    }


@contextmanager
def running(
    image: Image, arguments: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the image, confined as deployments do it; as the user it is, where this one may not be another."""
    programs = image.place("/opt/edw/bin")
    command: list[str | Path] = [programs / "python", "-c", CONFINED, programs / image.entrypoint[0], *arguments]
    if may_confine():
        command = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh", *image.user.split(":"), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment | {"PATH": f"{environment['PATH']}:/usr/sbin:/sbin"},
            cwd=image.place(image.workdir),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(process: "subprocess.Popen[bytes]", well: Callable[[], bool], log: Path) -> None:
    """Waits until a process is well; fails with what it said where it ends before that."""

    def over_or_well() -> bool:
        assert process.poll() is None, log.read_text()
        return well()

    wait_until(over_or_well, log.read_text)


def may_confine() -> bool:
    """True for root, but for a root that lacks the rights, such as in a container."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def health(image: Image, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What HEALTHCHECK runs, or that with other arguments."""
    (check,) = (each.text for each in instructions(DOCKERFILE.read_text()) if each.name == "HEALTHCHECK")
    words = json.loads(check.partition(" CMD ")[2])
    return subprocess.run(
        [image.place("/opt/edw/bin") / words[0], *words[1:], *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def is_well(image: Image, environment: dict[str, str], name: str) -> bool:
    return health(image, environment, name).returncode == 0


def test_hadolint_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([program, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_only_what_the_image_is_built_from_is_sent_to_the_engine() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    for sent in ("LICENSE", "requirements.txt", "worker/ledger/lua/claim.lua", "config/observable_events.json"):
        assert not ignored(sent, rules), sent
    for kept in (".git/config", "deploy/.env", ".venv/pyvenv.cfg", "tests/conftest.py", "worker/__pycache__/app.pyc"):
        assert ignored(kept, rules), kept


def test_the_last_stage_runs_as_a_user_with_a_number_who_is_not_root(image: Image) -> None:
    assert image.user == "10001:10001"
    assert (image.entrypoint, image.command) == (["edw"], ["worker"])
    names = [step.name for step in instructions(DOCKERFILE.read_text()) if step.stage == 1]
    assert "RUN" not in names
    assert "ADD" not in names


def test_what_the_image_exposes_is_what_the_settings_say() -> None:
    (exposed,) = (step.text for step in instructions(DOCKERFILE.read_text()) if step.name == "EXPOSE")

    settings = load_settings()

    assert exposed.split() == [str(settings.api_port), str(settings.metrics_port)]


def test_everything_of_the_source_is_installed_and_nothing_that_installs(image: Image) -> None:
    (packages,) = image.place("/opt/edw/lib").glob("python3.*/site-packages")

    def files(root: Path) -> set[str]:
        found = (path for name in PACKAGES for path in (root / name).rglob("*") if path.is_file())
        return {str(path.relative_to(root)) for path in found if path.suffix != ".pyc"}

    # Pages stand beside what they describe, and are not installed.
    pages = {path for path in files(ROOT) if path.endswith(".md")}
    assert files(packages) == files(ROOT) - pages
    assert {"worker/ledger/lua/claim.lua", "worker/ledger/lua/parts/keys.lua"} <= files(packages)
    assert not {"pip", "setuptools"} & {path.name for path in packages.iterdir()}


def test_a_worker_and_the_api_run_from_it_and_drain(image: Image, environment: dict[str, str], tmp_path: Path) -> None:
    before = sorted(image.folder.rglob("*"))
    logs = {name: tmp_path / name for name in ("worker", "api")}
    assert health(image, environment).returncode == 1

    with (
        running(image, image.command, environment, logs["worker"]) as worker,
        running(image, ["api"], environment, logs["api"]) as api,
    ):
        for name, process in (("worker", worker), ("api", api)):
            wait_for(process, partial(is_well, image, environment, name), logs[name])
        ready = health(image, environment, "api", "--ready")
        assert json.loads(ready.stdout)["checks"]["ledger"] == {"status": "ok"}
        for process in (worker, api):
            process.send_signal(signal.SIGTERM)
        assert [worker.wait(PATIENCE), api.wait(PATIENCE)] == [0, 0]

    # Where nobody may be confined, at least nothing was written.
    assert sorted(image.folder.rglob("*")) == before


def test_who_asks_in_vain_learns_where_it_was_asked(image: Image, environment: dict[str, str]) -> None:
    answer = health(image, environment, "worker")

    assert answer.returncode == 1
    assert f"nobody answers at 127.0.0.1:{environment['EDW_METRICS_PORT']}" in answer.stderr
