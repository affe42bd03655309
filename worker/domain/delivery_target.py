"""Where a job is delivered, ready for use; or why it cannot be."""

from dataclasses import dataclass

from pydantic import BaseModel

from deliverers.contract import Deliverer, IntegrationRef


@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    """An integration ready to be delivered to: its configuration is parsed and its secrets are open."""

    ref: IntegrationRef
    deliverer: Deliverer
    configuration: BaseModel

    @property
    def integration_type(self) -> str:
        """How it is delivered to."""
        return self.ref.integration_type


@dataclass(frozen=True, slots=True)
class NoTarget:
    """Why nothing can be delivered to an integration now."""

    integration_type: str
    #: The integration's owner reads it.
    reason: str
    #: For the operator's log alone.
    detail: str = ""
