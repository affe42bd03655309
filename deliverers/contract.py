"""What a deliverer is given, what it answers, and what it promises.

A deliverer's `configuration_model` says by its fields who may see what:

- A field of `SecretStr`, `SecretStr | None` or `list[SecretStr]` is a secret. It is sealed in the ledger, and people
  see its mask: stars, then the last four characters; of a secret of fewer than 12 characters, eight stars. Every other
  field is stored and shown as it was given, so a model with a secret in another place (an inner model, a mapping, a
  field with an alias) is refused when it is loaded.
- `Annotated[SecretStr | None, ShownToAdmin()]` is a secret that an integration's own admin may see in the clear.
- `Destination` and `NotDestination` mark which fields say where the secrets are sent. A stored secret is never sent to
  a destination that was not given together with it: an update that changes the destination has to give its secrets.

A model may have the hook of `Normalising` too. Its validators raise `ValueError` with words that never repeat a value.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from deliverers.egress import EgressPolicy


@dataclass(frozen=True, slots=True)
class IntegrationRef:
    """What a receiver is told about the integration that it hears from."""

    id: str
    integration_type: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt of one job.

    `data` and `included` are raw JSON as the producer wrote it: they reach the receiver byte for byte, so that `10.00`
    stays `10.00`. `time` is the event's own, in RFC 3339. `configuration` was parsed by the deliverer's own
    `configuration_model`.
    """

    job_id: str
    attempt: int
    epoch: int
    event_id: str
    triggered_by: str
    data: bytes
    included: bytes | None
    store_id: str | None
    org_id: str | None
    time: str
    source: str | None
    integration: IntegrationRef
    configuration: BaseModel = field(repr=False)
    #: W3C Trace Context, by the names `traceparent` and `tracestate`, for the receiver; empty where there is none.
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it. `body` is what the log keeps of the answer."""

    status: int | None
    body: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver answered, and did not take it. `retry_after` is in seconds, where it asked for a pause."""

    status: int | None
    body: str
    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer was had: a name, an address, a handshake or a deadline failed.

    `detail` is for the operator's log alone, such as the addresses of a name. An integration's owner reads
    `reason`, which names an address only where the configuration has it as a literal.
    """

    reason: str
    detail: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver says that it will never take anything again."""

    reason: str
    status: int | None = 410
    body: str = ""


class Resource(StrEnum):
    """What a process, or its machine, may run out of."""

    #: Open files and sockets: EMFILE, ENFILE.
    FILES = "files"
    #: Local ports for outgoing connections: EADDRNOTAVAIL.
    PORTS = "ports"
    #: Memory, or the kernel's buffers for the network: ENOMEM, ENOBUFS.
    MEMORY = "memory"
    #: Threads and processes.
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class NotAttempted:
    """This process lacked a resource of its own, so the attempt says nothing of the receiver, and does not count.

    The job goes back to its lane with its attempt number unused, and the process takes on less for a while. Return it
    only for a lack that every receiver would meet: a job may be tried so without end, until its deadline. `reason` is
    for our own log. `deliverers.exhaustion.exhausted` finds it in an exception.
    """

    resource: Resource
    reason: str


#: What comes of an attempt that was made, and counts.
Counted = Delivered | Refused | Unreachable | Gone
Outcome = Counted | NotAttempted


@dataclass(frozen=True, slots=True)
class DelivererOptions:
    """What a process gives to every deliverer that it opens."""

    #: Seconds, from the first DNS query to the last byte of the answer.
    timeout: float = 10.0
    #: Bytes of an answer that are read, on the wire and again once decompressed.
    read_limit: int = 64 * 1024
    #: Bytes of an answer (as UTF-8) that are kept for the log.
    keep_limit: int = 4 * 1024
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    #: A PEM file with certificate authorities that are trusted beside the system's.
    tls_ca_file: str | None = None
    #: An HTTP proxy that webhooks and SQS go through; it may hold a password.
    proxy: str | None = field(default=None, repr=False)
    #: Where SQS is, in place of what a queue's URL says: for emulators.
    sqs_endpoint: str | None = None
    #: Bytes of an SQS message, its attributes included.
    sqs_limit: int = 262_144
    #: STOMP messages are text, which ActiveMQ tells by a missing `content-length`; else bytes.
    stomp_text: bool = True
    #: Called for each connection that is dialled, to be counted.
    dialled: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ShownToAdmin:
    """Marks a secret field that an integration's own admin may see in the clear; everybody else sees its mask.

    It stands in an `Annotated` around the field's whole type. Without it a secret is masked for everybody.
    """


@dataclass(frozen=True, slots=True)
class Destination:
    """Marks a field that says where an integration's secrets are sent, or on whose behalf.

    While the destination stays the same, a secret's mask in an update stands for the stored secret. Where it changes,
    the secrets must be given again. `part` is what counts of the field's parsed value; None means all of it. It is
    given values that the model has accepted, and does not raise.

    It stands in an `Annotated` around the field's whole type. Fields without a mark: one that is no secret counts
    whole, which is always safe; a secret counts where it holds a URL. So the mark is for a field of which only a part
    counts (a URL's origin), and for a secret that says where others go or whose they are (the id of a key).
    """

    part: Callable[[Any], Hashable] | None = None


@dataclass(frozen=True, slots=True)
class NotDestination:
    """Marks a field that has no influence on where secrets are sent, nor on whose behalf: a title, a batch size."""


class Normalising(Protocol):
    """A configuration model whose input has several spellings, of which one is stored and emitted."""

    @classmethod
    def normalised(cls, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration in the spelling that is stored.

        It may be unsound, and may be some of the keys only; null means that a key is left out. Nothing is checked here
        and no default is added: what cannot be turned stays, for the model's validators to refuse. Normalising twice
        changes nothing more.
        """
        ...


class Deliverer(Protocol):
    """Carries jobs of one `integration_type` out.

    `deliver` returns expected failures as outcomes; whatever it raises (other than a cancellation) is a bug of the
    deliverer. One exception: an error whose causes show that this process lacks a resource, such as EMFILE, is taken
    for `NotAttempted`.

    Reasons and bodies never hold a secret of the configuration, nor what is inside our network: word an exception by
    `deliverers.reasons.reason`, and never by its own text, which has the addresses that were dialled.
    """

    #: The word of the specification, in its emitted spelling: `aws_sqs`, not `aws-sqs`.
    integration_type: ClassVar[str]
    #: Parses an integration's `configuration`. Which of its fields are secrets, and whose: see above.
    configuration_model: ClassVar[type[BaseModel]]

    def __init__(self, options: DelivererOptions) -> None: ...

    async def open(self) -> None:
        """Open the shared clients, on the loop that will deliver; once a process."""
        ...

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt."""
        ...

    async def close(self) -> None:
        """Close what `open` opened. Harmless when it was never opened."""
        ...
