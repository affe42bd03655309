"""Every exception of the broker's clients reaches the wake-ups as `BrokerUnavailable`."""

import errno
import inspect
import socket
from types import ModuleType

import amqp.exceptions
import kombu.exceptions
import pytest
import redis.exceptions

from worker.intake.wakeup_sender import mapped
from worker.intake.wakeups import BrokerUnavailable

#: These say nothing of a broker.
NOT_A_BROKERS = {
    amqp.exceptions.AMQPDeprecationWarning: "a warning to programmers",
    redis.exceptions.ChildDeadlockedError: "a fork of a process that holds a lock of redis-py's",
    redis.exceptions.IncorrectPolicyType: "a call of redis-py's cluster client with a wrong argument",
}


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, Exception)]


FOREIGN = {each for module in (kombu.exceptions, amqp.exceptions, redis.exceptions) for each in exceptions_of(module)}


def made(kind: type[Exception]) -> Exception:
    """One of the kind, whose constructor may want an argument."""
    try:
        return kind()
    except TypeError:
        # The redirections of a Redis Cluster name a slot and a node.
        return kind("1 127.0.0.1:6379")


@pytest.mark.parametrize("kind", sorted(FOREIGN - NOT_A_BROKERS.keys(), key=str), ids=str)
def test_an_exception_of_a_client_is_mapped(kind: type[Exception]) -> None:
    error = made(kind)
    with pytest.raises(BrokerUnavailable) as raised, mapped():
        raise error
    assert raised.value.__cause__ is error
    assert kind.__name__ in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        socket.gaierror(socket.EAI_AGAIN, "no name server"),
    ],
    ids=repr,
)
def test_an_error_of_a_socket_is_mapped(error: OSError) -> None:
    with pytest.raises(BrokerUnavailable, match=type(error).__name__), mapped():
        raise error


@pytest.mark.parametrize("error", [KeyError("edw.events"), TypeError(), AttributeError()], ids=repr)
def test_a_bug_passes(error: Exception) -> None:
    with pytest.raises(type(error)), mapped():
        raise error
