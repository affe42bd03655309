"""Lanes that may have no more slots in this process for now, by the share that each waits for."""

from worker.delivery.lane_trust import Trust
from worker.delivery.lane_turns import LaneTurns


class ParkedLanes:
    """The parked lanes, without duplicates. None stands for those that wait for no share."""

    def __init__(self) -> None:
        self._turns: dict[Trust | None, LaneTurns] = {
            Trust.SUSPECT: LaneTurns(),
            Trust.UNPROVEN: LaneTurns(),
            None: LaneTurns(),
        }
        self._share_of: dict[str, Trust | None] = {}

    def __len__(self) -> int:
        return len(self._share_of)

    def __contains__(self, lane: str) -> bool:
        return lane in self._share_of

    def waiting_for(self, share: Trust | None) -> int:
        """Return how many lanes wait for a share."""
        return len(self._turns[share])

    def add(self, lane: str, share: Trust | None, store: str) -> None:
        """Append a lane of a store that is not parked already."""
        if lane not in self._share_of:
            self._share_of[lane] = share
            self._turns[share].add(lane, store)

    def discard(self, lane: str) -> bool:
        """Remove a lane; return whether it was parked."""
        if lane not in self._share_of:
            return False
        return self._turns[self._share_of.pop(lane)].discard(lane)

    def take(self, share: Trust | None, most: int) -> list[str]:
        """Remove and return the lanes of a share whose turn it is, at most `most`."""
        taken = self._turns[share].take(most)
        for lane in taken:
            del self._share_of[lane]
        return taken

    def clear(self) -> None:
        """Forget all lanes."""
        self._share_of.clear()
        for turns in self._turns.values():
            turns.clear()
