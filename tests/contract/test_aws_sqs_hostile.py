"""Whatever may answer at a queue's URL, each with the outcome that its log will show."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.aws_sqs.sqs_answers import NOT_SQS, UNMENTIONED
from deliverers.aws_sqs.transport import Transport
from deliverers.contract import Delivered, DelivererOptions, Delivery, Outcome, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.http.sender import HttpSender
from deliverers.testing import LOOPBACK, PATIENCE, SHORT_TIMEOUT, a_delivery
from tests.contract.receivers import Script, answering, raw_receiver, repeating, resetting, silent
from tests.counterparts.ports import free_port
from tests.counterparts.proxy import HttpProxy

KEYS = ("AKIAQYLPMN5HHHFPHOST", "h0stile/secret+key/bPxRfiCYEXAMPLEKEY000")
JSON = "application/x-amz-json-1.0"
MIB = 1024 * 1024
NOBODY = "http://127.0.0.1:9"
NOT_SENT = "this worker had not sent it yet"


def configuration(endpoint: str, queue: str = "orders") -> dict[str, str]:
    return {
        "url": f"{endpoint}/000000000000/{queue}",
        "aws_access_key_id": KEYS[0],
        "aws_secret_access_key": KEYS[1],
        "region": "eu-west-1",
    }


def delivery_to(endpoint: str, queue: str = "orders", **changes: Any) -> Delivery:
    return a_delivery(AwsSqsDeliverer, configuration(endpoint, queue), **changes)


def several(endpoint: str, count: int) -> list[Delivery]:
    one = delivery_to(endpoint)
    return [replace(one, job_id=f"job-{n}", event_id=f"event-{n}") for n in range(count)]


@asynccontextmanager
async def opened(**changes: Any) -> AsyncIterator[AwsSqsDeliverer]:
    deliverer = AwsSqsDeliverer(DelivererOptions(**{"timeout": 10.0, "egress": LOOPBACK, **changes}))
    await deliverer.open()
    try:
        yield deliverer
    finally:
        await deliverer.close()


@asynccontextmanager
async def prepared(**changes: Any) -> AsyncIterator[AwsSqsDeliverer]:
    """One that has read botocore's model of SQS, which may take longer than a short timeout."""
    async with opened(**changes) as deliverer:
        while NOT_SENT in repr(await deliverer.deliver(delivery_to(NOBODY))):
            pass
        yield deliverer


Opening = Callable[..., AbstractAsyncContextManager[AwsSqsDeliverer]]


async def outcome_of(script: Script, opening: Opening = opened, **changes: Any) -> Outcome:
    async with raw_receiver(script) as port, opening(**changes) as deliverer:
        outcome = await deliverer.deliver(delivery_to(f"http://127.0.0.1:{port}"))
    assert not any(key in repr(outcome) for key in KEYS)
    return outcome


def answer(status: str, body: bytes | dict[str, Any], *headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Type: {JSON}", f"Content-Length: {len(raw)}", "", ""]
    return "\r\n".join(lines).encode() + raw


def error(kind: str, message: str = "x", **more: str) -> dict[str, str]:
    return {"__type": f"com.amazonaws.sqs#{kind}", "message": message, **more}


Answer = Callable[[Sequence[dict[str, Any]]], Awaitable[web.Response]]


@dataclass
class Sqs:
    """A server whose answers a test chooses, by the name of the queue; else it takes everything."""

    endpoint: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        self.requests.append(asked["Entries"])
        own = self.answers.get(asked["QueueUrl"].rpartition("/")[2])
        try:
            return await own(asked["Entries"]) if own else taken([each["Id"] for each in asked["Entries"]])
        except asyncio.CancelledError:
            self.dropped.set()
            raise


def taken(ids: Sequence[str], failed: Sequence[dict[str, Any]] = ()) -> web.Response:
    successful = [{"Id": each, "MessageId": f"m-{each}", "MD5OfMessageBody": "x"} for each in ids]
    return web.json_response({"Successful": successful, "Failed": list(failed)}, content_type=JSON)


@pytest.fixture
async def sqs() -> AsyncIterator[Sqs]:
    found = Sqs()
    application = web.Application(client_max_size=8 * MIB)
    application.router.add_post("/", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        ("400 Bad Request", error("ThrottlingException", "Rate exceeded"), (), "throttled by SQS: too many requests"),
        (
            "400 Bad Request",
            error("RequestThrottled"),
            ("x-amzn-query-error: AWS.SimpleQueueService.RequestThrottled;Sender",),
            "throttled by SQS: too many requests",
        ),
        (
            "400 Bad Request",
            error("Nobody knows it"),
            ("x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender",),
            "queue does not exist",
        ),
        (
            "400 Bad Request",
            b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>",
            (),
            "access key is not valid",
        ),
        (
            "500 Internal Server Error",
            error("InternalFailure"),
            (),
            "SQS failed within itself (500 Internal Server Error)",
        ),
        (
            "500 Internal Server Error",
            b"<html>oops</html>",
            (),
            "Received a status code outside of 2xx range (500 Internal Server Error)",
        ),
        ("400 Bad Request", b"[1,2]", (), "Received a status code outside of 2xx range (400 Bad Request)"),
        (
            "400 Bad Request",
            b'{"__type":7,"message":{"a":1}}',
            (),
            "Received a status code outside of 2xx range (400 Bad Request)",
        ),
        ("400 Bad Request", error("Novel", "says\nwhat"), (), "refused by SQS: Novel (says?what)"),
        (
            "302 Found",
            b"",
            ("Location: http://169.254.169.254/",),
            "Received a status code outside of 2xx range (302 Found): redirects are not followed",
        ),
        ("200 OK", b"<html>Log in, please</html>", (), NOT_SQS),
        ("200 OK", b"", (), NOT_SQS),
        ("200 OK", b"[]", (), NOT_SQS),
        ("200 OK", b"{}", (), NOT_SQS),
        ("200 OK", b'{"Successful":7}', (), NOT_SQS),
        ("200 OK", b'{"Successful":[7]}', (), NOT_SQS),
        ("200 OK", b'{"Successful":[{"Id":{"a":1}}]}', (), NOT_SQS),
        ("200 OK", b'{"Successful":' + b"[" * 50_000, (), NOT_SQS),
        ("200 OK", b'{"Successful":[]}', (), UNMENTIONED),
        ("200 OK", b'{"Successful":[{"Id":"somebody-elses"}],"Failed":null}', (), UNMENTIONED),
        (
            "200 OK",
            b'{"Successful":[{"Id":"0"}],"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false}]}',
            (),
            "SQS failed within itself",
        ),
    ],
)
async def test_an_answer_that_is_no_success_is_a_refusal(
    status: str, body: Any, headers: tuple[str, ...], words: str
) -> None:
    outcome = await outcome_of(answering(answer(status, body, *headers)))
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.reason, outcome.retry_after) == (int(status[:3]), words, None)


async def test_a_503_may_ask_for_a_pause() -> None:
    outcome = await outcome_of(
        answering(answer("503 Service Unavailable", error("ServiceUnavailable"), "Retry-After: 7"))
    )
    assert outcome == Refused(
        503,
        '{"Code":"com.amazonaws.sqs#ServiceUnavailable","Message":"x"}',
        "SQS is unavailable (503 Service Unavailable)",
        7.0,
    )


async def test_what_aws_repeats_of_the_request_is_not_shown() -> None:
    message = (
        "The request signature we calculated does not match the signature you provided.\n\n"
        f"The Canonical String for this request should have been\n'POST\n/\n\nhost:x\n{KEYS[0]}'\n\n"
        f"The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n{KEYS[1]}'"
    )
    outcome = await outcome_of(answering(answer("403 Forbidden", error("SignatureDoesNotMatch", message))))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "secret access key is not valid (its signature does not match)"
    assert "does not match the signature you provided" in outcome.body
    assert "Canonical" not in outcome.body
    assert "AWS4-HMAC" not in outcome.body


WRITTEN = (KEYS[1], KEYS[1].replace("/", "\\/"), KEYS[1].replace("/", "%2F"), KEYS[1].replace("/", "\\u002f"))


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("name", ["message", "__type"])
async def test_a_key_that_is_echoed_is_not_shown_however_it_is_written(name: str, written: str) -> None:
    body = b'{"code":"Novel","%s":"%s: %s"}' % (name.encode(), KEYS[0].encode(), written.encode())
    outcome = await outcome_of(answering(answer("400 Bad Request", body)))
    assert isinstance(outcome, Refused)
    assert "EXAMPLEKEY" not in repr(outcome)
    assert "AKIA" not in repr(outcome)
    assert "********" in outcome.body


async def test_keys_as_short_as_emulators_take_spoil_no_words() -> None:
    short = {"aws_access_key_id": "e", "aws_secret_access_key": "t"}
    async with raw_receiver(answering(answer("400 Bad Request", error("QueueDoesNotExist")))) as port:
        one = a_delivery(AwsSqsDeliverer, configuration(f"http://127.0.0.1:{port}") | short)
        async with opened() as deliverer:
            outcome = await deliverer.deliver(one)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "queue does not exist"


async def test_a_message_id_that_is_none_of_sqs_is_searched_for_secrets_too() -> None:
    body = {"Successful": [{"Id": "0", "MessageId": KEYS[1], "SequenceNumber": f"1{KEYS[0]}"}]}
    assert await outcome_of(answering(answer("200 OK", body))) == Delivered(
        200, '{"MessageId":"********","SequenceNumber":"1********"}'
    )


async def test_half_a_batch_is_refused_and_each_has_its_own_outcome(sqs: Sqs) -> None:
    async def half(entries: Sequence[dict[str, Any]]) -> web.Response:
        failed = [
            {"Id": each["Id"], "Code": "InvalidMessageContents", "Message": "no", "SenderFault": True}
            for each in entries[1::2]
        ]
        return taken([each["Id"] for each in reversed(entries[::2])], failed)

    sqs.answers["orders"] = half
    async with opened() as deliverer:
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in several(sqs.endpoint, 10)))
    assert len(sqs.requests) == 1
    assert outcomes[::2] == [Delivered(200, f'{{"MessageId":"m-{n}"}}') for n in range(0, 10, 2)]
    assert (
        outcomes[1::2]
        == [
            Refused(
                200,
                '{"Code":"InvalidMessageContents","Message":"no"}',
                "message has characters that SQS does not take",
            )
        ]
        * 5
    )


async def test_an_answer_is_understood_however_little_of_answers_is_to_be_read(sqs: Sqs) -> None:
    async with opened(read_limit=100, keep_limit=10) as deliverer:
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in several(sqs.endpoint, 10)))
    assert {type(each) for each in outcomes} == {Delivered}


async def test_a_queue_that_is_silent_or_throttled_delays_no_other(sqs: Sqs) -> None:
    async def never(_: Any) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def throttled(_: Any) -> web.Response:
        return web.json_response(error("ThrottlingException"), status=400, content_type=JSON)

    sqs.answers |= {"silent": never, "busy": throttled}
    # Longer than what the busiest machine takes for the others.
    async with opened(timeout=60.0) as deliverer:
        stuck = [asyncio.create_task(deliverer.deliver(delivery_to(sqs.endpoint, "silent"))) for _ in range(12)]
        busy = [asyncio.create_task(deliverer.deliver(delivery_to(sqs.endpoint, "busy"))) for _ in range(12)]
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in several(sqs.endpoint, 30)))
        assert {type(each) for each in outcomes} == {Delivered}
        assert {type(each) for each in await asyncio.gather(*busy)} == {Refused}
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
        await asyncio.wait_for(sqs.dropped.wait(), PATIENCE)
        assert deliverer._queues == {}


async def test_a_delivery_that_is_cancelled_takes_no_neighbour_with_it(sqs: Sqs) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def held(entries: Sequence[dict[str, Any]]) -> web.Response:
        asked.set()
        await go.wait()
        return taken([each["Id"] for each in entries])

    sqs.answers["orders"] = held
    async with opened() as deliverer:
        tasks = [asyncio.create_task(deliverer.deliver(one)) for one in several(sqs.endpoint, 10)]
        await asked.wait()
        for task in tasks[:4]:
            task.cancel()
        go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [asyncio.CancelledError] * 4 + [Delivered] * 6
    assert len(sqs.requests) == 1


async def test_a_request_that_nobody_waits_for_any_more_is_given_up(sqs: Sqs) -> None:
    asked = asyncio.Event()

    async def never(_: Any) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    sqs.answers["orders"] = never
    async with opened() as deliverer:
        tasks = [asyncio.create_task(deliverer.deliver(one)) for one in several(sqs.endpoint, 3)]
        await asked.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(sqs.dropped.wait(), PATIENCE)
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_cancelled_before_it_is_sent_is_not_sent(sqs: Sqs) -> None:
    async with opened() as deliverer:
        await deliverer.deliver(delivery_to(sqs.endpoint))
        tasks = [asyncio.create_task(deliverer.deliver(one)) for one in several(sqs.endpoint, 5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert [len(each) for each in sqs.requests] == [1, 3]


async def test_closing_ends_what_is_under_way(sqs: Sqs) -> None:
    asked = asyncio.Event()

    async def never(_: Any) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    sqs.answers["orders"] = never
    async with opened() as deliverer:
        tasks = [asyncio.create_task(deliverer.deliver(one)) for one in several(sqs.endpoint, 12)]
        await asked.wait()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert {type(each) for each in outcomes} == {Unreachable}
    assert isinstance(outcomes[0], Unreachable)
    assert "closing" in outcomes[0].reason


async def test_an_endless_answer_is_cut_off() -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = repeating(start, b"1000\r\n" + b" " * 4096 + b"\r\n")
    async with raw_receiver(endless) as port, opened() as deliverer:
        one = delivery_to(f"http://127.0.0.1:{port}")
        # The first loads botocore.
        await deliverer.deliver(one)
        tracemalloc.start()
        try:
            outcome = await deliverer.deliver(one)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.reason) == (200, NOT_SQS)
    assert peak < 4 * MIB


async def test_a_gzip_bomb_is_cut_off() -> None:
    bomb = gzip.compress(b"\0" * 50 * MIB)
    outcome = await outcome_of(answering(answer("200 OK", bomb, "Content-Encoding: gzip")))
    assert isinstance(outcome, Refused)
    assert outcome.reason == NOT_SQS
    assert len(outcome.body.encode()) <= 4096


async def test_one_byte_a_second_ends_at_the_deadline_with_the_status_that_came() -> None:
    slow = repeating(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x", 0.05)
    outcome = await outcome_of(slow, prepared, timeout=SHORT_TIMEOUT)
    assert outcome == Refused(
        200, "", "Received a status code (200 OK), but no complete answer within 0.5 s (reading its body)"
    )


async def test_a_reset_in_the_midst_of_an_answer_is_a_refusal() -> None:
    outcome = await outcome_of(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc"))
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("Received a status code (200 OK), but ")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (answering(b""), "connection closed by the receiver before it answered"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "the answer is not HTTP"),
        (repeating(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 500 + b"\r\n"), "the answer has too many headers"),
    ],
)
async def test_what_is_no_answer_is_said(script: Script, words: str) -> None:
    assert await outcome_of(script) == Unreachable(words)


async def test_silence_is_distinguished_from_a_connection_that_is_not_made() -> None:
    assert await outcome_of(silent, prepared, timeout=SHORT_TIMEOUT) == Unreachable(
        "no answer within 0.5 s (connected, waiting for it)"
    )


async def test_time_that_went_by_before_anything_was_sent_is_not_put_on_the_receiver() -> None:
    # The first request of a process reads botocore's model of SQS.
    assert await outcome_of(silent, timeout=0.001) == Unreachable(f"no answer within 0.001 s ({NOT_SENT})")


async def test_tls_is_verified_and_the_extra_authorities_count(tmp_path: Path, sqs: Sqs) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    body = json.dumps({"Successful": [{"Id": "0", "MessageId": "m"}]}).encode()
    async with raw_receiver(answering(answer("200 OK", body)), context) as port:
        for options, kind in (({}, Unreachable), ({"tls_ca_file": str(tmp_path / "ca.pem")}, Delivered)):
            async with opened(**options) as deliverer:
                outcome = await deliverer.deliver(delivery_to(f"https://localhost:{port}"))
            assert isinstance(outcome, kind)
            if isinstance(outcome, Unreachable):
                assert outcome.reason == "certificate is not signed by a known authority"


async def test_a_proxy_is_gone_through_and_judges_addresses_itself(sqs: Sqs) -> None:
    async with HttpProxy(password="s3cret") as proxy, opened(proxy=proxy.url) as deliverer:
        assert isinstance(await deliverer.deliver(delivery_to(sqs.endpoint)), Delivered)
        proxy.refuse = True
        async with opened(proxy=proxy.url) as another:
            refused = await another.deliver(delivery_to(sqs.endpoint))
    assert proxy.asked[0].startswith(sqs.endpoint)
    assert isinstance(refused, Refused)
    assert refused.status == 403
    async with HttpProxy() as proxy, opened(proxy=proxy.url, egress=EgressPolicy()) as deliverer:
        outcome = await deliverer.deliver(delivery_to(sqs.endpoint))
    assert outcome == Unreachable("address not allowed: 127.0.0.1 (loopback)")
    assert proxy.asked == []


async def test_a_name_that_does_not_resolve_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoNames(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            raise OSError(None, "DNS")

        async def close(self) -> None:
            pass

    monkeypatch.setattr(Transport, "_make_resolver", lambda _: NoNames())
    async with opened() as deliverer:
        outcome = await deliverer.deliver(delivery_to("https://sqs.example"))
    assert outcome == Unreachable("host name sqs.example does not resolve")


async def test_a_scheme_that_is_not_allowed_is_not_used(sqs: Sqs) -> None:
    async with opened(egress=EgressPolicy(LOOPBACK.allow, schemes=frozenset({"https"}))) as deliverer:
        outcome = await deliverer.deliver(delivery_to(sqs.endpoint))
    assert outcome == Unreachable("scheme not allowed: http (only https)")
    assert sqs.requests == []


@pytest.mark.parametrize("changes", [{"url": "http://under_score:4566/0/q"}, {"region": "-"}])
async def test_an_endpoint_or_a_region_that_botocore_does_not_take_is_an_outcome(changes: dict[str, str]) -> None:
    one = a_delivery(AwsSqsDeliverer, configuration("http://127.0.0.1:1") | changes)
    async with opened() as deliverer:
        outcome = await deliverer.deliver(one)
        assert len(deliverer._clients) == 0
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("the queue's endpoint or region cannot be used: ")


async def test_a_bug_in_sending_is_every_waiting_deliverys_and_leaves_nothing_behind(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as deliverer:

        async def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(HttpSender, "exchange", broken)
        tasks = [asyncio.create_task(deliverer.deliver(one)) for one in several(sqs.endpoint, 3)]
        for task in tasks:
            with suppress(ZeroDivisionError):
                await task
                raise AssertionError
        monkeypatch.undo()
        assert isinstance(await deliverer.deliver(delivery_to(sqs.endpoint)), Delivered)


async def test_a_deliverer_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="open"):
        await AwsSqsDeliverer(DelivererOptions()).deliver(delivery_to("http://127.0.0.1:1"))


async def test_the_address_of_a_deployments_own_endpoint_is_for_the_operator_alone() -> None:
    port = free_port()
    for endpoint in (f"http://127.0.0.1:{port}", "http://sqs-emulator.invalid"):
        async with opened(sqs_endpoint=endpoint) as deliverer:
            outcome = await deliverer.deliver(delivery_to("https://sqs.eu-west-1.amazonaws.com"))
        assert isinstance(outcome, Unreachable)
        assert "the SQS endpoint of this deployment" in outcome.reason
        assert not [part for part in ("127.0.0.1", str(port), "sqs-emulator") if part in outcome.reason]
