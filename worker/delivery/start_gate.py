"""The gate before attempts: a few start in each turn of the event loop, and each store gets its turn."""

import asyncio
from collections import OrderedDict, deque

#: Attempts that start in one turn of the loop. A start takes about 0.2 ms.
STARTS_PER_TURN = 8


class StartGate:
    """Lets attempts start: a few in each turn of the loop, and as many again that are the first of their store.

    A claim or an opening leases up to 50 jobs at once. If all of them started in one turn of the loop, everything else
    would wait for all of them, and so would each further step of another store's event.
    """

    def __init__(self) -> None:
        self._left = self._firsts_left = STARTS_PER_TURN
        #: The stores of the attempts that started in this turn.
        self._started: set[str] = set()
        #: The attempts of each store that wait; the store whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_scheduled = False

    async def enter(self, store: str) -> None:
        """Wait for the attempt's turn."""
        self._schedule()
        if self._may_start(store):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(store, deque()).append(turn)
        await turn

    def _may_start(self, store: str) -> bool:
        if store in self._waiting:
            return False
        if self._left > 0:
            self._left -= 1
        elif self._firsts_left > 0 and store not in self._started:
            self._firsts_left -= 1
        else:
            return False
        self._started.add(store)
        return True

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._left = self._firsts_left = STARTS_PER_TURN
        self._started.clear()
        while self._left and self._waiting:
            store, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[store] = turns
            # It is done if its attempt was cancelled.
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
                self._started.add(store)
        if self._started:
            self._schedule()
