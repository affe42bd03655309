"""What a webhook's delivery adds to a bare POST by the sender of deliverers.http: body, headers, signature and outcome.

    python -m tests.benchmarks.webhook_delivery [--count N] [--rounds N] [--concurrency N]

All post to one sink from one process, in turns, under uvloop; counted is the CPU time of that process. The bodies of
the bare POST were made beforehand. Signed is by one key of Standard Webhooks (HMAC).
"""

import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from statistics import median

from deliverers.contract import Delivered, DelivererOptions, Delivery
from deliverers.envelopes import webhook_body
from deliverers.http import HttpAnswer, HttpSender
from deliverers.testing import LOOPBACK, a_delivery
from deliverers.webhook import WebhookConfiguration, WebhookDeliverer
from tests.benchmarks.http_sender import Post, measured, seconds_each
from tests.benchmarks.transports import an_order

#: Different deliveries, which are made in turn.
_VARIETY = 1_000
_SIGNING_KEY = f"whsec_{b64encode(bytes(range(24))).decode()}"


def _deliveries(url: str, **more: object) -> Sequence[Delivery]:
    event = an_order()
    configuration = {"url": url, "secret_key": "a-secret-of-the-shop", **more}
    one = a_delivery(WebhookDeliverer, configuration, data=bytes(event.data), included=bytes(event.included))
    return [replace(one, event_id=f"event-{n}", job_id=f"job-{n}") for n in range(_VARIETY)]


def _bare(sender: HttpSender, deliveries: Sequence[Delivery]) -> Post:
    configuration = deliveries[0].configuration
    assert isinstance(configuration, WebhookConfiguration)
    head, bodies = configuration.head, cycle([webhook_body(each) for each in deliveries])

    async def post() -> None:
        answer = await sender.exchange(head, {}, next(bodies), tenant="bench")
        if not isinstance(answer, HttpAnswer) or not answer.is_success:
            raise RuntimeError(f"the sink answered {answer}")

    return post


def _delivered(deliverer: WebhookDeliverer, deliveries: Sequence[Delivery]) -> Post:
    turns = cycle(deliveries)

    async def post() -> None:
        outcome = await deliverer.deliver(next(turns))
        if not isinstance(outcome, Delivered):
            raise RuntimeError(str(outcome))  # noqa: TRY004 (an outcome is a value)

    return post


async def _measure(url: str, count: int, rounds: int, concurrency: int) -> None:
    options = DelivererOptions(egress=LOOPBACK)
    sender, deliverer = HttpSender(options), WebhookDeliverer(options)
    await sender.open()
    await deliverer.open()
    plain, signed = _deliveries(url), _deliveries(url, signing_keys=[_SIGNING_KEY])
    contestants = {
        "bare POST": _bare(sender, plain),
        "unsigned": _delivered(deliverer, plain),
        "signed": _delivered(deliverer, signed),
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, post in contestants.items():
            seconds = await seconds_each(post, count, concurrency)
            if number:  # the first round opens connections
                found[name].append(seconds)
    await deliverer.close()
    await sender.close()
    bare = found["bare POST"]
    for name, each in found.items():
        more = median(ours - theirs for ours, theirs in zip(each, bare, strict=True))
        print(f"{name:9}  {median(each) * 1e6:5.1f} µs, at least {min(each) * 1e6:5.1f} µs; {more * 1e6:+5.1f} µs")


def main() -> int:
    """Return the exit code."""
    measured("webhook_delivery", "/orders", _measure, count=5_000, rounds=9)
    return 0


if __name__ == "__main__":
    sys.exit(main())
