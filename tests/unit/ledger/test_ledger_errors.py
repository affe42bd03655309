"""What redis-py raises, and what it is called here."""

from functools import partial

import pytest
import redis
import redis.asyncio
import redis.sentinel
from redis import exceptions as foreign

from worker.ledger import (
    LedgerError,
    LedgerFault,
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
)
from worker.ledger.ledger_errors import Server
from worker.ledger.redis_errors import MEANINGS, mapped

asking = partial(mapped, Server("here", "me"), "script accept")
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
    with pytest.raises(LedgerUnavailable), asking():
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
    with pytest.raises(LedgerFull), asking():
        raise raised


def test_a_bug_of_ours_is_no_ledger_error_which_waiting_could_mend() -> None:
    with pytest.raises(LedgerFault, match="could not carry out script accept: ERR user_script:36") as raised, asking():
        raise foreign.ResponseError("ERR user_script:36: attempt to index nil")
    assert not isinstance(raised.value, LedgerError)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            foreign.NoPermissionError("User edw has no permissions to run the 'evalsha' command"),
            "user edw run the command evalsha (in script accept)",
        ),
        (
            foreign.NoPermissionError("this user has no permissions to run the 'get' command or its subcommand"),
            "user me run the command get",
        ),
        (foreign.NoPermissionError("No permissions to access a key"), "user me use a key of script accept"),
        (
            foreign.ResponseError(
                "ACL failure in script: User edw has no permissions to run the 'hset' command script: 1"
            ),
            "user edw run the command hset (in script accept)",
        ),
        (
            foreign.ResponseError("ACL failure in script: No permissions to access a key script: on @user_script:2."),
            "use a key of script accept",
        ),
        (
            foreign.ResponseError("The user executing the script can't run this command or subcommand"),
            "user me run script accept",
        ),
        (
            foreign.ResponseError("The user executing the script can't access at least one of the keys mentioned"),
            "use a key of",
        ),
        (
            foreign.ResponseError(IN_A_PIPELINE + "(\"User edw has no permissions to run the 'wait' command\",)"),
            "user edw run the command wait",
        ),
        (
            foreign.ExecAbortError(
                "Transaction discarded because of: NOPERM User edw has no permissions to run the 'exec' command"
            ),
            "run the command exec",
        ),
        (foreign.ResponseError("EXEC without MULTI"), "user me run the command multi"),
        (
            foreign.ResponseError("unknown command 'EVALSHA', with args beginning with: 'x' "),
            "does not know the command evalsha",
        ),
        (
            foreign.ResponseError("Unknown Redis command called from script script: 1, on @user_script:2."),
            "does not know the command script accept",
        ),
        (
            foreign.AuthenticationError("invalid username-password pair or user is disabled."),
            "refuses the login of the user me",
        ),
        (foreign.ResponseError("NOAUTH Authentication required."), "refuses the login of the user me"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_an_acl_refuses_is_named_with_its_user(raised: Exception, said: str) -> None:
    with pytest.raises(LedgerForbidden) as found, asking():
        raise raised
    assert said in str(found.value)
    assert str(found.value).startswith("Redis at here ")


@pytest.mark.parametrize("text", ["DB index is out of range", "SELECT is not allowed in cluster mode", "CROSSSLOT x"])
def test_a_server_that_can_hold_no_ledger_is_not_waited_for(text: str) -> None:
    with pytest.raises(LedgerFormatError, match="cannot hold a ledger"), asking():
        raise foreign.ResponseError(text)


def exceptions_of(*modules: object) -> set[type[Exception]]:
    return {
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__.startswith("redis")
    }


OF_REDIS_PY = sorted(exceptions_of(foreign, redis, redis.sentinel, redis.asyncio), key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", OF_REDIS_PY, ids=lambda kind: kind.__name__)
def test_every_exception_of_redis_py_is_mapped(kind: type[Exception]) -> None:
    """Its meaning is decided in MEANINGS, by its own name or that of its first base class."""
    assert kind in MEANINGS or (kind.__bases__[0] in MEANINGS and kind.__module__ != foreign.__name__)
    with pytest.raises((LedgerError, LedgerFault)), asking():
        raise kind.__new__(kind)


def test_no_class_reveals_to_others_where_the_store_is() -> None:
    kinds: list[type[LedgerError]] = [LedgerError, *LedgerError.__subclasses__()]
    for kind in kinds:
        error = kind("Redis at 10.0.0.7:6379")
        assert "10.0.0.7" not in error.public
        assert error.public
