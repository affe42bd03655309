"""Everybody of a run: Redis, one worker, one API, the victim with its receivers, and the attacker."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import psutil

from tests.benchmarks.attacks.attacker import Attacker
from tests.benchmarks.attacks.flooded import SECRETS_KEY, flooded_stores
from tests.benchmarks.attacks.target import HOST, Target
from tests.benchmarks.attacks.victim import BY_HTTP, DIRECT, ApiProducer, Victim
from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.order import ORG_ID
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.receivers import Receivers
from tests.ledger.inspection import waiting_messages
from worker.domain.api_token import Role
from worker.domain.event import Scope

#: As shipped, but for addresses. The attacker's address is a proxy's, so that it may have many connections.
_CHANGES = {
    "EDW_DRAIN_SECONDS": "0",
    "EDW_API_PORT": "0",
    "EDW_API_PROXIES": "127.0.0.1/32",
    "EDW_SECRETS_KEYS": SECRETS_KEY,
}
_ATTACKER, _CROWD = Scope(None, "attacker"), Scope(None, "crowd")
_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run needs."""

    victim: Victim
    attacker: Attacker
    processes: Mapping[str, Program]
    ours: Installation

    def check(self) -> None:
        """Raises ProcessEnded where a process has ended by itself."""
        for each in self.processes.values():
            each.check()

    def settle(self) -> None:
        """Wait until nothing of an attack is under way. Raises DeliveriesLost."""
        end = monotonic() + _PATIENCE_SECONDS
        while not self.ours.run(_is_idle(self.ours)):
            if monotonic() > end:
                raise DeliveriesLost(f"an attack's messages were not worked off in {_PATIENCE_SECONDS:g} s")
            sleep(_LOOK_SECONDS)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Start everybody, and end everybody in any case. Raises ProcessEnded."""
    with ExitStack() as stack:
        receivers, attacker = Receivers(folder / "receivers.log"), Attacker(folder / "attacker.log")
        for program in (receivers.program, attacker.program):
            stack.callback(program.stop)
        receivers.start()
        hostile = attacker.start()
        redis = PrivateRedis(folder / "s", "everysec")
        stack.callback(redis.program.stop)
        redis.start()
        ours = Installation(redis, folder / "worker.log", {**_CHANGES, "EDW_DATA_DIR": str(folder / "data")})
        stack.enter_context(closing(ours))
        ours.connect()
        for way in (DIRECT, BY_HTTP):
            ours.register(receivers.url(f"/notes/{way}"), Scope(ORG_ID, way))
        broken = ours.register(f"http://{HOST}:{hostile.receiver}/", _ATTACKER)
        floods = flooded_stores(ours, hostile)
        ours.start_worker()
        stack.callback(ours.program.stop)
        api = ours.start_api(folder / "api.log")
        stack.callback(api.stop)
        ours.await_worker()
        api_port = api.logged_port("api ready", "url")
        target = Target(
            api_port=api_port,
            metrics_port=ours.program.logged_port("probe", "metrics"),
            redis_socket=str(redis.path),
            store_id=_ATTACKER.store_id or "",
            integration_id=broken.id,
            admin=ours.token(_ATTACKER, Role.ADMIN),
            publish=ours.token(_ATTACKER, Role.PUBLISH),
            read=ours.token(_ATTACKER, Role.READ),
            crowd=ours.token(_CROWD, Role.ADMIN),
            floods=floods,
        )
        attacker.aim(target)
        by_http = ApiProducer(api_port, ours.token(Scope(ORG_ID, BY_HTTP), Role.PUBLISH))
        stack.enter_context(closing(by_http))
        victim = Victim({DIRECT: ours.publisher, BY_HTTP: by_http}, receivers)
        yield Stage(victim, attacker, {"API": api, "worker": ours.program}, ours)


@contextmanager
def watched(processes: Mapping[str, Program]) -> Iterator[dict[str, tuple[int, int]]]:
    """Look at the memory of processes for as long as the block lasts: bytes before, and the most of all looks."""
    known = {name: psutil.Process(program.pid) for name, program in processes.items()}
    before = {name: process.memory_info().rss for name, process in known.items()}
    seen, over = {name: (size, size) for name, size in before.items()}, Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            for name, process in known.items():
                with_this = max(seen[name][1], process.memory_info().rss)
                seen[name] = (before[name], with_this)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


async def _is_idle(ours: Installation) -> bool:
    return not await waiting_messages(ours.ledger) and not (await ours.ledger.status.read()).inbox
