"""What can go wrong with the ledger, and how redis-py's exceptions are named here. The tree is drawn in __init__.py."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as foreign


class LedgerError(Exception):
    """Something about the ledger as a whole; never about one event or job."""


class LedgerUnavailable(LedgerError):
    """Redis did not answer, or answered that it cannot now. The work may or may not have been done."""


class LedgerFull(LedgerError):
    """Redis is at its memory limit, or intake is above the high-water mark. Nothing was done."""


class LedgerFormatError(LedgerError):
    """Redis is too old, or its ledger was written by a newer version of this project."""


_IN_PIPELINE = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)
#: Of these, redis-py keeps the class and drops the code.
_LATER_CLASSES = (
    foreign.ReadOnlyError,
    foreign.ClusterDownError,
    foreign.TryAgainError,
    foreign.MasterDownError,
    foreign.MovedError,
    foreign.AskError,
)
#: redis-py has no class for these answers of a server that will be able to later.
_LATER = ("LOADING", "BUSY", "MASTERDOWN", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "MISCONF")


@contextmanager
def mapped(address: str) -> Iterator[None]:
    """Raises redis-py's exceptions as ours; `address` is Redis', without its password."""
    try:
        yield
    except foreign.OutOfMemoryError as error:
        raise LedgerFull(f"Redis at {address} is at its memory limit") from error
    except (foreign.ConnectionError, foreign.TimeoutError, OSError) as error:
        raise LedgerUnavailable(f"Redis at {address} does not answer: {error}") from error
    except foreign.ResponseError as error:
        # A script's error carries the cause's code in its text, and a pipeline puts the command in front of it.
        text = _IN_PIPELINE.sub("", str(error))
        if isinstance(error, _LATER_CLASSES) or text.startswith(_LATER):
            raise LedgerUnavailable(f"Redis at {address} cannot now: {text}") from error
        if "OOM" in text[:40]:
            raise LedgerFull(f"Redis at {address} is at its memory limit") from error
        raise
