"""The contract of deliverers: what they receive, what they return, and what they promise.

The fields of a deliverer's `configuration_model` say who may see what:

- A field of `SecretStr`, `list[SecretStr]` or `dict[str, SecretStr]`, optionally None, is a secret. The ledger seals
  it, and people see its mask: stars, then the last four characters. A secret of fewer than 12 characters, or in PEM, is
  shown as eight stars. Every other field is stored and shown as given, and so are the keys of a dict. A model with a
  secret in another place (an inner model, another mapping, a field with an alias) is therefore refused when it is
  loaded.
- `Annotated[SecretStr | None, ShownToAdmin()]` is a secret that an integration's own admin may see in the clear.
- `Destination` and `NotDestination` mark which fields say where secrets are sent. A stored secret is never sent to a
  destination that was not given together with it: an update that changes the destination has to give its secrets again.

A model may also have the hooks of `Normalising` and `Expiring`. Its validators raise `ValueError` with words that never
repeat a value. A validator that looks at several fields raises `deliverers.field_error.FieldError`, which names the
field.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from deliverers.egress import EgressPolicy
from deliverers.exchange import ExchangePolicy, WireRecord
from deliverers.quick_values import quickly_made
from deliverers.signatures import SigningKey


@quickly_made
@dataclass(frozen=True, slots=True)
class IntegrationRef:
    """What a receiver learns about the integration."""

    id: str
    integration_type: str
    name: str
    description: str


@quickly_made
@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt of one job.

    Attributes:
        job_id: Id of the job, equal for all its attempts.
        attempt: Number of the attempt: 1, 2, 3 …
        epoch: How often the job has been opened again. A FIFO queue deduplicates on it, together with the job's id.
        event_id: Id of the event; equal on every attempt, so that receivers can deduplicate.
        triggered_by: Observable key of the event, such as `order.paid`.
        data: The resource as raw JSON, byte for byte as the producer wrote it, so that `10.00` stays `10.00`.
        included: The included resources, in the same form; None if the event has none.
        store_id: The event's store; None for an event of an organisation.
        org_id: The event's organisation; None if the event names none.
        time: The event's own time, in RFC 3339.
        source: The event's source, a URI; None if the event names none.
        integration: The integration as the receiver sees it.
        configuration: The integration's configuration, parsed by the deliverer's own `configuration_model`.
        sequence: Grows with each accepted event of the same resource, so that a receiver can drop what is stale.
        timeout: The integration's own time limit of this attempt in seconds; None for that of the options. Use
            `DelivererOptions.timeout_of`.
        signing_keys: The integration's own keys of Ed25519; only where the deliverer `signs`.
        trace: W3C Trace Context for the receiver, under `traceparent` and `tracestate`; empty if there is none.
        flat: Whether the event has a flat payload. Then `data` is the whole payload, which is sent as it is, and
            `included` is None.
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
    trace: Mapping[str, str] = field(default_factory=dict)
    flat: bool = False
    sequence: int = 0
    timeout: float | None = None
    signing_keys: tuple[SigningKey, ...] = field(default=(), repr=False)

    @property
    def tenant(self) -> str:
        """Return whose delivery this is: the store, or else the organisation. Connections are not shared beyond it."""
        return f"store {self.store_id}" if self.store_id is not None else f"organisation {self.org_id}"


@quickly_made
@dataclass(frozen=True, slots=True)
class Delivered:
    """Outcome: the receiver has the message.

    Attributes:
        status: Status code of the answer; None if the protocol has none.
        body: The part of the answer that the log keeps.
        exchange: What was sent and what was answered, for the log; None if the deliverer does not say.
    """

    status: int | None
    body: str
    exchange: WireRecord | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Outcome: the receiver answered, and did not take the message.

    Attributes:
        status: Status code of the answer; None if the protocol has none.
        body: The part of the answer that the log keeps.
        reason: What was wrong, for the integration's owner.
        retry_after: Seconds to wait, if the receiver asked for a pause.
        exchange: As in `Delivered`.
    """

    status: int | None
    body: str
    reason: str
    retry_after: float | None = None
    exchange: WireRecord | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Outcome: there was no answer, because a name, an address, a handshake or a deadline failed.

    Attributes:
        reason: What was wrong, for the integration's owner. It names an address only if the configuration has it as a
            literal.
        detail: More for the operator's log alone, such as the addresses of a name.
        exchange: As in `Delivered`; without an answer.
    """

    reason: str
    detail: str = field(default="", compare=False)
    exchange: WireRecord | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """Outcome: the receiver says that it will never take anything again. The integration is disabled.

    Attributes:
        reason: What the receiver said, for the integration's owner.
        status: Status code of the answer.
        body: The part of the answer that the log keeps.
        exchange: As in `Delivered`.
    """

    reason: str
    status: int | None = 410
    body: str = ""
    exchange: WireRecord | None = field(default=None, compare=False, repr=False)


class Resource(StrEnum):
    """A resource that a process or its machine may run out of."""

    #: Open files and sockets: EMFILE, ENFILE.
    FILES = "files"
    #: Local ports for outgoing connections: EADDRNOTAVAIL.
    PORTS = "ports"
    #: Memory, or the kernel's network buffers: ENOMEM, ENOBUFS.
    MEMORY = "memory"
    #: Threads and processes.
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class NotAttempted:
    """Outcome: this process lacked a resource of its own, so the attempt does not count.

    Such an attempt says nothing about the receiver. The job goes back to its lane with its attempt number unused, and
    the process takes on less work for a while. Return this only for a lack that would affect every receiver: a job may
    be tried in this way without end, until its deadline. `deliverers.exhaustion.exhausted` recognises such a lack in an
    exception.

    Attributes:
        resource: The resource that was lacking.
        reason: What was lacking in words, for our own log.
    """

    resource: Resource
    reason: str


#: Outcomes of an attempt that was made, and counts.
Counted = Delivered | Refused | Unreachable | Gone
Outcome = Counted | NotAttempted


@dataclass(frozen=True, slots=True)
class DelivererOptions:
    """What a process gives to every deliverer that it opens."""

    #: Time limit of an attempt in seconds, from the first DNS query to the last byte of the answer, unless the
    #: integration has its own: use `timeout_of`.
    timeout: float = 10.0
    #: The longest time limit that an integration may have, in seconds.
    longest_timeout: float = 30.0
    #: Bytes read of an answer, counted on the wire and again after decompression.
    read_limit: int = 64 * 1024
    #: Bytes of an answer (as UTF-8) kept for the log.
    keep_limit: int = 4 * 1024
    #: Which attempts keep their request and answer in `exchange`; their times are always kept.
    keep_exchange: ExchangePolicy = ExchangePolicy.FAILURES
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    #: PEM file with certificate authorities that are trusted in addition to the system's; None adds none.
    tls_ca_file: str | None = None
    #: URL of an HTTP proxy for webhooks and SQS; it may contain a password. None connects directly.
    proxy: str | None = field(default=None, repr=False)
    #: URL of an SQS emulator; None uses the host of each queue's URL.
    sqs_endpoint: str | None = None
    #: True assumes the roles that integrations name, with the deployment's AWS credentials, as AWS's SDKs find them.
    aws_credentials: bool = False
    #: URL of an STS emulator or endpoint; None uses AWS's own of the queue's region.
    sts_endpoint: str | None = None
    #: Bytes of an SQS message, attributes included.
    sqs_limit: int = 262_144
    #: True sends STOMP messages as text: without `content-length`, which is how ActiveMQ recognises text. False sends
    #: bytes.
    stomp_text: bool = True
    #: True adds the integration's `secret_key` to the body of each webhook.
    secret_in_body: bool = False
    #: Called for each connection that is dialled, to count it.
    dialled: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    def timeout_of(self, delivery: Delivery) -> float:
        """Return the time limit of an attempt in seconds: the integration's own, or `timeout`.

        Args:
            delivery: The attempt.

        Returns:
            The time limit in seconds.
        """
        return self.timeout if delivery.timeout is None else delivery.timeout


@dataclass(frozen=True, slots=True)
class ShownToAdmin:
    """Marks a secret field that an integration's own admin may see in the clear; everybody else sees its mask.

    It stands in an `Annotated` around the field's whole type. A secret without it is masked for everybody.
    """


@dataclass(frozen=True, slots=True)
class Destination:
    """Marks a field that says where an integration's secrets are sent, or on whose behalf.

    While the destination stays the same, a secret's mask in an update stands for the stored secret. If it changes, the
    secrets must be given again. The mark stands in an `Annotated` around the field's whole type.

    Without a mark, a field that is not a secret counts as destination as a whole, which is always safe; a secret
    counts if it holds a URL. So a field needs the mark if only a part of it counts (a URL's origin), or if it is a
    secret that says where others go or whose they are (the id of a key).

    Attributes:
        part: Returns the part of the field's parsed value that counts; None means the whole value. It gets only values
            that the model has accepted, and must not raise.
    """

    part: Callable[[Any], Hashable] | None = None


@dataclass(frozen=True, slots=True)
class NotDestination:
    """Marks a field that does not affect where secrets are sent, or on whose behalf: a title, a batch size."""


class Normalising(Protocol):
    """A configuration model whose input has several spellings, one of which is stored and emitted."""

    @classmethod
    def normalised(cls, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration in the spelling that is stored. Normalising twice changes nothing more.

        This must neither check nor add defaults: what it cannot convert stays, for the model's validators to refuse.

        Args:
            configuration: Keys as given. They may be invalid, and may be only some of the keys; null means that a key
                is left out.

        Returns:
            The same keys in the stored spelling.
        """
        ...


class Expiring(Protocol):
    """A configuration model some of whose values run out, such as certificates."""

    @classmethod
    def expirations(cls, configuration: Mapping[str, Any]) -> Mapping[str, datetime]:
        """Return when values run out, by the names of their fields. People are warned 30 days ahead.

        Args:
            configuration: A configuration as it is stored: its secrets may be sealed or masked, and it may be invalid.

        Returns:
            The end of each value that has one, in UTC.
        """
        ...


class Deliverer(Protocol):
    """A plug-in that delivers the jobs of one `integration_type`.

    A deliverer with a class attribute `signs` that is true signs with `delivery.signing_keys`, and people may make and
    rotate keys for its integrations.

    Reasons and bodies never contain a secret of the configuration, nor details of our network. Word an exception with
    `deliverers.reasons.reason`, never with its own text, which contains the addresses that were dialled.

    Args:
        options: The settings that deliverers use; the same for all deliverers of a process.
    """

    #: The specification's word in its emitted spelling: `aws_sqs`, not `aws-sqs`.
    integration_type: ClassVar[str]
    #: The model that parses an integration's `configuration`; the module's docstring says how it marks secrets.
    configuration_model: ClassVar[type[BaseModel]]

    def __init__(self, options: DelivererOptions) -> None: ...

    async def open(self) -> None:
        """Open the shared clients, on the loop that will deliver. Called once per process.

        Raises:
            OSError: The file `tls_ca_file` cannot be used.
        """
        ...

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt within `options.timeout_of(delivery)` seconds.

        Args:
            delivery: The attempt; its configuration is an instance of `configuration_model`.

        Returns:
            The outcome. Expected failures are outcomes too.

        Raises:
            Exception: A bug of the deliverer, with one exception: an error whose causes show that this process lacks a
                resource, such as EMFILE, counts as `NotAttempted`.
            asyncio.CancelledError: The caller gave the attempt up.
        """
        ...

    async def close(self) -> None:
        """Close what `open` opened. It must be harmless without `open`, and when repeated."""
        ...
