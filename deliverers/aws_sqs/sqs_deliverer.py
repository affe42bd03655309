"""The deliverer of `aws_sqs`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from pydantic import BaseModel
from yarl import URL

from deliverers.answers import decompressed, printable
from deliverers.aws_sqs.assumed_roles import AssumedRoles, RoleCredentials, grant_of
from deliverers.aws_sqs.clients import BotocoreMaker, Clients, UnusableAccess
from deliverers.aws_sqs.queues import Queue, Waiting
from deliverers.aws_sqs.sqs_answers import Log, SqsAnswer, broken_off, outcomes
from deliverers.aws_sqs.sqs_configuration import AwsSqsConfiguration, SqsAccess, secret_forms
from deliverers.aws_sqs.sqs_messages import Message, TooLarge, message_of
from deliverers.aws_sqs.transport import LEAST_READ, Exchange, Transport, Unsent
from deliverers.contract import Delivered, DelivererOptions, Delivery, NotAttempted, Outcome, Refused, Unreachable
from deliverers.http import USER_AGENT
from deliverers.reasons import INTERRUPTED, AttemptedConnection, Phase, reason, unreached

#: The name shown for a deployment's own endpoint; a queue's owner must not read its address.
OUR_ENDPOINT = "the SQS endpoint of this deployment"


class AwsSqsDeliverer:
    """A deliverer that sends in batches, queue by queue.

    The deadline counts from the call of `deliver`, waiting included.
    """

    integration_type: ClassVar[str] = "aws_sqs"
    configuration_model: ClassVar[type[BaseModel]] = AwsSqsConfiguration

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._endpoint = URL(options.sqs_endpoint) if options.sqs_endpoint else None
        self._transport = Transport(options)
        self._roles = AssumedRoles(options)
        self._clients = Clients(BotocoreMaker(self._transport.session_class(), USER_AGENT))
        self._queues: dict[tuple[SqsAccess, str], Queue] = {}
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the pool. Raises `OSError` if the file with extra authorities cannot be used."""
        self._roles.open(await self._transport.open())
        self._sweeping = asyncio.create_task(self._clients.sweep_for_ever())

    async def close(self) -> None:
        """End what is under way, and close clients and connections."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
        for queue in tuple(self._queues.values()):
            await queue.close(Unreachable(INTERRUPTED))
        self._queues.clear()
        await self._clients.close()
        await self._transport.close()
        await self._roles.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Send one message.

        Raises `RuntimeError` before `open`, and `TypeError` for another type's configuration.
        """
        configuration = delivery.configuration
        if self._sweeping is None:
            raise RuntimeError("deliver() needs open() first")
        if not isinstance(configuration, AwsSqsConfiguration):
            raise TypeError(f"a configuration of aws_sqs is expected, not {type(configuration).__name__}")
        timeout = self._options.timeout_of(delivery)
        deadline = asyncio.get_running_loop().time() + timeout
        target = self._endpoint or configuration.endpoint
        message = message_of(delivery, self._options.sqs_limit, configuration.is_fifo)
        if isinstance(message, TooLarge):
            return Refused(None, "", message.reason)
        access, held = configuration.access(target), None
        if configuration.role_arn is not None:
            grant = grant_of(delivery, configuration.role_arn, configuration.region)
            found = await self._roles.credentials(grant, timeout)
            if not isinstance(found, RoleCredentials):
                return found
            held = grant, found
            access = SqsAccess(access.endpoint, access.region, *found)
        outcome, exchange = await self._outcome(configuration, access, target, message, deadline, timeout)
        if held is not None and isinstance(outcome, Refused) and "access key" in outcome.reason:
            # The role's credentials were revoked, or ran out early; the next attempt assumes the role anew.
            self._roles.drop(*held)
        return self._recorded(outcome, exchange, configuration, access)

    async def _outcome(
        self,
        configuration: AwsSqsConfiguration,
        access: SqsAccess,
        target: URL,
        message: Message,
        deadline: float,
        timeout: float,
    ) -> tuple[Outcome, Exchange | None]:
        waiting = self._queue(configuration, access, target).add(message)
        try:
            async with asyncio.timeout_at(deadline):
                outcome = await waiting.outcome
        except TimeoutError:
            if waiting.outcome.done() and not waiting.outcome.cancelled():
                outcome = waiting.outcome.result()  # it arrived in the same turn of the loop
            else:
                outcome = self._too_late(waiting, target, timeout)
        finally:
            waiting.leave()
        return outcome, waiting.exchange

    def _recorded(
        self, outcome: Outcome, exchange: Exchange | None, configuration: AwsSqsConfiguration, access: SqsAccess
    ) -> Outcome:
        """Return the outcome with the record of its request, which may have carried other messages too."""
        if exchange is None or isinstance(outcome, NotAttempted):
            return outcome
        record = exchange.progress.record(
            self._options.keep_exchange,
            exchange.answer.head if exchange.answer is not None else b"",
            succeeded=isinstance(outcome, Delivered),
            secrets=secret_forms(access),
            # The deployment's own endpoint is not for the queue's owner.
            url=configuration.url if self._endpoint else "",
        )
        return replace(outcome, exchange=record)

    def _queue(self, configuration: AwsSqsConfiguration, access: SqsAccess, target: URL) -> Queue:
        key = (access, configuration.url)
        queue = self._queues.get(key)
        if queue is None:
            send = partial(self._send, configuration, access, target)
            queue = self._queues[key] = Queue(send, partial(self._queues.pop, key, None))
        return queue

    async def _send(
        self,
        configuration: AwsSqsConfiguration,
        access: SqsAccess,
        target: URL,
        messages: Sequence[Message],
        exchange: Exchange,
    ) -> Sequence[Outcome]:
        entries = [message.entry(number) for number, message in enumerate(messages)]
        # Who has the keys of a queue may know of all its messages.
        exchange.tenant, exchange.alias = access, OUR_ENDPOINT if self._endpoint else ""
        try:
            async with self._clients.of(access) as client:
                await client.send_message_batch(QueueUrl=configuration.url, Entries=entries)
        except UnusableAccess as error:
            words = "the queue's endpoint or region cannot be used"
            if self._endpoint is None:
                words += f": {printable(str(error))}"
            return [Unreachable(words, printable(str(error)))] * len(messages)
        except Unsent as error:
            return [error.outcome] * len(messages)
        except OSError as error:
            # botocore could not read its files.
            return [unreached(error, self._attempted(target, exchange.progress.phase))] * len(messages)
        return self._judged(access, exchange, len(messages))

    def _judged(self, access: SqsAccess, exchange: Exchange, count: int) -> Sequence[Outcome]:
        answer, options = exchange.answer, self._options
        if answer is None:
            raise RuntimeError("a request has ended without an answer")
        if answer.broken:
            return [broken_off(answer.status, answer.broken)] * count
        log = Log(options.keep_limit, secret_forms(access))
        headers = answer.headers
        body = decompressed(answer.body, headers.get("content-encoding", ""), max(options.read_limit, LEAST_READ))
        return outcomes(SqsAnswer(answer.status, headers, body), count, log, datetime.now(UTC))

    def _too_late(self, waiting: Waiting, target: URL, timeout: float) -> Outcome:
        progress = (waiting.exchange or Exchange()).progress
        words = reason(TimeoutError(), self._attempted(target, progress.phase, timeout))
        return Unreachable(words) if progress.status is None else broken_off(progress.status, words)

    def _attempted(self, target: URL, phase: Phase, timeout: float | None = None) -> AttemptedConnection:
        alias = OUR_ENDPOINT if self._endpoint else ""
        return AttemptedConnection(
            target.raw_host or "", target.port or 0, timeout or self._options.timeout, phase, alias
        )
