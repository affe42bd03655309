"""The plain queue `edw.intake` on Redis: a list that producers of any language push messages onto.

A process takes a message: it moves the message onto its own list. Then it accepts the message: in one script the events
enter the inbox, the refusals enter the rejected list, and the message is removed. Messages that a dead process had
taken go back to the queue. So a message is always in exactly one place, whichever process dies at whichever moment.

A message may kill the processes that read it. The ledger counts the processes that died after they took it. Such a
message is taken alone, so that no other message is lost with it. The caller gets the count, so that it can set the
message aside at last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from worker.domain.event import Event, Ingress
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.connection.redis_connections import aclose, async_client
from worker.ledger.events.inbox import LOSSES_BEFORE_ALONE, OBSERVE_TRIES, Acceptance, acceptance
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET
from worker.ledger.redis_errors import mapped

#: The longest wait of a call that waits for messages (seconds), well within SOCKET_TIMEOUT.
WAIT_SECONDS = 2
#: Messages that one call gives back.
RETURNED_PER_CALL = 200
#: A message is set aside, unread, after this many processes died that had taken it.
MESSAGE_TRIES = OBSERVE_TRIES
#: How long the count of dead readers of a message is kept after the last death (ms).
SUSPECT_FOR = 86_400_000


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages that this process has taken, the oldest first; `number` is unique."""

    number: int
    messages: tuple[bytes, ...]
    #: Processes that died after they took one of the messages. From LOSSES_BEFORE_ALONE on, the batch has one message.
    lost: int = 0

    def without(self, done: int) -> "MessageBatch":
        """Return the rest of the batch after its first `done` messages were accepted."""
        return replace(self, messages=self.messages[done:])


class IntakeList:
    """The plain queue, for one process (`owner`)."""

    def __init__(self, redis: RedisClient, owner: str, url: str) -> None:
        self._redis = redis
        self._owner = owner
        self._url = url
        self._list = redis.intake
        self._waiting: Redis | None = None

    async def take(self, limit: int = MAX_IDS_PER_MESSAGE) -> MessageBatch:
        """Take the waiting messages, at most `limit` of them and about REPLY_BYTE_BUDGET bytes.

        Messages that this process has taken before come first: the reply of that call was lost, or the batch was not
        accepted. Raises LedgerFull if Redis's memory is above the high-water mark; then all messages stay in the queue.
        """
        await self._redis.refuse_over_water()
        number, lost, *messages = await self._redis.run(
            "take_messages",
            owner=self._owner,
            lease=self._redis.policy.lease,
            list=self._list,
            limit=limit,
            byte_budget=REPLY_BYTE_BUDGET,
            alone_after=LOSSES_BEFORE_ALONE,
        )
        return MessageBatch(int(number), tuple(messages), int(lost))

    async def accept(
        self, batch: MessageBatch, done: int, events: Sequence[Event], entries: Sequence[str]
    ) -> list[Acceptance] | None:
        """Accept the first `done` messages of a batch, as their events and their refusals (see rejection()).

        Returns None, and does nothing, if the batch no longer belongs to this process. After LedgerUnavailable the
        result is unknown; take() then returns what is left.

        The call does not wait for replicas (EDW_LEDGER_WAIT_REPLICAS). A message and its event are in the same Redis,
        so either both are lost or both are kept.
        """
        policy = self._redis.policy
        answers = await self._redis.run(
            "accept_taken",
            owner=self._owner,
            batch=batch.number,
            taken=len(batch.messages),
            done=done,
            entries=entries,
            rejected_cap=policy.rejected_cap,
            **acceptance(events, Ingress.QUEUE, policy),
        )
        return None if answers is None else [Acceptance(answer) for answer in answers]

    async def leave(self, batch: MessageBatch) -> bool:
        """Put the first message of a batch at the end of the queue, for a process of a newer version.

        Returns False, and does nothing, if the batch no longer belongs to this process.
        """
        done = await self._redis.run(
            "leave_message", owner=self._owner, batch=batch.number, list=self._list, taken=len(batch.messages)
        )
        return bool(done)

    async def give_back(self) -> int:
        """Give back all messages that this process has taken and not accepted; return their number."""
        given = total = await self._return(self._owner)
        while given == RETURNED_PER_CALL:
            given = await self._return(self._owner)
            total += given
        return total

    async def return_dead(self) -> int:
        """Give back messages that dead processes had taken; return their number, at most RETURNED_PER_CALL.

        Call it after Fleet.seize(), which extends every lease if Redis was away, because processes that lived on
        meanwhile are not dead. If a living process is taken for dead all the same, it can no longer accept its batch.
        """
        return await self._return("")

    async def wait(self, seconds: int = WAIT_SECONDS) -> None:
        """Wait until there may be a message, at most `seconds`. Cancelling it loses nothing.

        The call moves one message onto a list that every process takes from first. So one message wakes one process; if
        that process dies at this moment, the next take() of any other process finds the message.
        """
        with mapped(self._redis.server, "blmove"):
            await self._blocking().blmove(self._list, self._redis.key("intake-next"), seconds, "RIGHT", "LEFT")

    async def close(self) -> None:
        """Close the connection that waits."""
        if self._waiting is not None:
            await aclose(self._waiting)
            self._waiting = None

    async def _return(self, owner: str) -> int:
        moved = await self._redis.run(
            "return_taken", owner=owner, list=self._list, limit=RETURNED_PER_CALL, suspect_for=SUSPECT_FOR
        )
        return int(moved)

    def _blocking(self) -> Redis:
        # A connection of its own, because waiting would occupy one of the ledger's connections.
        if self._waiting is None:
            self._waiting = async_client(self._url, 1)
        return self._waiting
