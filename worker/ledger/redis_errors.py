"""The translation of redis-py's exceptions into the errors of the ledger."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto

from redis import exceptions as foreign

from worker.domain.format_version import format_problem
from worker.ledger.ledger_errors import (
    LedgerError,
    LedgerFault,
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
    Server,
)


class Meaning(Enum):
    """The meaning of an exception of redis-py for the ledger."""

    #: Redis does not answer.
    AWAY = auto()
    #: Redis answers that it cannot do it now.
    LATER = auto()
    FULL = auto()
    #: The login was refused.
    LOGIN = auto()
    #: A command or a key was refused.
    FORBIDDEN = auto()
    #: This server cannot hold a ledger.
    UNFIT = auto()
    #: The ledger has another format than this build's; a script's prologue says so.
    FORMAT = auto()
    FAULT = auto()
    #: The text of the exception decides.
    TEXT = auto()


#: Every exception of redis-py; a test fails when redis-py adds one. A class not listed has its base class's meaning.
MEANINGS: Mapping[type[BaseException], Meaning] = {
    foreign.RedisError: Meaning.FAULT,
    foreign.ConnectionError: Meaning.AWAY,
    foreign.TimeoutError: Meaning.AWAY,
    foreign.BusyLoadingError: Meaning.AWAY,
    foreign.MaxConnectionsError: Meaning.AWAY,
    foreign.ExternalAuthProviderError: Meaning.AWAY,
    foreign.InvalidResponse: Meaning.AWAY,
    foreign.AuthenticationError: Meaning.LOGIN,
    foreign.AuthorizationError: Meaning.LOGIN,
    foreign.AuthenticationWrongNumberOfArgsError: Meaning.LOGIN,
    foreign.NoPermissionError: Meaning.FORBIDDEN,
    foreign.OutOfMemoryError: Meaning.FULL,
    foreign.ReadOnlyError: Meaning.LATER,
    foreign.ClusterError: Meaning.LATER,
    foreign.ClusterDownError: Meaning.LATER,
    foreign.MasterDownError: Meaning.LATER,
    foreign.TryAgainError: Meaning.LATER,
    foreign.MovedError: Meaning.LATER,
    foreign.AskError: Meaning.LATER,
    # The client has already sent the whole script again. If Redis forgot it once more, the next try sends it.
    foreign.NoScriptError: Meaning.LATER,
    foreign.ClusterCrossSlotError: Meaning.UNFIT,
    foreign.ResponseError: Meaning.TEXT,
    foreign.ExecAbortError: Meaning.TEXT,
    # Features that this project does not use, or has used wrongly.
    foreign.DataError: Meaning.FAULT,
    foreign.PubSubError: Meaning.FAULT,
    foreign.WatchError: Meaning.FAULT,
    foreign.LockError: Meaning.FAULT,
    foreign.LockNotOwnedError: Meaning.FAULT,
    foreign.ModuleError: Meaning.FAULT,
    foreign.NoSuchFieldsetError: Meaning.FAULT,
    foreign.ChildDeadlockedError: Meaning.FAULT,
    foreign.IncorrectPolicyType: Meaning.FAULT,
    foreign.RedisClusterException: Meaning.FAULT,
    foreign.SlotNotCoveredError: Meaning.FAULT,
    foreign.CrossSlotTransactionError: Meaning.FAULT,
    foreign.InvalidPipelineStack: Meaning.FAULT,
    OSError: Meaning.AWAY,
}

#: The base classes to catch. Some exceptions of redis-py do not derive from RedisError.
FOREIGN = (
    foreign.RedisError,
    foreign.RedisClusterException,
    foreign.ChildDeadlockedError,
    foreign.IncorrectPolicyType,
    OSError,
)

# A pipeline puts the command in front of the answer; a transaction puts its own failure there.
_IN_PIPELINE = re.compile(
    r"^(?:Command # \d+ \(.*?\) of pipeline caused error: (?:\(['\"])?"
    r"|(?:EXECABORT )?Transaction discarded because of: )",
    re.DOTALL,
)
_OF_USER = re.compile(r"\bUser (\S+) has no permissions to run the '([^']{1,64})' command")
_COMMAND = re.compile(r"no permissions to run the '([^']{1,64})' command")
_DENIED = re.compile(r"NOPERM|[Nn]o permissions? to |ACL failure in script|user executing the script can't")
_KEYS = re.compile(r"access (?:a|the|one of the|at least one of the) keys?")
_UNKNOWN = re.compile(r"\b[Uu]nknown (?:Redis |Valkey )?(?:sub)?command(?: '([^']{1,64})')?")
_NO_MULTI = "EXEC without MULTI"
#: Answers of a server that can do it later; redis-py has no class for some of them.
_LATER = ("LOADING", "BUSY", "MASTERDOWN", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "MISCONF")
_LOGIN = ("NOAUTH", "WRONGPASS")
_FORMAT = "EDWFORMAT"
_UNFIT = ("DB index is out of range", "SELECT is not allowed in cluster mode", "CROSSSLOT", "cluster support disabled")

_MENDING = "deploy/redis-users.acl has what a user needs"


@contextmanager
def mapped(server: Server, command: str = "") -> Iterator[None]:
    """Raise redis-py's exceptions as ours.

    `command` is the call, such as `script accept`; the error names it if Redis's answer does not.
    """
    try:
        yield
    except FOREIGN as error:
        raise named(error, server, command) from error


def named(error: BaseException, server: Server, command: str = "") -> LedgerError | LedgerFault:
    """Return our error for an exception of redis-py."""
    text = _IN_PIPELINE.sub("", str(error))
    where = f"Redis at {server.address}"
    match meaning_of(error, text):
        case Meaning.AWAY:
            return LedgerUnavailable(f"{where} does not answer: {text}")
        case Meaning.LATER:
            return LedgerUnavailable(f"{where} cannot do this now: {text}")
        case Meaning.FULL:
            return LedgerFull(f"{where} is at its memory limit")
        case Meaning.LOGIN:
            return LedgerForbidden(f"{where} refuses the login of the user {server.user}: {text}")
        case Meaning.FORBIDDEN:
            return LedgerForbidden(f"{where} {_refusal(text, server, command)}; {_MENDING}")
        case Meaning.UNFIT:
            return LedgerFormatError(f"{where} cannot hold a ledger: {text}")
        case Meaning.FORMAT:
            return LedgerFormatError(format_problem(text.removeprefix(_FORMAT).strip(), server.address))
    return LedgerFault(f"{where} could not carry out {command or 'a command'}: {text}")


def meaning_of(error: BaseException, text: str) -> Meaning:
    """Return the meaning of an exception with this text."""
    meaning = next((MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS), Meaning.FAULT)
    return _by_text(text) if meaning is Meaning.TEXT else meaning


def _by_text(text: str) -> Meaning:
    if _DENIED.search(text) or _UNKNOWN.search(text) or text == _NO_MULTI:
        return Meaning.FORBIDDEN
    if text.startswith(_LOGIN):
        return Meaning.LOGIN
    if text.startswith(_FORMAT):
        return Meaning.FORMAT
    if text.startswith(_LATER):
        return Meaning.LATER
    # A script's error carries the cause's code in its text.
    if "OOM" in text[:40]:
        return Meaning.FULL
    return Meaning.UNFIT if any(words in text for words in _UNFIT) else Meaning.FAULT


def _refusal(text: str, server: Server, command: str) -> str:
    asked = f" (in {command})" if command else ""
    if (unknown := _UNKNOWN.search(text)) and not _DENIED.search(text):
        return f"does not know the command {(unknown[1] or '').lower() or command}{asked}: it may have been renamed"
    if found := _OF_USER.search(text):
        return f"does not let the user {found[1]} run the command {found[2]}{asked}"
    if found := _COMMAND.search(text):
        return f"does not let the user {server.user} run the command {found[1]}{asked}"
    if text == _NO_MULTI:
        return f"does not let the user {server.user} run the command multi{asked}"
    what = "use a key of" if _KEYS.search(text) else "run"
    return f"does not let the user {server.user} {what} {command or 'a command'}"
