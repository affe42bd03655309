"""The attacks: what is sent, where, and how fast. Each is bounded in count and in time.

The pace is far above a customer's, and low enough that the work which the API must do for any request of its size
leaves it time: measured is for how long one request keeps the others waiting.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import redis

from config.celery import EVENTS_QUEUE
from tests.benchmarks.attacks import payloads
from tests.benchmarks.attacks.clients import (
    AGAIN_SECONDS,
    Behave,
    Tally,
    crowd,
    exchange,
    idling,
    pace,
    pipelining,
    trickling,
)
from tests.benchmarks.attacks.hostile_broker import STOMP_FLOODS
from tests.benchmarks.attacks.hostile_receiver import FLOODS
from tests.benchmarks.attacks.payloads import EVENTS, INTEGRATIONS, request, wrapped
from tests.benchmarks.attacks.target import Target
from worker.ledger.key_names import INTAKE_LIST

#: Makes the requests, which are sent in turn.
Requests = Callable[[Target], Sequence[Callable[[], bytes]]]

#: Requests of one attacker that are unanswered at a time.
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Attack:
    """One of them."""

    name: str
    #: What is sent how often, for people.
    pace: str
    run: Callable[[Target, float], Awaitable[Tally]]


def _by_http(name: str, per_second: float, requests: Requests) -> Attack:
    async def run(target: Target, seconds: float) -> Tally:
        made = requests(target)

        async def send(number: int) -> str:
            return await exchange(target.api_port, made[number % len(made)]())

        return await pace(send, per_second, AT_ONCE, seconds)

    return Attack(name, f"{per_second:g}/s, at most {AT_ONCE} at once", run)


def _by_redis(name: str, per_second: float, key: str, messages: Callable[[], Sequence[bytes]]) -> Attack:
    async def run(target: Target, seconds: float) -> Tally:
        made = messages()
        with redis.Redis(unix_socket_path=target.redis_socket) as client:

            async def send(number: int) -> str:
                client.lpush(key, made[number % len(made)])
                return "pushed"

            return await pace(send, per_second, AT_ONCE, seconds)

    return Attack(name, f"{per_second:g}/s", run)


def _by_crowd(
    name: str, clients: int, per_second: float, port: Callable[[Target], int], behave: Callable[[Target], list[Behave]]
) -> Attack:
    async def run(target: Target, seconds: float) -> Tally:
        return await crowd(port(target), behave(target), clients, per_second, seconds)

    return Attack(
        name, f"{clients} connections, begun at {per_second:g}/s, each renewed {AGAIN_SECONDS:g} s later", run
    )


def _fixed(*requests: bytes) -> Sequence[Callable[[], bytes]]:
    return [partial(bytes, each) for each in requests]


def _unclosed(target: Target) -> Sequence[Callable[[], bytes]]:
    bodies = [wrapped(payloads.UNCLOSED), wrapped(b"[" + payloads.UNCLOSED), payloads.UNCLOSED]
    return _fixed(*(request("POST", EVENTS, target.publish, body=body) for body in bodies))


def _etags(target: Target) -> Sequence[Callable[[], bytes]]:
    return _fixed(request("GET", f"{INTEGRATIONS}/{target.integration_id}", target.read, *payloads.long_etags()))


def _cloudevents(target: Target) -> Sequence[Callable[[], bytes]]:
    return _fixed(*(request("POST", EVENTS, target.publish, *each, body=b"{}") for each in payloads.cloudevents()))


def _content_types(target: Target) -> Sequence[Callable[[], bytes]]:
    return _fixed(
        *(
            request("POST", path, token, ("Content-Type", each), body=b"{}")
            for each in payloads.content_types()
            for path, token in ((EVENTS, target.publish), ("/oauth/access_token", ""))
        )
    )


def _forwarded(target: Target) -> Sequence[Callable[[], bytes]]:
    headers = payloads.forwarded()
    return [lambda: request("GET", INTEGRATIONS, payloads.bad_token(), *headers)]


def _brackets(target: Target) -> Sequence[Callable[[], bytes]]:
    return _fixed(request("POST", EVENTS, target.publish, body=wrapped(payloads.BRACKETS)))


def _bombs(token: Callable[[Target], str]) -> Requests:
    def requests(target: Target) -> Sequence[Callable[[], bytes]]:
        codings = [("Content-Encoding", "gzip"), ("Content-Encoding", "x-gzip")]
        return _fixed(*(request("POST", EVENTS, token(target), each, body=payloads.bomb()) for each in codings))

    return requests


def _numbers(target: Target) -> Sequence[Callable[[], bytes]]:
    creations = [request("POST", INTEGRATIONS, target.admin, body=body) for body in payloads.numbers()]
    # An event may have any number in its data. Nobody observes this one, so that nothing is delivered.
    events = [
        request("POST", EVENTS, target.publish, body=wrapped(b'{"type":"cart.updated","data":{"a":' + each + b"}}"))
        for each in (b"9" * 200_000, b"1e999")
    ]
    return _fixed(*creations, *events)


def _hosts(target: Target) -> Sequence[Callable[[], bytes]]:
    hosts = ("a@b", "a/b", "a b", "", "[::1", "a:99999999", "a," * 3_000, "\x9b2J")
    return _fixed(*(request("GET", INTEGRATIONS, target.read, host=each) for each in hosts))


def _guesses(target: Target) -> Sequence[Callable[[], bytes]]:
    # Through the proxy 127.0.0.1, from ever new networks, and from ever new addresses of one network.
    def guess(network: str) -> bytes:
        address = f"2001:db8:{network}:{payloads.random_group()}"
        return request("GET", INTEGRATIONS, payloads.bad_token(), ("X-Forwarded-For", address))

    return [
        lambda: guess(f"{payloads.random_group()}:{payloads.random_group()}:"),
        lambda: guess("1:1:"),
        lambda: request("GET", INTEGRATIONS, payloads.bad_token()),
    ]


def _integrations(target: Target) -> Sequence[Callable[[], bytes]]:
    return [lambda: request("POST", INTEGRATIONS, target.crowd, body=payloads.integration())]


def _orders(target: Target) -> Sequence[Callable[[], bytes]]:
    return [lambda: request("POST", EVENTS, target.publish, body=wrapped(payloads.order(target.store_id)))]


def _flood(name: str) -> Requests:
    def requests(target: Target) -> Sequence[Callable[[], bytes]]:
        store = target.floods[name]
        return [lambda: request("POST", EVENTS, store.publish, body=wrapped(payloads.order(store.store_id)))]

    return requests


def _flooded_tests(target: Target) -> Sequence[Callable[[], bytes]]:
    store = target.floods["all"]
    return _fixed(
        *(request("POST", f"{INTEGRATIONS}/{each}/test", store.admin, body=b"{}") for each in store.integration_ids)
    )


def _half_sent(target: Target) -> list[Behave]:
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
    return [idling(), idling(head + b"X: " + b"y" * 5_000), trickling(head + b"X: y"), idling(head + b"\r\n")]


def _pipelines(target: Target) -> list[Behave]:
    return [
        pipelining(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        pipelining(
            f"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.read}\r\n\r\n".encode(), 200
        ),
    ]


def _metrics_pipelines(target: Target) -> list[Behave]:
    return [pipelining(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 500)]


ATTACKS: Sequence[Attack] = (
    _by_http("unclosed strings by HTTP", 5, _unclosed),
    _by_redis("unclosed strings in edw.intake", 5, INTAKE_LIST, lambda: [payloads.UNCLOSED]),
    _by_redis(
        "unclosed strings by Celery", 5, EVENTS_QUEUE, lambda: [*map(payloads.celery_message, payloads.celery_bodies())]
    ),
    _by_http("If-None-Match of 64 KB", 10, _etags),
    _by_http("ce-* headers of 64 KB", 10, _cloudevents),
    _by_http("Content-Type of 8 KB", 10, _content_types),
    _by_http("X-Forwarded-For of 64 KB", 10, _forwarded),
    _by_http("7 MB of [], by HTTP", 1, _brackets),
    # Redis is busy for 40 to 60 ms with each, because it copies the 7 MB several times.
    _by_redis("7 MB of [], in edw.intake", 0.5, INTAKE_LIST, lambda: [payloads.BRACKETS]),
    _by_http("gzip bombs, no token", 2, _bombs(lambda _: "")),
    _by_http("gzip bombs, a token", 2, _bombs(lambda target: target.publish)),
    _by_crowd("slow clients of the API", 600, 200, lambda target: target.api_port, _half_sent),
    _by_crowd("slow clients of /metrics", 300, 100, lambda target: target.metrics_port, _half_sent),
    _by_crowd("pipelines at the API", 50, 5, lambda target: target.api_port, _pipelines),
    _by_crowd("pipelines at /metrics", 50, 5, lambda target: target.metrics_port, _metrics_pipelines),
    _by_http("numbers without end", 5, _numbers),
    _by_http("answers that bite", 20, _orders),
    *(_by_http(f"floods: {name}", 20, _flood(name)) for name in FLOODS),
    _by_http("floods: ten at once", 20, _flood("all")),
    _by_http("floods: SQS, ten at once", 20, _flood("SQS")),
    *(_by_http(f"floods: STOMP, {name}", 20, _flood(f"STOMP, {name}")) for name in STOMP_FLOODS),
    _by_http("floods: STOMP, all at once", 20, _flood("STOMP")),
    _by_http("floods of test deliveries", 10, _flooded_tests),
    _by_http("bad tokens", 100, _guesses),
    _by_http("malformed Host", 50, _hosts),
    _by_http("1,500 integrations", 50, _integrations),
)
