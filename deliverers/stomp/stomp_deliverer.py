"""The deliverer of `stomp`: a delivery becomes a SEND frame, and the broker's answer an outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from deliverers.answers import kept_text
from deliverers.contract import (
    Counted,
    Delivered,
    DelivererOptions,
    Delivery,
    NotAttempted,
    Outcome,
    Refused,
    Resource,
    Unreachable,
)
from deliverers.envelopes import CLOUDEVENT_TYPE, cloudevent_body
from deliverers.exchange import PhaseTimes, WireRecord, is_kept, received_answer, sent_request
from deliverers.exhaustion import not_attempted
from deliverers.http import resolver_of
from deliverers.stomp.codec import codec
from deliverers.stomp.connection import StompConnection
from deliverers.stomp.dialling import DialFailure, Dialler
from deliverers.stomp.frames import CONTENT_LENGTH, Frame, Prepared, Unsendable
from deliverers.stomp.pool import Pool
from deliverers.stomp.stomp_answers import RECEIVED, Answer, ConnectionLost, Declined, Receipted
from deliverers.stomp.stomp_configuration import Account, StompConfiguration
from deliverers.stomp.stomp_reasons import UNKNOWN, broker_error, lost_reason_with_frame, no_answer

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Properties of each message, as `event_type` is one: consumers may select by them without parsing it. Their names are
#: identifiers, because JMS allows nothing else in a selector.
_OWN_HEADERS = ("event_id", "job_id")


class StompDeliverer:
    """A deliverer over shared, pipelined connections; lanes limit what is in flight.

    The one deadline counts from the call of `deliver`, and includes connecting if that is needed.
    """

    integration_type: ClassVar[str] = "stomp"
    configuration_model: ClassVar[type[BaseModel]] = StompConfiguration

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._pool: Pool | None = None
        self._resolver: AbstractResolver | None = None

    async def open(self) -> None:
        """Get ready to connect. Raises `OSError` if the file with extra authorities cannot be used."""
        codec()
        options = self._options
        self._resolver = resolver = resolver_of(options)
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(Dialler(options.egress, options.tls_ca_file, resolver, options.dialled), options.timeout)

    async def close(self) -> None:
        """Close all connections. Messages without a receipt then have an unknown outcome."""
        pool, self._pool = self._pool, None
        resolver, self._resolver = self._resolver, None
        if pool is not None:
            await pool.close()
        if resolver is not None:
            await resolver.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Send one delivery.

        Raises `RuntimeError` before `open`, and `TypeError` for another type's configuration.
        """
        pool, configuration, options = self._pool, delivery.configuration, self._options
        if pool is None:
            raise RuntimeError("deliver() needs open() first")
        if not isinstance(configuration, StompConfiguration):
            raise TypeError(f"a STOMP broker's configuration is expected, not {type(configuration).__name__}")
        account = configuration.account
        endpoint = pool.endpoint(account, configuration.destination)
        timeout = options.timeout_of(delivery)
        sent = self._loop.time()
        deadline = sent + timeout
        connecting: float | None = None
        connection = endpoint.connection
        if connection is None or not connection.has_capacity:
            try:
                async with asyncio.timeout_at(deadline):
                    found = await endpoint.ready()
            except TimeoutError:
                return Unreachable(endpoint.waited(timeout))
            if not isinstance(found, StompConnection):
                return self._unopened(found, account)
            began, sent = sent, self._loop.time()
            connection, connecting = found, round(sent - began, 6)
        body = cloudevent_body(delivery)
        # The body has the exact id.
        values = delivery.event_id.replace("\0", "\N{REPLACEMENT CHARACTER}"), delivery.job_id
        headers = delivery.trace if options.stomp_text else {**delivery.trace, CONTENT_LENGTH: str(len(body))}
        try:
            frame = _frame(configuration.destination, delivery.triggered_by)
            waiter = connection.send(frame, values, headers, body, deadline)
        except Unsendable as error:
            return Refused(None, "", f"cannot be sent by STOMP: {error}")
        answer = await waiter
        times = PhaseTimes(connect=connecting, first_byte=round(self._loop.time() - sent, 6))
        is_received = answer is RECEIVED
        if is_kept(options.keep_exchange, succeeded=is_received):
            same = _same_headers(configuration.destination, delivery.triggered_by)
            sent_headers = {**same, **dict(zip(_OWN_HEADERS, values, strict=True)), **headers}
            record = _record(times, connection, account, sent_headers, len(body), answer)
        else:
            record = WireRecord(times)
        if is_received:
            # Much faster than replace(), which the other outcomes can afford.
            return Delivered(None, "", record)
        outcome = self._judge(answer, connection, account, timeout)
        return outcome if isinstance(outcome, NotAttempted) else replace(outcome, exchange=record)

    def _judge(
        self, answer: Answer, connection: StompConnection, account: Account, timeout: float
    ) -> Counted | NotAttempted:
        match answer:
            case Declined(frame):
                return self._refused(
                    f"the broker refused the message: {broker_error(frame, account.secrets)}", frame, account
                )
            case ConnectionLost(lack=Resource() as lack):
                return not_attempted(lack)
            case ConnectionLost(words, last):
                return Unreachable(f"{lost_reason_with_frame(words, last, account.secrets)}; {UNKNOWN}")
        peer = connection.address.peer
        return Unreachable(f"{no_answer(timeout, f'sent to {peer}, no receipt came')}; {UNKNOWN}")

    def _unopened(self, failure: DialFailure, account: Account) -> Outcome:
        if failure.lack is not None:
            return not_attempted(failure.lack)
        if failure.frame is not None:
            return self._refused(failure.words, failure.frame, account)
        return Unreachable(failure.words, failure.detail)

    def _refused(self, reason: str, frame: Frame, account: Account) -> Refused:
        secrets = tuple(secret.encode() for secret in account.secrets)
        return Refused(None, kept_text(frame.body.strip(), self._options.keep_limit, secrets), reason)


def _record(
    times: PhaseTimes,
    connection: StompConnection,
    account: Account,
    headers: dict[str, str],
    size: int,
    answer: Answer,
) -> WireRecord:
    """Return what the log keeps of a SEND and of the broker's frame."""
    secrets = tuple(secret.encode() for secret in account.secrets)
    address = connection.address
    url = f"{address.scheme}://{address.peer}"
    request = sent_request("SEND", url, headers.items(), size, "", secrets)
    match answer:
        case Receipted():
            return WireRecord(times, request, received_answer("RECEIPT", ()))
        case Declined(frame):
            return WireRecord(times, request, received_answer(frame.command, frame.headers.items(), secrets))
    return WireRecord(times, request)


@lru_cache(1_000)
def _frame(destination: str, triggered_by: str) -> Prepared:
    return Prepared("SEND", _same_headers(destination, triggered_by), (*_OWN_HEADERS, "receipt"))


def _same_headers(destination: str, triggered_by: str) -> dict[str, str]:
    """Return the headers that messages of one kind have in common."""
    return {
        "destination": destination,
        "persistent": "true",
        "content-type": CLOUDEVENT_TYPE,
        "event_type": triggered_by,
    }
