"""Every command of `edw`, among data that means to command a terminal or to fool its reader."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection

import click
import pytest

from tests.fleet.edw_command import Edw, Result, StartEdw
from tests.ledger.scene import LedgerScene
from tests.samples import an_event, an_integration
from worker.cli import edw as root
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id
from worker.domain.integration_log import log_id
from worker.domain.job import job_id
from worker.ledger import Ledger, Verdict
from worker.ledger.events.inbox import rejection

#: ESC sequences, C0, C1, DEL, writing direction, separators, zero width, fillers, tags, and rich's markup.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x08\x9b31m\x7f\u202egpj\u2066\u2069\u200e\u200f\u061c\u2028\u2029\u200b\ufeff\u3164"
    "\U000e0041[red]x[/red] :smile:"
)
#: What a command line takes: no NUL, and one argument.
ARGUMENT = HOSTILE
OWNER = "6f1f1cde-1f6f-4d6b-9b1e-3a0d5a3c0001"
OTHER = "6f1f1cde-1f6f-4d6b-9b1e-3a0d5a3c0002"
SCOPE_OPTIONS = ("--store", "store-1", "--org", "org-1")
JOB = job_id(an_event("e-1" + HOSTILE).ref, OWNER)
LOG = log_id(JOB, 1)
TOKEN_ID = new_id()

#: Each command, as it is called here; where `--json` is there, with it as well.
CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "clock confirm": ((ARGUMENT,), ()),
    "clock show": ((ARGUMENT,), ()),
    "history migrate": ((ARGUMENT,), ()),
    "history status": ((ARGUMENT,), ()),
    "history export": ((ARGUMENT,), ("folder", "--from", ARGUMENT), ("folder", *SCOPE_OPTIONS)),
    "demo": ((ARGUMENT,),),
    "dev": ((ARGUMENT,),),
    "worker": ((ARGUMENT,), ("--processes", ARGUMENT)),
    "api": ((ARGUMENT,), ("--processes", ARGUMENT)),
    "emit": (
        ("order.paid", "--id", ARGUMENT, *SCOPE_OPTIONS),
        (ARGUMENT,),
        ("order.paid", "--data", ARGUMENT),
        ("--file", "-"),
        ("order.paid", "--data", "-"),
    ),
    "integrations create": (
        ("--name", ARGUMENT, "--observes", "order.paid", "--url", "https://shop.example/", *SCOPE_OPTIONS),
        ("--name", "x", "--observes", ARGUMENT, "--url", f"https://{ARGUMENT}/"),
        ("--file", "-"),
    ),
    "integrations delete": ((ARGUMENT,), (OTHER,)),
    "integrations disable": ((ARGUMENT,), (OWNER,)),
    "integrations enable": ((ARGUMENT,), (OWNER,)),
    "integrations keys": ((ARGUMENT,), (OWNER,)),
    "integrations rotate-keys": ((ARGUMENT,), (OWNER, "--overlap", ARGUMENT), (OWNER,)),
    "integrations delete-keys": ((ARGUMENT,), (OWNER,)),
    "integrations try-filter": (
        (ARGUMENT,),
        (OWNER, "--filter", ARGUMENT),
        (OWNER, "--event", ARGUMENT),
        (OWNER, "--type", ARGUMENT),
        (OWNER, "--event", "e-1" + HOSTILE, "--filter", '{"data": {"n": "x"}}'),
    ),
    "integrations list": ((), SCOPE_OPTIONS, ("--store", ARGUMENT)),
    "integrations pause": ((ARGUMENT,), (OWNER,)),
    "integrations resume": ((ARGUMENT,), (OWNER,)),
    "integrations show": ((ARGUMENT,), (OWNER,)),
    "integrations update": ((ARGUMENT, "--name", "x"), (OWNER, "--name", ARGUMENT), (OWNER, "--file", "-")),
    "secrets rotate": ((), (ARGUMENT,)),
    "tokens create": (("--role", "read", "--name", ARGUMENT), ("--role", ARGUMENT)),
    "tokens list": ((),),
    "tokens revoke": ((ARGUMENT,), (TOKEN_ID,)),
    "jobs list": ((), ("--integration", OWNER), ("--integration", ARGUMENT)),
    "jobs show": ((JOB,), (ARGUMENT,)),
    "logs": (SCOPE_OPTIONS, ("--all-stores",), ("--job", ARGUMENT), ("--integration", OWNER), ("--store", ARGUMENT)),
    "logs show": ((*SCOPE_OPTIONS, LOG), (ARGUMENT, *SCOPE_OPTIONS)),
    "events erase": ((ARGUMENT,), ("--resource", "order", ARGUMENT), ("e-1" + HOSTILE, *SCOPE_OPTIONS)),
    "find": (("order", ARGUMENT), (ARGUMENT, "o-1", *SCOPE_OPTIONS), ("order", "o-1", *SCOPE_OPTIONS)),
    "audit": (SCOPE_OPTIONS, ("--store", ARGUMENT)),
    "rejected list": ((), ("--limit", ARGUMENT)),
    "health": ((ARGUMENT,), ()),
    "status": ((), ("--lanes", ARGUMENT)),
    "doctor": ((), ("--quick", ARGUMENT)),
    "completion": (("bash",), ("zsh",), ("fish",), (ARGUMENT,)),
}


@dataclass(frozen=True)
class Leaf:
    """A command that does something by itself."""

    name: str
    command: click.Command

    @property
    def has_json(self) -> bool:
        return any("--json" in option.opts for option in self.command.params)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield Leaf(" ".join(path), command)
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


LEAVES = tuple(leaves(root))


def assert_harmless(text: str) -> None:
    found = {character for character in text if not character.isprintable()} - {"\n", "\t"}
    assert not found, f"{sorted(map(ascii, found))} in {text!a}"


def assert_all_harmless(result: Result) -> None:
    assert_harmless(result.out)
    assert_harmless(result.err)
    assert "Traceback" not in result.err


def test_every_command_is_called_here() -> None:
    assert {leaf.name for leaf in LEAVES} == set(CALLS)


@pytest.fixture
async def hostile(redis_url: str) -> AsyncIterator[LedgerScene]:
    """A ledger whose every foreign text is hostile."""
    ledger = Ledger(redis_url)
    await ledger.open()
    scene = LedgerScene(ledger, lambda: ledger)
    configuration = {"url": "https://127.0.0.1/"}
    for each in (OWNER, OTHER):
        integration = an_integration(each, name=HOSTILE, description=HOSTILE, configuration=configuration)
        await ledger.integrations.put(integration)
    await scene.owe(OWNER, "e-1" + HOSTILE, "e-2" + HOSTILE)
    first, second = await scene.claim(OWNER)
    await scene.settle(first, Verdict.RETRY, detail=HOSTILE, delay=0, why=HOSTILE)
    await scene.settle(second, Verdict.FAILED, detail=HOSTILE, why=HOSTILE)
    await ledger.inbox.accept([an_event("e-3" + HOSTILE, data=b'{"type":"order","id":"o-1"}')])
    await ledger.inbox.reject([rejection(HOSTILE, HOSTILE, HOSTILE.encode(), 1, HOSTILE)])
    await ledger.tokens.put(
        Token(TOKEN_ID, TokenKind.TOKEN, Role.READ, scene.scope, name=HOSTILE, digest=digest_of(make_secret()))
    )
    yield scene
    await ledger.close()


#: Runs the calls that it reads, each in a fork of its own: to import everything takes longer than most commands do.
RUNNER = """
import gc, json, os, sys, tempfile
import click
import worker.integrations.integration_service
from deliverers.registry import DelivererRegistry
from worker.cli import edw, main
DelivererRegistry.load()
gc.freeze()
for name in edw.list_commands(click.Context(edw)):
    edw.get_command(click.Context(edw), name)
calls, given = json.load(sys.stdin)
done = []
for call in calls:
    files = [tempfile.TemporaryFile() for _ in range(3)]
    files[0].write(given.encode())
    files[0].seek(0)
    if (pid := os.fork()) == 0:
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        sys.stdin = open(0, closefd=False)
        sys.argv = ["edw", *call]
        try:
            main()
        except SystemExit as ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code or 0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    done.append([code, *(os.pread(file.fileno(), 1 << 20, 0).decode() for file in files[1:])])
json.dump(done, sys.stdout)
"""


def run_all(environment: dict[str, str], calls: list[tuple[str, ...]], given: str) -> list[Result]:
    read = json.dumps([calls, given])
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], env=environment, input=read, capture_output=True, text=True, check=True
    )
    return [Result(*each) for each in json.loads(done.stdout)]


async def test_what_any_command_prints_commands_no_terminal(environment: dict[str, str], hostile: LedgerScene) -> None:
    calls = []
    for leaf in LEAVES:
        for call in CALLS[leaf.name]:
            calls.append((*leaf.name.split(), *call))
            if leaf.has_json:
                calls.append((*leaf.name.split(), *call, "--json"))
    given = json.dumps({"type": HOSTILE, "name": HOSTILE, HOSTILE: 1}, ensure_ascii=False)
    results = run_all(environment, calls, given)
    assert len(results) == len(calls)
    for call, result in zip(calls, results, strict=True):
        assert_all_harmless(result)
        if call[-1] == "--json" and result.code == 0:
            json.loads(result.out)
    assert {result.code for result in results} == {0, 1, 2}


async def test_json_has_the_very_text(edw: Edw, hostile: LedgerScene) -> None:
    assert edw("integrations", "show", OWNER, "--json").json["data"]["name"] == HOSTILE
    (log, _) = edw("logs", "--integration", OWNER, "--json").json["data"]
    assert log["error_detail"] == HOSTILE
    (entry,) = edw("rejected", "list", "--json").json["data"]
    assert (entry["given"], entry["source"], entry["field"]) == (HOSTILE, HOSTILE, HOSTILE)


async def test_people_see_what_is_there_and_no_markup_is_followed(edw: Edw, hostile: LedgerScene) -> None:
    listed = edw("rejected", "list").out
    for part in ("\\u001b[2J", "\\u202e", "[red]", ":smile:"):
        assert part in "".join(listed.split()), listed


@pytest.mark.parametrize("form", ["json", "console"])
async def test_what_a_worker_and_an_api_log_commands_no_terminal(
    start_edw: StartEdw, hostile: LedgerScene, form: str
) -> None:
    worker, api = start_edw("worker", EDW_LOG_FORMAT=form), start_edw("api", EDW_LOG_FORMAT=form)
    worker.says("address not allowed")
    api.says("api ready")
    found = re.search(r"url\W+http://127\.0\.0\.1:(\d+)", api.output)
    assert found
    connection = HTTPConnection("127.0.0.1", int(found[1]))
    connection.request("GET", "/v2/%C2%9B31m%E2%80%AE", headers={"traceparent": "\x9b"})
    assert connection.getresponse().status == 401
    connection.close()
    api.says("31m")
    for each in (worker, api):
        each.signal(signal.SIGTERM)
        assert each.wait_ended() == 0
        assert_harmless(each.output)
    assert "\\u202e" in worker.output, "the event's id is in the line of its attempt"


async def test_what_edw_dev_explains_commands_no_terminal(start_edw: StartEdw, environment: dict[str, str]) -> None:
    dev = start_edw("dev", EDW_DATA_DIR=f"{environment['TMPDIR']}/\u202e\x9b")
    dev.says("Ctrl-C stops")
    dev.signal(signal.SIGINT)
    dev.wait_ended()
    assert_harmless(dev.output)
    assert "\\u202e" in dev.output


def test_a_traceback_commands_no_terminal(edw: Edw, environment: dict[str, str]) -> None:
    script = (
        "import worker.cli, click\n"
        "@worker.cli.edw.command('boom')\n"
        f"def boom(): raise ValueError({HOSTILE!r})\n"
        "worker.cli.edw.get_command = lambda ctx, name: boom\n"
        "worker.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, "boom"], env=environment, capture_output=True, check=False)
    said = done.stderr.decode()
    assert "ValueError" in said
    assert_harmless(said)


def test_an_argument_that_is_no_text_is_wrong_usage(environment: dict[str, str]) -> None:
    command: list[str | bytes] = [sys.executable, "-m", "worker.cli", "jobs", "show", b"\xff\x1b"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"argument 3 is not UTF-8" in done.stderr
