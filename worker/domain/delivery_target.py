"""The target of a job's delivery, or the reason why there is none."""

from dataclasses import dataclass, field

from pydantic import BaseModel

from deliverers.contract import Deliverer, IntegrationRef
from deliverers.quick_values import quickly_made
from deliverers.signatures import SigningKey


@quickly_made
@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    """An integration ready to be delivered to: its configuration is parsed and its secrets are open."""

    ref: IntegrationRef
    deliverer: Deliverer
    configuration: BaseModel
    #: The integration's own time limit of an attempt in seconds; None for the process's.
    timeout: float | None = None
    #: The integration's own pauses after failed attempts in seconds; None for the deployment's.
    retry_schedule: tuple[float, ...] | None = None
    #: The integration's own keys that sign; empty if it has none, or its deliverer signs nothing.
    signing_keys: tuple[SigningKey, ...] = field(default=(), repr=False)

    @property
    def integration_type(self) -> str:
        """The integration's type, such as webhook."""
        return self.ref.integration_type


@dataclass(frozen=True, slots=True)
class NoTarget:
    """Why the worker cannot deliver to an integration now."""

    integration_type: str
    #: For the integration's owner.
    reason: str
    #: For the operator's log only.
    detail: str = ""
    retry_schedule: tuple[float, ...] | None = None
