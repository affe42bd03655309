"""The ledger: the record in Redis of what is to be delivered. Nothing else in the project imports redis.

    ledger.py       one process's access to the ledger; creates and connects everything below
    lua/            one script for each operation; lua/parts/ has code that scripts share, and keys.lua lists every key
    connection/     Redis: its address, its clients, calls of scripts
    events/         the inbox and the plain queue
    lanes/          jobs and their lanes: open, claim, settle with a log, reopen
    archive_outbox.py  what the history is still to have
    change_records.py  the audit: who changed what
    inspection/     balance, totals for metrics, history of an event, audit
    fleet.py        heartbeats, sweeps, leases of dead processes
    membership.py   minor versions of living processes, and the ledger's time

The states of a job, and the scripts that change them:

    from        by                                              to
    --------    --------------------------------------------    ------------------------------------------
    (none)      open, of an event still in the inbox            pending: due, or leased at once
    due         claim: numbers the attempt                      leased by the process
    leased      settle: delivered                               succeeded
    leased      settle: a failure, with schedule left           due later
    leased      settle: a failure of an old configuration       due now
    leased      settle: a failure at the schedule's end         failed  (exhausted)
    leased      settle: the receiver answered 410               failed  (gone), and the integration is disabled
    leased      settle: interrupted by a drain                  due now
    leased      release: claimed, never started                 due now; its attempt number is taken back
    leased      seize: claimed, and the reply was lost          due now; its attempt number is taken back
    leased      seize: its process died                         leased by the process that settles it as lost
    pending     settle: a late success of an earlier attempt    succeeded
    due         expire: EDW_JOB_DEADLINE after opening          failed  (deadline)
    due         open, expire: more than the lane may have due   cancelled  (lane_overflow)
    due         cut_backlogs: all backlogs take too much memory cancelled  (ledger_overflow)
    due         erase: its event was erased                     cancelled  (erased)
    leased      settle, release: its event was erased           cancelled  (erased)
    due         expire: its integration was deleted             cancelled  (integration_deleted)
    ended       redeliver, if the backlog is not full           pending: due now, a new epoch

A pending job is always in exactly one of `due` and `leased`.

Errors:

    LedgerError
    ├── LedgerUnavailable    no answer, or an answer that means "later"; the work may or may not have been done
    ├── LedgerFull           Redis is at its memory limit, or its memory is above the high-water mark for new events
    ├── LedgerFormatError    the server is too old or unsuitable, or another version wrote its ledger
    ├── NewerRecord          a newer version wrote this record; its processes can read it
    └── LedgerForbidden      Redis refuses the login or a command of this user until an operator corrects its ACL
    LedgerFault              a bug, or a key that another program wrote; no LedgerError, because waiting does not help
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worker.ledger.events.inbox import Acceptance
from worker.ledger.ledger_errors import (
    LedgerError,
    LedgerFault,
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
)
from worker.ledger.policy import LedgerPolicy

if TYPE_CHECKING:
    from worker.ledger.lanes.settlements import Settlement, Verdict
    from worker.ledger.ledger import Ledger

__all__ = [
    "Acceptance",
    "Ledger",
    "LedgerError",
    "LedgerFault",
    "LedgerForbidden",
    "LedgerFormatError",
    "LedgerFull",
    "LedgerPolicy",
    "LedgerUnavailable",
    "Settlement",
    "Verdict",
]


#: Imported when they are first asked for: a producer, which only publishes, needs none of their modules.
_LATE = {
    "Ledger": "worker.ledger.ledger",
    "Settlement": "worker.ledger.lanes.settlements",
    "Verdict": "worker.ledger.lanes.settlements",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATE[name]), name)
    return found
