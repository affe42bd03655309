"""The ledger: the record in Redis of what is to be delivered. Nothing else in the project imports redis.

    ledger.py       one process's view of the ledger: everything below, wired
    lua/            one script for each verb; lua/parts/ is what scripts share, and keys.lua lists every key
    connection/     Redis: where it is, its clients, calls of scripts
    events/         the inbox, and the plain queue
    lanes/          jobs and their lanes: opened, claimed, settled with a log, reopened
    inspection/     balance, totals for metrics, what became of an event, the audit
    fleet.py        heartbeats, sweeps, leases of dead processes

The states of a job, and what moves it on:

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
    leased      release: claimed, never started                 due now, the number un-issued
    leased      seize: claimed, and the reply was lost          due now, the number un-issued
    leased      seize: its process died                         leased by the process that settles it as lost
    pending     settle: a late success of an earlier attempt    succeeded
    due         expire: EDW_JOB_DEADLINE after opening          failed  (deadline)
    due         open, expire: more than the lane may have due   cancelled  (lane_overflow)
    due         expire: its integration was deleted             cancelled  (integration_deleted)
    ended       redeliver, where the backlog has room           pending: due now, a new epoch

`due` and `leased` are the two places of a pending job; it is always in exactly one of them.

Errors:

    LedgerError
    ├── LedgerUnavailable    no answer, or one that says "later"; the work may or may not have been done
    ├── LedgerFull           Redis is at its memory limit, or intake is above the high-water mark
    ├── LedgerFormatError    Redis is too old or of another kind, or a newer version wrote its ledger
    └── LedgerForbidden      Redis refuses the login, or a command of this user, until somebody mends its ACL
    LedgerFault              a bug, or a key that another program wrote; no LedgerError, because waiting mends nothing
"""

from worker.ledger.events.inbox import Acceptance
from worker.ledger.lanes.settlements import Settlement, Verdict
from worker.ledger.ledger import Ledger
from worker.ledger.ledger_errors import (
    LedgerError,
    LedgerFault,
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
)
from worker.ledger.policy import LedgerPolicy

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
