"""`edw worker` and `edw dev`: processes that go on until they are asked to stop, and what people look at meanwhile."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest

from tests.fleet.edw_command import Edw, EdwProcess, StartEdw, alive
from tests.waiting import wait_until
from worker.ledger.connection.embedded_redis import running

QUICK = {
    "EDW_EGRESS_ALLOW": "127.0.0.0/8",
    "EDW_RETRY_SCHEDULE": "100ms",
    "EDW_SWEEP_SECONDS": "200ms",
    "EDW_LEASE_SECONDS": "2s",
}
SECRET = "correct-horse-battery"


@dataclass
class Receiver:
    """A webhook receiver in a thread; `answers` are given in turn, then 200, once it `may` answer."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    may: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.may.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = found.answers.pop(0) if found.answers else 200
            found.headers.append(dict(self.headers.items()))
            found.bodies.append(json.loads(body))
            found.may.wait()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.may.set()
    server.shutdown()
    thread.join()
    server.server_close()


def processes(edw: Edw) -> int:
    status = edw("status", "--json")
    # While the embedded Redis starts, there is no status.
    return int(status.json["processes"]) if status.code == 0 else 0


def workers(environment: dict[str, str]) -> list[int]:
    """The worker processes: those that are `edw worker`, with no supervisor among them."""
    return [
        pid for pid in alive(environment) if "--parent-pipe" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    ]


def observe(edw: Edw, receiver: Receiver, *more: str, **changes: str) -> str:
    arguments = ("--name", "Hook", "--observes", "order.paid", "--url", receiver.url, "--json")
    made = edw("integrations", "create", *arguments, *more, **changes)
    assert made.code == 0, made.text
    return str(made.json["data"]["id"])


def deliver(edw: Edw, receiver: Receiver, count: int) -> None:
    before = len(receiver.bodies)
    for _ in range(count):
        assert edw("emit", "order.paid").code == 0
    wait_until(lambda: len(receiver.bodies) >= before + count, "the events arrive")
    wait_until(lambda: edw("status", "--json").json["jobs"]["pending"] == 0, "nothing is owed any more")


def started(running: EdwProcess, edw: Edw, count: int = 1) -> EdwProcess:
    wait_until(lambda: running.process.poll() is not None or processes(edw) >= count, lambda: running.output)
    assert running.process.poll() is None, running.output
    return running


@pytest.mark.usefixtures("redis_url")
class TestWorker:
    def test_it_delivers_and_drains_when_it_is_asked_to_stop(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver
    ) -> None:
        worker = started(start_edw("worker", **QUICK), edw)
        observe(edw, receiver)
        deliver(edw, receiver, 1)

        worker.signal(signal.SIGTERM)

        assert worker.wait_ended() == 0, worker.output
        assert processes(edw) == 0

    def test_status_shows_a_receiver_that_keeps_everything_waiting(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver
    ) -> None:
        started(start_edw("worker", **QUICK), edw)
        integration = observe(edw, receiver)
        assert edw("status").text.endswith("No lane has work.")
        receiver.may.clear()
        edw("emit", "order.paid")
        wait_until(lambda: receiver.bodies, "it has the event")

        status = edw("status")

        assert "workers 1 alive, attempts in flight: 1" in status.text
        assert f"{integration} Hook" in status.text
        assert edw("status", "--json").json["jobs"]["leased"] == 1

    def test_what_is_meant_for_another_celery_changes_nothing(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver
    ) -> None:
        started(start_edw("worker", APP="another", LOADER="none", CONFIG_MODULE="nothing", **QUICK), edw)
        observe(edw, receiver)

        deliver(edw, receiver, 1)

    def test_several_processes_deliver_and_all_drain(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver, environment: dict[str, str]
    ) -> None:
        supervisor = started(start_edw("worker", "--processes", "2", **QUICK), edw, count=2)
        observe(edw, receiver)
        deliver(edw, receiver, 2)

        supervisor.signal(signal.SIGINT)

        assert supervisor.wait_ended() == 0, supervisor.output
        assert not workers(environment)

    def test_one_that_died_is_started_again(
        self, edw: Edw, start_edw: StartEdw, environment: dict[str, str], receiver: Receiver
    ) -> None:
        supervisor = started(start_edw("worker", "--processes", "2", **QUICK), edw, count=2)
        before = set(workers(environment))

        os.kill(min(before), signal.SIGKILL)

        supervisor.says("was killed by SIGKILL; it starts again in 0.5 s")
        wait_until(lambda: len(set(workers(environment)) - before) == 1, "another one starts")
        supervisor.signal()
        assert supervisor.wait_ended() == 0, supervisor.output

    def test_workers_whose_supervisor_was_killed_drain_by_themselves(
        self, edw: Edw, start_edw: StartEdw, environment: dict[str, str]
    ) -> None:
        supervisor = started(start_edw("worker", "--processes", "2", **QUICK), edw, count=2)

        supervisor.signal(signal.SIGKILL)

        supervisor.wait_ended()
        wait_until(lambda: not workers(environment), "the workers end")
        assert processes(edw) == 0

    def test_what_happened_can_be_looked_at(self, edw: Edw, start_edw: StartEdw, receiver: Receiver) -> None:
        started(start_edw("worker", **QUICK), edw)
        receiver.answers = [503]
        integration = observe(edw, receiver)
        edw("emit", "order.paid", "--id", "event-1")
        wait_until(lambda: len(receiver.bodies) == 2, "two attempts")
        wait_until(lambda: edw("status", "--json").json["jobs"]["succeeded"] == 1, "the job ends")

        (job,) = edw("jobs", "list", "--integration", integration, "--json").json["data"]
        shown = edw("jobs", "show", job["id"], "--json").json["data"]
        logs = edw("logs", "--json").json["data"]

        assert (job["state"], job["attempts"], job["event_id"]) == ("succeeded", 2, "event-1")
        assert [(log["attempt"], log["succeeded"], log["status_code"]) for log in logs] == [
            (2, True, 200),
            (1, False, 503),
        ]
        assert shown["logs"] == logs
        assert edw("logs", "--job", job["id"], "--json").json["data"] == logs
        assert edw("logs", "--integration", integration[:8], "--json").json["data"] == logs
        assert edw("logs", "--failed", "--json").json["data"] == logs[1:]
        assert edw("logs", "--limit", "1", "--json").json["data"] == logs[:1]
        assert edw("logs", "--store", "other", "--json").json["data"] == []
        assert edw("jobs", "list").out == "no pending jobs\n"
        explained = edw("logs", "show", logs[1]["id"], "--json").json["data"]
        assert explained.items() >= logs[1].items()
        assert explained["response"]["status_line"].split()[1] == "503"
        one = edw("logs", "show", logs[1]["id"][:8])
        for result in (one, edw("jobs", "show", job["id"]), edw("jobs", "list", "--integration", integration)):
            assert result.code == 0
            assert job["id"] in result.text
            assert "Hook" in result.text
            assert all(len(line) <= 100 for line in result.out.splitlines() if "curl" not in line)
        assert edw("logs", "show", "00000000").code == 1
        assert "503 Service Unavailable" in one.text
        assert "curl -X POST" in one.text
        sent = edw("logs", "show", logs[1]["id"], "--body")
        assert json.loads(sent.out) == receiver.bodies[0], "the body of the first attempt"
        listed = edw("logs").out.splitlines()
        lines = [line for line in listed if "Hook" in line]
        assert [line.split()[0] for line in lines] == [log["id"][:8] for log in logs], "one line for each attempt"
        assert all(len(line) <= 100 for line in listed)

        observe(edw, receiver, "--store", "other")
        edw("emit", "order.paid", "--store", "other")
        wait_until(lambda: len(receiver.bodies) == 3, "another store's event is delivered")

        def everything() -> list[dict[str, Any]]:
            return list(edw("logs", "--all-stores", "--json").json["data"])

        wait_until(lambda: len(everything()) == 3, "its attempt has a log")
        assert [(log["store_id"], log["attempt"]) for log in everything()] == [("other", 1), (None, 2), (None, 1)]
        assert "store other" in edw("logs", "--all-stores", "--limit", "1").text

    def test_followed_logs_come_as_they_happen_until_ctrl_c(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver
    ) -> None:
        started(start_edw("worker", **QUICK), edw)
        observe(edw, receiver)
        deliver(edw, receiver, 1)
        people, script = start_edw("logs", "--follow"), start_edw("logs", "--follow", "--json")
        people.says("Hook  order.paid  attempt 1")
        script.says('"attempt":1')

        deliver(edw, receiver, 1)

        wait_until(lambda: people.output.count("delivered") == 2, lambda: people.output)
        wait_until(lambda: script.output.count("\n") == 2, lambda: script.output)
        assert all(json.loads(line)["succeeded"] for line in script.output.splitlines())
        for follower in (people, script):
            follower.signal(signal.SIGINT)
            assert follower.wait_ended() == 0, follower.output


@pytest.mark.usefixtures("redis_url")
def test_status_writes_the_balance_out(edw: Edw) -> None:
    edw("emit", "order.paid")

    result = edw("status")

    assert result.code == 0
    assert "accepted 1 = inbox 1 + unmatched 0 + filtered 0 + matched 0 + set aside 0 ok" in result.text
    assert "opened 0 + reopened 0 = succeeded 0 + failed 0 + cancelled 0 + pending 0 ok" in result.text
    assert "none: start one" in result.text
    assert edw("rejected", "list").out == "nothing was rejected\n"
    assert edw("jobs", "show", "00000000-0000-4000-8000-000000000000").code == 1


class TestDev:
    def test_a_newcomer_tries_it_out(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver, environment: dict[str, str]
    ) -> None:
        folder = Path(environment["EDW_DATA_DIR"])
        dev = start_edw("dev")
        dev.says("Ctrl-C stops")
        started(dev, edw)
        observe(edw, receiver, "--secret-key", SECRET)
        deliver(edw, receiver, 1)

        dev.signal(signal.SIGINT)

        assert dev.wait_ended() == 0, dev.output
        assert receiver.headers[0]["X-MOLTIN-SECRET-KEY"] == SECRET
        assert S_IMODE((folder / "secrets.key").stat().st_mode) == 0o600
        assert (folder / "secrets.key").read_text().strip() not in dev.output
        assert SECRET not in dev.output
        assert not alive(environment)
        assert edw("status").code == 3

    def test_what_it_held_is_there_again_the_next_time(self, edw: Edw, start_edw: StartEdw, receiver: Receiver) -> None:
        first = started_dev(start_edw, edw)
        observe(edw, receiver, "--secret-key", SECRET)
        first.signal()
        assert first.wait_ended() == 0, first.output

        started_dev(start_edw, edw)
        deliver(edw, receiver, 1)

        assert receiver.headers[0]["X-MOLTIN-SECRET-KEY"] == SECRET

    def test_a_second_one_on_the_same_folder_says_that_it_is_in_use(self, edw: Edw, start_edw: StartEdw) -> None:
        started_dev(start_edw, edw)

        second = edw("dev")

        assert second.code == 1
        assert "in use" in second.err
        assert processes(edw) == 1

    def test_after_its_kill_the_next_one_takes_redis_over_and_stops_it_in_the_end(
        self, edw: Edw, start_edw: StartEdw, receiver: Receiver, environment: dict[str, str]
    ) -> None:
        first = started_dev(start_edw, edw)
        observe(edw, receiver)
        first.signal(signal.SIGKILL)
        first.wait_ended()
        # Its worker drains by itself; Redis stays.
        wait_until(lambda: not workers(environment), lambda: first.output)
        assert edw("integrations", "list").code == 0

        second = started_dev(start_edw, edw)
        deliver(edw, receiver, 1)
        second.signal()

        assert second.wait_ended() == 0, second.output
        assert not alive(environment)
        assert edw("status").code == 3

    def test_a_terminal_that_is_closed_stops_it_as_ctrl_c_does(
        self, edw: Edw, start_edw: StartEdw, environment: dict[str, str]
    ) -> None:
        dev = started_dev(start_edw, edw)
        dev.signal(signal.SIGHUP)
        assert dev.wait_ended() == 0, dev.output
        assert not alive(environment)

    def test_it_says_so_when_its_worker_dies_and_stops_redis(
        self, edw: Edw, start_edw: StartEdw, environment: dict[str, str]
    ) -> None:
        dev = started_dev(start_edw, edw)

        os.kill(workers(environment)[0], signal.SIGKILL)

        assert dev.wait_ended() == 1
        assert "the worker was killed by SIGKILL" in dev.output
        assert not alive(environment)

    def test_it_says_so_when_its_redis_server_dies_and_stops_the_worker(
        self, edw: Edw, start_edw: StartEdw, environment: dict[str, str]
    ) -> None:
        dev = started_dev(start_edw, edw, EDW_DRAIN_SECONDS="1s")
        (redis_pid,) = [pid for pid in alive(environment) if b"unixsocket" in Path(f"/proc/{pid}/cmdline").read_bytes()]

        os.kill(redis_pid, signal.SIGKILL)

        assert dev.wait_ended() == 1
        assert "redis ended by itself" in dev.output
        assert not alive(environment)

    def test_with_a_redis_server_of_ones_own_it_starts_none(
        self, edw: Edw, start_edw: StartEdw, redis_url: str, environment: dict[str, str], tmp_path: Path
    ) -> None:
        del environment["EDW_SECRETS_KEYS"]
        elsewhere = str(tmp_path / "elsewhere")
        dev = start_edw("dev", EDW_REDIS_URL=redis_url, EDW_DATA_DIR=elsewhere)
        started(dev, edw)

        assert "EDW_SECRETS_KEYS=" in dev.output
        assert running(Path(elsewhere)) is None
        dev.signal()
        assert dev.wait_ended() == 0, dev.output
        assert edw("status").code == 0


def started_dev(start_edw: StartEdw, edw: Edw, **changes: str) -> EdwProcess:
    dev = start_edw("dev", **changes)
    dev.says("Ctrl-C stops")
    return started(dev, edw)
