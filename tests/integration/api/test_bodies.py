"""Bodies that may be left out: what is in one all the same is meant, and never passed over."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.api_client import Api, Client, Serve, webhook
from worker.api import request_context
from worker.api.handlers.oauth import CREDENTIALS_BYTES
from worker.api.inflating import PIECE_BYTES, Inflater
from worker.api.request_context import DOCUMENT_BYTES
from worker.domain.api_token import Role


@pytest.mark.parametrize("what", ["redeliver", "test"])
@pytest.mark.parametrize("body", [{"dry_run": True}, {"data": {}, "dry_run": True}])
async def test_options_that_are_not_wrapped_are_refused_where_a_body_may_be_left_out(
    admin: Client, what: str, body: dict[str, Any]
) -> None:
    """Ignored, the redelivery that was only asked about would be done."""
    integration = (await admin.create())["id"]

    answer = await admin.post(f"/v2/integrations/{integration}/{what}", body)

    assert (answer.status, answer.pointers) == (422, ["/dry_run"])


@pytest.mark.parametrize("what", ["redeliver", "test"])
@pytest.mark.parametrize("body", [[], 5, None, {"data": []}, {"data": None}])
async def test_what_is_no_object_is_refused(admin: Client, what: str, body: Any) -> None:
    integration = (await admin.create())["id"]

    answer = await admin.post(f"/v2/integrations/{integration}/{what}", b"null" if body is None else body)

    assert (answer.status, answer.pointers) == (422, ["/data"])


@pytest.mark.parametrize(("what", "status"), [("redeliver", 202), ("test", 200)])
@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"data":{}}'])
async def test_what_says_nothing_is_as_good_as_none(admin: Client, what: str, status: int, body: bytes) -> None:
    integration = (await admin.create())["id"]

    assert (await admin.post(f"/v2/integrations/{integration}/{what}", body)).status == status


@pytest.mark.parametrize("surplus", [0, 1])
async def test_what_describes_something_is_small(admin: Client, surplus: int) -> None:
    """Decoded whole, a body as large as events may be would keep everybody else waiting for seconds."""
    integration = (await admin.create())["id"]

    def padded(attributes: dict[str, Any]) -> bytes:
        body = json.dumps({"data": attributes}).encode()
        return body + b" " * (DOCUMENT_BYTES + surplus - len(body))

    for answer in (
        await admin.post("/v2/integrations", padded(webhook())),
        await admin.put(f"/v2/integrations/{integration}", padded({"name": "CRM"})),
        await admin.post(f"/v2/integrations/{integration}/redeliver", padded({})),
    ):
        assert (answer.status == 413) == bool(surplus), answer.raw
        assert not surplus or f"{DOCUMENT_BYTES:,} bytes" in answer.errors[0]["detail"]


async def test_a_test_takes_an_event_of_any_size_that_events_may_have(serve: Serve) -> None:
    most = 2 * DOCUMENT_BYTES
    admin = await (await serve(event_max_bytes=most)).someone()
    integration = (await admin.create(configuration={"url": "http://127.0.0.1:9/"}))["id"]
    for size, status in ((most - 100, 200), (most + DOCUMENT_BYTES, 413)):
        sample = {"data": {"data": {"text": "x" * size}}}
        assert (await admin.post(f"/v2/integrations/{integration}/test", sample)).status == status


async def test_a_stranger_who_logs_in_sends_little(api: Api) -> None:
    anybody = api.client()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, headers in ((b"[" + b"[]," * CREDENTIALS_BYTES, {}), (b"x" * (CREDENTIALS_BYTES + 1), form)):
        answer = await anybody.post("/oauth/access_token", body, headers)
        assert answer.status == 413, answer.raw


async def test_a_body_that_inflates_is_counted_as_it_is_read(admin: Client) -> None:
    inflated = gzip.compress(b" " * (DOCUMENT_BYTES + 1))
    assert (await admin.post("/v2/integrations", inflated, {"Content-Encoding": "gzip"})).status == 413


EVENT = json.dumps({"data": {"id": "e-1", "type": "order.paid", "data": {"id": "o-1"}}}).encode()


def gzipped(body: bytes) -> bytes:
    """Compress without the time of day, by which two processes would name a test differently."""
    return gzip.compress(body, mtime=0)


def bare(body: bytes) -> bytes:
    """Deflate without zlib's head and checksum, as some clients send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzipped(EVENT)),
        ("x-gzip", gzipped(EVENT)),
        ("GZip", gzipped(EVENT[:10]) + gzipped(EVENT[10:])),
        ("deflate", zlib.compress(EVENT)),
        ("Deflate", bare(EVENT)),
        ("identity", EVENT),
        ("identity , gzip,", gzipped(EVENT)),
        ("", EVENT),
    ],
)
async def test_a_body_has_one_of_the_codings_that_are_taken(admin: Client, coding: str, body: bytes) -> None:
    answer = await admin.post("/v2/events", body, {"Content-Encoding": coding})

    assert (answer.status, answer.data["id"]) == (202, "e-1")


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "deflate,gzip", "é", "gzip;q=1", "x-deflate"]
)
async def test_other_codings_are_refused_with_those_that_are_taken(admin: Client, coding: str) -> None:
    answer = await admin.post("/v2/events", EVENT, {"Content-Encoding": coding})

    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip, deflate")
    assert "Content-Encoding" in answer.errors[0]["detail"]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzipped(EVENT)[:-1]),
        ("gzip", gzipped(EVENT)[:12]),
        ("gzip", gzipped(EVENT) + b"x"),
        ("gzip", gzipped(EVENT) + gzipped(EVENT)[:-1]),
        ("gzip", gzipped(EVENT)[:-8] + b"\0" * 8),
        ("gzip", zlib.compress(EVENT)),
        ("gzip", b"".join([gzipped(b"")] * 1_001)),
        ("deflate", zlib.compress(EVENT)[:-1]),
        ("deflate", zlib.compress(EVENT) + b"x"),
        ("deflate", zlib.compress(EVENT)[:-4] + b"\0" * 4),
        ("deflate", bare(EVENT)[:-1]),
        ("deflate", bare(EVENT) + b"x"),
        ("deflate", gzipped(EVENT)),
        ("deflate", b"x"),
    ],
    ids=range(14),
)
async def test_what_does_not_follow_its_coding_is_refused(admin: Client, coding: str, body: bytes) -> None:
    answer = await admin.post("/v2/events", body, {"Content-Encoding": coding})

    assert (answer.status, coding in answer.errors[0]["detail"]) == (400, True)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_nothing_is_inflated_for_a_caller_who_may_not(
    api: Api, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inflated: list[str] = []
    monkeypatch.setattr(request_context, "Inflater", inflated.append)
    monkeypatch.setattr(zlib, "decompressobj", inflated.append)
    bomb = gzipped(b" " * (1 << 20)) if coding == "gzip" else zlib.compress(b" " * (1 << 20))
    headers = {"Content-Encoding": coding}

    assert (await api.client().post("/v2/events", bomb, headers)).status == 401
    assert (await api.client("edw_bad").post("/v2/events", bomb, headers)).status == 401
    assert (await (await api.someone(Role.READ)).post("/v2/events", bomb, headers)).status == 403
    assert (await api.client().post("/nowhere", bomb, headers)).status == 401
    assert inflated == []


async def test_a_bomb_is_inflated_up_to_the_limit_and_others_have_their_turn_meanwhile(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 64 MiB, no more than the limit and one piece is inflated, and the loop runs after every piece."""
    limit = 1 << 20
    api = await serve(api_body_limit=limit)
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(1 << 6)) + packer.flush()
    assert len(bomb) < limit
    pieces: list[int] = []
    turns: list[int] = []

    class Counted(Inflater):
        def pieces(self, data: bytes) -> Iterator[bytes]:
            for piece in super().pieces(data):
                pieces.append(len(piece))
                yield piece

    async def others() -> None:
        while True:
            turns.append(len(pieces))
            await asyncio.sleep(0)

    monkeypatch.setattr(request_context, "Inflater", Counted)
    somebody = await api.someone()
    beside = asyncio.create_task(others())
    answer = await somebody.post("/v2/events", bomb, {"Content-Encoding": "gzip"})
    beside.cancel()

    assert answer.status == 413
    assert max(pieces) <= PIECE_BYTES
    assert sum(pieces) <= limit + PIECE_BYTES
    assert max(after - before for before, after in pairwise(turns)) <= 1
