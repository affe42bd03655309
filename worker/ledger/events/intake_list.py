"""The plain queue `edw.intake` on Redis: a list that producers of any language push messages onto.

A message is taken (moved onto a list of the process that took it), and then accepted: in one script its events enter
the inbox, its refusals the rejected list, and the message is gone. What a dead process had taken goes back to the
queue. So a message is never in two places, and never in none, whichever process dies in between.

A message may be what its readers die of. So it is counted how many died that had taken it: such a message is taken
alone, so that it takes no others with it, and the caller learns how many died, so that it is not read for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from worker.domain.event import Event, Ingress
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.connection.redis_connections import aclose, async_client
from worker.ledger.events.inbox import LOSSES_BEFORE_ALONE, OBSERVE_TRIES, Acceptance, acceptance
from worker.ledger.ledger_errors import mapped
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET

#: A call that waits for messages answers after so long at most (seconds), well within SOCKET_TIMEOUT.
WAIT_SECONDS = 2
#: Messages that one call gives back.
RETURNED_PER_CALL = 200
#: A message whose readers die is set aside, unread, after so many of them.
MESSAGE_TRIES = OBSERVE_TRIES
#: That some died of a message is known for so long after the last one did (ms).
SUSPECT_FOR = 86_400_000


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages that this process has taken, the oldest first; `number` distinguishes it from any other batch."""

    number: int
    messages: tuple[bytes, ...]
    #: How many processes died that had taken one of the messages; from LOSSES_BEFORE_ALONE on, it is the only one.
    lost: int = 0

    def without(self, done: int) -> "MessageBatch":
        """What is left once its first `done` messages are accepted."""
        return replace(self, messages=self.messages[done:])


class IntakeList:
    """The plain queue, from this process's side."""

    def __init__(self, redis: RedisClient, owner: str, url: str) -> None:
        self._redis = redis
        self._owner = owner
        self._url = url
        self._list = redis.intake
        self._waiting: Redis | None = None

    async def take(self, limit: int = MAX_IDS_PER_MESSAGE) -> MessageBatch:
        """Takes what is there, at most `limit` messages and about REPLY_BYTE_BUDGET bytes.

        First comes what this process has already: a call's reply was lost, or a batch was not accepted. Raises
        LedgerFull above the memory's high-water mark: then the queue keeps what it has.
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
        """The first `done` messages of a batch, as their events and their refusals (see rejection()).

        None where the batch is not this process's any more; nothing was done then. After LedgerUnavailable that is
        not known: take() returns what is left. No replica is waited for (EDW_LEDGER_WAIT_REPLICAS): a message is in the
        same Redis as the event that becomes of it, and is lost or kept together with it.
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

    async def give_back(self) -> int:
        """Gives back to the queue what this process has taken and not accepted; answers how many messages."""
        given = total = await self._return(self._owner)
        while given == RETURNED_PER_CALL:
            given = await self._return(self._owner)
            total += given
        return total

    async def return_dead(self) -> int:
        """Gives back what dead processes had taken; answers how many messages, at most RETURNED_PER_CALL.

        To be called after Fleet.seize(), which extends every lease where Redis was away: those who lived on
        meanwhile are not dead. One that is taken for dead all the same accepts nothing of its batch any more.
        """
        return await self._return("")

    async def wait(self, seconds: int = WAIT_SECONDS) -> None:
        """Waits until there may be something to take, for so long at most. May be cancelled; loses nothing.

        The call moves a message to where any process takes it from before all others: so one message wakes one
        process, and if that one dies just then, the next call of take() of any other finds it.
        """
        with mapped(self._redis.server, "blmove"):
            await self._blocking().blmove(self._list, self._redis.key("intake-next"), seconds, "RIGHT", "LEFT")

    async def close(self) -> None:
        """Closes the connection that waits."""
        if self._waiting is not None:
            await aclose(self._waiting)
            self._waiting = None

    async def _return(self, owner: str) -> int:
        moved = await self._redis.run(
            "return_taken", owner=owner, list=self._list, limit=RETURNED_PER_CALL, suspect_for=SUSPECT_FOR
        )
        return int(moved)

    def _blocking(self) -> Redis:
        # One of its own: it would keep one of the ledger's connections busy for nothing.
        if self._waiting is None:
            self._waiting = async_client(self._url, 1)
        return self._waiting
