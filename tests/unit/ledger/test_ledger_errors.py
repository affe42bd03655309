"""What redis-py raises, and what it is called here."""

import pytest
from redis import exceptions as foreign

from worker.ledger import LedgerFull, LedgerUnavailable
from worker.ledger.ledger_errors import mapped

IN_A_PIPELINE = "Command # 1 (EVAL #!lua ... 1 edw:{0}: ...) of pipeline caused error: "


@pytest.mark.parametrize(
    "raised",
    [
        foreign.ConnectionError("refused"),
        foreign.TimeoutError("too slow"),
        foreign.BusyLoadingError("loading"),
        foreign.ReadOnlyError("a replica"),
        foreign.MasterDownError("no master"),
        foreign.ClusterDownError("down"),
        foreign.TryAgainError("slots move"),
        foreign.MovedError("1 127.0.0.1:7000"),
        foreign.ResponseError("BUSY a script runs"),
        foreign.ResponseError("MISCONF the disk is full"),
        foreign.ResponseError("NOREPLICAS not enough good replicas"),
        foreign.ResponseError(IN_A_PIPELINE + "NOREPLICAS not enough good replicas"),
        foreign.ResponseError(IN_A_PIPELINE + "MISCONF the disk is full"),
        OSError("no such socket"),
    ],
    ids=lambda error: f"{type(error).__name__} {str(error)[-20:]}",
)
def test_what_passes_by_itself_is_unavailability(raised: Exception) -> None:
    with pytest.raises(LedgerUnavailable), mapped("here"):
        raise raised


@pytest.mark.parametrize(
    "raised",
    [
        foreign.OutOfMemoryError("full"),
        foreign.ResponseError("OOM command not allowed"),
        foreign.ResponseError(IN_A_PIPELINE + "OOM command not allowed"),
    ],
)
def test_a_memory_limit_is_fullness(raised: Exception) -> None:
    with pytest.raises(LedgerFull), mapped("here"):
        raise raised


def test_a_bug_of_ours_stays_what_it_is() -> None:
    with pytest.raises(foreign.ResponseError), mapped("here"):
        raise foreign.ResponseError("ERR user_script:36: attempt to index nil")
