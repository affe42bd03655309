"""The receiver of deliverers/README.md that sends warnings by e-mail and to Slack, and the command beside it."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from email import message_from_string
from pathlib import Path

import pytest
from aiohttp import ClientSession

from deliverers.envelopes import webhook_body
from deliverers.testing import a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.counterparts.ports import free_port
from tests.fleet.edw_command import Edw
from tests.fleet.webhook_receiver import Receiver, receiving
from tests.pages import block, command
from tests.samples import warnings
from tests.waiting import eventually
from worker.domain.lifecycle import WARNINGS

PAGE = "deliverers/README.md"
SECRET = "correct horse battery"


@dataclass
class MailServer:
    """A mail server that keeps what it gets."""

    port: int = 0
    messages: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        while line := await reader.readline():
            match line.split()[0].upper():
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    self.messages.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    writer.write(b"250 kept\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 ok\r\n")
        writer.close()


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    found = MailServer()
    server = await asyncio.start_server(found.talk, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.fixture
async def slack() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
def notify(mail: MailServer, slack: Receiver, tmp_path: Path) -> Iterator[str]:
    """The receiver of the page, in a process of its own; its address."""
    script, port = tmp_path / "notify.py", free_port()
    script.write_text(block(PAGE, "python", "smtplib"))
    environment = os.environ | {
        "SECRET_KEY": SECRET,
        "PORT": str(port),
        "SLACK_WEBHOOK_URL": slack.url,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail.port),
        "MAIL_FROM": "edw@shop.example",
        "MAIL_TO": "ops@shop.example",
    }
    process = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def test_each_warning_is_sent_by_e_mail_and_to_slack(notify: str, mail: MailServer, slack: Receiver) -> None:
    async with ClientSession() as client:

        async def post(path: str, body: bytes, secret: str = SECRET) -> int:
            headers = {"X-MOLTIN-SECRET-KEY": secret}
            async with client.post(notify + path, data=body, headers=headers) as answer:
                return answer.status

        async def listens() -> bool:
            try:
                return await post("/email", b"{}", "wrong") == 401
            except OSError:
                return False

        await eventually(listens, "it listens, and refuses who does not know the secret")
        for key, data in warnings().items():
            delivery = replace(
                a_delivery(WebhookDeliverer, {"url": "https://notify.example"}),
                triggered_by=key,
                included=None,
                data=json.dumps(data).encode(),
            )
            for path in ("/email", "/slack"):
                assert await post(path, webhook_body(delivery)) == 204
            message, text = message_from_string(mail.messages[-1]), slack.received[-1].body["text"]
            assert (message["Subject"], message["To"]) == (f"{key}: ERP", "ops@shop.example")
            assert text.startswith(f"*{key}: ERP*\n")
            for said in (str(message.get_payload()), text):
                assert "https://edw.example/console/integrations/i-1" in said
                assert data.get("reason", "") in said
                assert data.get("ends_at", "") in said


@pytest.mark.usefixtures("redis_url")
def test_the_command_of_the_page_observes_every_warning(edw: Edw) -> None:
    start = '.venv/bin/edw integrations create --name "Warn us'
    words = shlex.split(command(PAGE, start).replace("$SECRET_KEY", SECRET))
    assert set(edw(*words[1:], "--json").json["data"]["observes"]) == set(WARNINGS)
