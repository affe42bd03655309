"""A queue of an emulator, as the contract suite wants a counterpart: read back by aiobotocore's own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import get_session

from deliverers.testing import Counterpart
from tests.counterparts.emulator import REGION, Emulator
from tests.counterparts.tap import Tap

# It reads its models from files, which takes longer than most tests.
_session = cache(get_session)


class SqsCounterpart(Counterpart):
    """One queue; a tap stands between it and who sends."""

    def __init__(self, emulator: Emulator, tap: Tap, queue_url: str, keys: tuple[str, str]) -> None:
        self.emulator = emulator
        self.tap = tap
        self.queue_url = queue_url
        self.messages: list[Mapping[str, Any]] = []
        self.secrets = keys
        self.configuration = {
            "url": f"http://127.0.0.1:{tap.port}{urlsplit(queue_url).path}",
            "aws_access_key_id": keys[0],
            "aws_secret_access_key": keys[1],
            "region": REGION,
        }

    async def received_messages(self) -> list[Mapping[str, Any]]:
        """Every message so far, as SQS gives it."""
        key_id, secret = self.emulator.root_keys
        async with _session().create_client(
            "sqs",
            region_name=REGION,
            endpoint_url=self.emulator.url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        ) as client:
            while True:
                answer = await client.receive_message(
                    QueueUrl=self.queue_url,
                    MaxNumberOfMessages=10,
                    MessageAttributeNames=["All"],
                    AttributeNames=["All"],
                )
                found = answer.get("Messages", [])
                if not found:
                    return self.messages
                self.messages += found
                entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(found)]
                await client.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)

    async def received(self) -> list[Mapping[str, Any]]:
        return [json.loads(each["Body"]) for each in await self.received_messages()]

    def refuse(self) -> None:
        self.emulator.delete_queue(self.queue_url)

    def fall_silent(self) -> None:
        self.emulator.freeze()

    async def stop(self) -> None:
        await self.tap.close()


@asynccontextmanager
async def a_queue(
    emulator: Emulator, keys: tuple[str, str], name: str = "orders", **attributes: str
) -> AsyncIterator[SqsCounterpart]:
    """A new queue behind a tap of its own."""
    async with Tap(emulator.port) as tap:
        yield SqsCounterpart(emulator, tap, emulator.create_queue(name, **attributes), keys)
