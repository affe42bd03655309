"""Where most tests of processes begin."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.producers import push_to_list
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger
from worker.publisher import Publisher

Register = Callable[..., Awaitable[Integration]]


@dataclass(frozen=True)
class FleetScene:
    """A ledger, a receiver, integrations that lead to it, and workers to start."""

    ledger: Ledger
    receiver: Receiver
    register: Register
    start_worker: StartWorker
    settings: Settings

    async def publish(self, **changes: Any) -> None:
        """Publish one event by the Publisher."""
        async with Publisher(self.settings) as publisher:
            await publisher.apublish(order_paid(**changes))

    async def put_in_intake(self, *events: dict[str, Any]) -> None:
        """Put events on the plain queue of Redis."""
        assert self.settings.redis_url is not None
        push_to_list(self.settings.redis_url.get_secret_value(), *(json.dumps(each) for each in events))

    async def holds_one(self, worker: WorkerProcess) -> Integration:
        """Have attempt 1 of an event in flight in a worker, which the receiver keeps unanswered."""
        self.receiver.hold = asyncio.Event()
        integration = await self.register()
        await worker.ready()
        await self.publish(id="held")
        await eventually(self.receiver.got(1), "attempt 1 is in flight")
        return integration

    def answer(self) -> None:
        """Answer what the receiver keeps, and whatever comes."""
        assert self.receiver.hold is not None
        self.receiver.hold.set()
        self.receiver.hold = None
