"""RabbitMQ as a deployment has it: over TLS, and restarted while everybody works."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from tests.counterparts.certificates import ServerFiles
from tests.counterparts.ports import free_port
from tests.counterparts.rabbitmq import PASSWORD, USER, RabbitServer, tls_options
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher


class TlsRabbit(RabbitServer):
    """One that speaks AMQP over TLS, too."""

    def __init__(self, folder: Path) -> None:
        self.tls, self.files = free_port(), ServerFiles.make(folder)
        super().__init__(config={"listeners.ssl.1": f"127.0.0.1:{self.tls}", **tls_options(self.files)})

    def tls_url(self, host: str) -> str:
        return f"amqps://{USER}:{PASSWORD}@{host}:{self.tls}//?ssl_ca_certs={self.files.ca}"


@pytest.fixture
def tls_rabbit(tmp_path: Path) -> Iterator[TlsRabbit]:
    (tmp_path / "tls").mkdir()
    with TlsRabbit(tmp_path / "tls") as server:
        yield server


async def test_over_tls_it_may_be_restarted_under_load_and_everything_arrives_once(
    tls_rabbit: TlsRabbit,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    environment: dict[str, str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await register()
    url = tls_rabbit.tls_url("localhost")
    monkeypatch.setenv("EDW_BROKER_URL", url)
    worker = await start_worker(EDW_BROKER_URL=url).ready()
    # Its certificate is another's.
    stranger = start_worker(EDW_BROKER_URL=tls_rabbit.tls_url("127.0.0.1"))
    await eventually(lambda: stranger.said("IP address mismatch"), "who is not named in the certificate is refused")
    stranger.end()

    async with Publisher(load_settings()) as publisher:
        for n in range(200):
            await publisher.apublish(order_paid(id=f"e-{n}"))
            if n == 50:
                restart = asyncio.create_task(asyncio.to_thread(tls_rabbit.restart))
            await asyncio.sleep(0.01)
        await restart
        await eventually(lambda: worker.said("ready.", 2) or worker.said("Connected to", 2), "it is connected again")
        await publisher.apublish(order_paid(id="after"))
    await eventually(receiver.got(201), "everything arrives")
    assert len({each.body["id"] for each in receiver.received}) == len(receiver.received) == 201
    await balanced(ledger)
