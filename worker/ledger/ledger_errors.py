"""The errors of the ledger. __init__.py has their tree; redis_errors.py makes them of redis-py's exceptions."""

from dataclasses import dataclass
from typing import ClassVar


class LedgerError(Exception):
    """A failure of the ledger as a whole; never about one event or job.

    Its text contains the address of Redis, so it is only for our own log and command line. API clients get `public`.
    """

    public: ClassVar[str] = "the ledger cannot be used now"


class LedgerUnavailable(LedgerError):
    """Redis did not answer, or answered that it cannot do it now. The work may or may not have been done."""

    public = "the ledger does not answer"


class LedgerFull(LedgerError):
    """Redis is at its memory limit, or above the high-water mark for new events. Nothing was done."""

    public = "the ledger's memory is nearly full: it takes nothing new for now"


class LedgerFormatError(LedgerError):
    """The server is too old or unsuitable, or another version of this project wrote its ledger."""

    public = "the ledger has the format of another version"


class NewerRecord(LedgerError):
    """A record was written by a newer version of this project; processes of that version can read it."""

    public = "this process is too old for a record of the ledger: it is being replaced"


class LedgerForbidden(LedgerError):
    """Redis refuses the login or a command of this user. It stays so until an operator corrects the ACL."""


class LedgerFault(Exception):
    """Redis could not execute a call because of a bug of ours, or a key that another program wrote."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of Redis, without a password, and the user name of this process."""

    address: str
    user: str = "default"
