"""One behaviour suite for every deliverer, ours and yours: subclass it, and bring a real counterpart.

It needs pytest and pytest-asyncio (with `asyncio_mode = auto`), which the product does not depend on. A whole example
is in deliverers/README.md.
"""

from __future__ import annotations

import asyncio
import os
import resource
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, ClassVar

import pytest

from deliverers.contract import (
    Delivered,
    Deliverer,
    DelivererOptions,
    Delivery,
    IntegrationRef,
    NotAttempted,
    Refused,
    Resource,
    Unreachable,
)
from deliverers.egress import EgressPolicy

LOOPBACK = EgressPolicy((ip_network("127.0.0.0/8"), ip_network("::1/128")))
#: Timeout in seconds: long enough for a busy machine, and short enough to wait for once.
SHORT_TIMEOUT = 0.5
#: Seconds after which a test fails in place of waiting any longer; nothing is expected to take so long.
PATIENCE = 60.0


class Counterpart(ABC):
    """A real receiver whose behaviour a test controls.

    Subclass it for your receiver. The tests of `DelivererContract` call each method at any time, some before the first
    delivery.

    Attributes:
        configuration: The integration's configuration, as an API client would send it.
        secrets: Values of the configuration that no outcome may show.
        tls_ca_file: PEM file with the authority of the receiver's certificate; None without TLS.
    """

    configuration: Mapping[str, Any]
    secrets: tuple[str, ...] = ()
    tls_ca_file: str | None = None

    @abstractmethod
    async def received(self) -> list[Mapping[str, Any]]:
        """Return every message received so far, decoded.

        Returns:
            The messages in order of arrival. Each has the event's `id` and the number of the `attempt`.
        """

    @abstractmethod
    def refuse(self) -> None:
        """Answer every message from now on with a refusal."""

    @abstractmethod
    def fall_silent(self) -> None:
        """Accept connections from now on, but never answer."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening, so that a connection is refused."""


class DelivererContract(ABC):
    """The behaviour suite. Subclasses set `deliverer_class` and provide the fixture `counterpart`."""

    deliverer_class: ClassVar[type[Deliverer]]

    @pytest.fixture
    @abstractmethod
    def counterpart(self) -> Any:
        """Provide a receiver for one test.

        Returns:
            A `Counterpart`; a fixture that yields one is right too.
        """

    def options(self, counterpart: Counterpart, **changes: Any) -> DelivererOptions:
        return replace(DelivererOptions(egress=LOOPBACK, tls_ca_file=counterpart.tls_ca_file), **changes)

    @pytest.fixture
    async def deliverer(self, counterpart: Counterpart) -> AsyncIterator[Deliverer]:
        deliverer = self.deliverer_class(self.options(counterpart))
        await deliverer.open()
        yield deliverer
        await deliverer.close()

    @pytest.fixture
    async def hurried(self, counterpart: Counterpart) -> AsyncIterator[Deliverer]:
        deliverer = self.deliverer_class(self.options(counterpart, timeout=SHORT_TIMEOUT))
        await deliverer.open()
        yield deliverer
        await deliverer.close()

    @pytest.fixture
    def delivery(self, counterpart: Counterpart) -> Delivery:
        return a_delivery(self.deliverer_class, counterpart.configuration)

    async def test_a_message_arrives_with_its_resource_and_its_id(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        assert isinstance(await deliverer.deliver(delivery), Delivered)
        (message,) = await counterpart.received()
        assert message["id"] == delivery.event_id
        assert "Zoë" in str(message)

    async def test_attempts_share_the_event_id(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        await deliverer.deliver(delivery)
        await deliverer.deliver(replace(delivery, attempt=2))
        received = await counterpart.received()
        assert [message["attempt"] for message in received] == [1, 2]
        assert len({message["id"] for message in received}) == 1

    async def test_the_integrations_own_deadline_counts(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        counterpart.fall_silent()
        async with asyncio.timeout(PATIENCE):
            outcome = await deliverer.deliver(replace(delivery, timeout=SHORT_TIMEOUT))
        assert isinstance(outcome, Unreachable)
        assert "no answer within 0.5 s" in outcome.reason

    async def test_many_at_once_all_arrive(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        many = [replace(delivery, job_id=f"job-{n}", event_id=f"event-{n}") for n in range(50)]
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in many))
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        assert {message["id"] for message in await counterpart.received()} == {one.event_id for one in many}

    async def test_a_refusal_is_an_outcome_with_a_reason(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        counterpart.refuse()
        outcome = await deliverer.deliver(delivery)
        assert isinstance(outcome, Refused)
        assert outcome.reason
        shows_no_secret(outcome, counterpart)

    async def test_nobody_listening_is_an_outcome(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        await counterpart.stop()
        outcome = await deliverer.deliver(delivery)
        assert isinstance(outcome, Unreachable)
        assert "refused" in outcome.reason
        shows_no_secret(outcome, counterpart)

    async def test_silence_ends_at_the_deadline(
        self, hurried: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        counterpart.fall_silent()
        # A loop runs its timers in the order of their times, however late it is.
        half_over = asyncio.Event()
        asyncio.get_running_loop().call_later(SHORT_TIMEOUT / 2, half_over.set)
        async with asyncio.timeout(PATIENCE):
            outcome = await hurried.deliver(delivery)
        assert half_over.is_set(), "it gave the receiver no time"
        assert isinstance(outcome, Unreachable)
        assert "no answer within 0.5 s" in outcome.reason
        shows_no_secret(outcome, counterpart)

    async def test_without_a_descriptor_nothing_is_attempted_and_later_it_arrives(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        with no_descriptors():
            outcome = await deliverer.deliver(delivery)
        assert isinstance(outcome, NotAttempted)
        assert outcome.resource is Resource.FILES
        assert outcome.reason
        shows_no_secret(outcome, counterpart)
        # The job's next try has the same number.
        assert isinstance(await deliverer.deliver(delivery), Delivered)
        assert [message["attempt"] for message in await counterpart.received()] == [delivery.attempt]

    async def test_a_cancellation_passes_through(
        self, deliverer: Deliverer, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        counterpart.fall_silent()
        task = asyncio.create_task(deliverer.deliver(delivery))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_loopback_is_not_dialled_unless_it_is_allowed(
        self, counterpart: Counterpart, delivery: Delivery
    ) -> None:
        deliverer = self.deliverer_class(self.options(counterpart, egress=EgressPolicy()))
        await deliverer.open()
        try:
            outcome = await deliverer.deliver(delivery)
        finally:
            await deliverer.close()
        assert isinstance(outcome, Unreachable)
        assert outcome.reason.startswith("address not allowed: ")
        assert await counterpart.received() == []

    async def test_loopback_is_not_asked_of_a_proxy_either(self, counterpart: Counterpart, delivery: Delivery) -> None:
        options = self.options(counterpart, egress=EgressPolicy(), proxy="http://127.0.0.1:9")
        deliverer = self.deliverer_class(options)
        await deliverer.open()
        try:
            outcome = await deliverer.deliver(delivery)
        finally:
            await deliverer.close()
        assert isinstance(outcome, Unreachable)
        assert outcome.reason.startswith("address not allowed: ")
        assert await counterpart.received() == []

    async def test_closing_is_harmless_when_never_opened_or_twice(self, counterpart: Counterpart) -> None:
        deliverer = self.deliverer_class(self.options(counterpart))
        await deliverer.close()
        await deliverer.open()
        await deliverer.close()
        await deliverer.close()


def a_delivery(deliverer_class: type[Deliverer], configuration: Mapping[str, Any], **changes: Any) -> Delivery:
    """Return a realistic first attempt of a job.

    Args:
        deliverer_class: The deliverer that will deliver it.
        configuration: The integration's configuration; the deliverer's `configuration_model` parses it.
        **changes: Attributes of the `Delivery` to replace.

    Returns:
        The delivery, of an `order.paid` event with included resources.

    Raises:
        pydantic.ValidationError: The configuration is invalid.
    """
    return replace(
        Delivery(
            job_id="0c6fd4b1-5f36-5ad5-9f0c-0f0ce9bbd5b4",
            attempt=1,
            epoch=0,
            event_id="evt-1",
            triggered_by="order.paid",
            data='{"type":"order","id":"o-1","name":"Zoë","total":10.00}'.encode(),
            included=b'{"items":[{"id":"i-1"}]}',
            store_id="store-1",
            org_id="org-1",
            time="2026-11-23T12:00:00Z",
            source="https://store.example",
            integration=IntegrationRef("int-1", deliverer_class.integration_type, "Orders", "to the warehouse"),
            configuration=deliverer_class.configuration_model.model_validate(dict(configuration)),
        ),
        **changes,
    )


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Keep this process from opening files or sockets within the block; those already open keep working."""
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


#: W3C Trace Context, as a delivery may have it.
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "shop=t61rcWkgMzE"}


def shows_no_secret(outcome: object, counterpart: Counterpart) -> None:
    """Fail if an outcome shows one of the counterpart's secrets.

    Args:
        outcome: The outcome, whose `repr` is searched, and that of its `exchange`.
        counterpart: The counterpart whose secrets are searched for.

    Raises:
        AssertionError: A secret was found.
    """
    shown = repr((outcome, getattr(outcome, "exchange", None)))
    assert not any(secret in shown for secret in counterpart.secrets)
