"""What the handlers work with: wired once, in server.py."""

import asyncio
from dataclasses import dataclass

from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.api.access import Access
from worker.api.health import Health
from worker.api.intake import Intake
from worker.api.trials import Trials
from worker.ledger import Ledger
from worker.parsing import EventRules
from worker.redelivery import Redeliveries
from worker.registrar import Registrar
from worker.traces import Traces
from worker.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that a request may need."""

    settings: Settings
    ledger: Ledger
    registrar: Registrar
    rules: EventRules
    intake: Intake
    redeliveries: Redeliveries
    trials: Trials
    access: Access
    types: DelivererRegistry
    health: Health
    wakeups: Wakeups
    #: None where nothing is traced.
    traces: Traces | None
    #: Looks at the ledger as soon as it answers; raises LedgerFormatError where it is another version's.
    opening: "asyncio.Task[bool]"
