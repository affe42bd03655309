"""The environment, as one frozen `Settings`. Nothing else in this project reads the environment.

The README's table of settings is made from these fields by `config.settings_table`.
"""

import os
from collections.abc import Iterable, MutableMapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.checks import (
    existing_file,
    exporter_installed,
    fernet_key,
    lower,
    not_blank,
    one_of,
    shard_name,
    url_of,
    web_address,
)
from config.observable_events import ObservableKey, observable_key
from config.units import (
    LARGEST_PORT,
    Bytes,
    Count,
    Fraction,
    Networks,
    Port,
    Ports,
    Schedule,
    Seconds,
    SettingKind,
    between,
    each,
    entries,
    share_or_none,
    words,
)

#: Every variable starts with this.
PREFIX = "EDW_"

_DAY = 86_400.0
_YEAR = 365 * _DAY
_REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")
_BROKER_SCHEMES = (*_REDIS_SCHEMES, "redis+socket", "amqp", "amqps", "pyamqp")


#: So many processes of one machine find a port for their metrics.
_METRICS_PORTS = 100


class SettingsError(Exception):
    """A setting is wrong. The text is for the user: each variable, what is wrong with it, and an example."""


def _written(default: str) -> Any:
    """A default as a user would write it: it goes the same way as what comes from the environment."""
    return default


_RedisUrl = Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(_REDIS_SCHEMES))]
_BrokerUrl = Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(_BROKER_SCHEMES))]
_Keys = Annotated[
    tuple[SecretStr, ...],
    NoDecode,
    SettingKind("Fernet keys, secret"),
    BeforeValidator(words),
    AfterValidator(each(fernet_key)),
]
_ObservableKeys = Annotated[
    tuple[ObservableKey, ...],
    NoDecode,
    SettingKind("keys"),
    BeforeValidator(lambda value: tuple(observable_key(word) for word in words(value))),
]
_Schemes = Annotated[
    tuple[str, ...],
    NoDecode,
    SettingKind("schemes"),
    BeforeValidator(words),
    AfterValidator(each(one_of("http", "https", "stomp", "stomp+ssl"))),
]
_Flag = Annotated[bool, SettingKind("`true` or `false`")]
_Level = Literal["debug", "info", "warning", "error", "critical"]


class Settings(BaseSettings):
    """What a deployment can choose. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    redis_url: _RedisUrl = Field(
        default=None,
        description="The ledger's Redis or Valkey (7 or later), or its Sentinels; empty: the embedded Redis.",
        examples=["redis://localhost:6379/0"],
    )
    broker_url: _BrokerUrl = Field(
        default=None,
        description="Celery's broker, RabbitMQ or Redis; without it, the ledger's Redis.",
        examples=["amqp://user:password@localhost:5672//"],
    )
    data_dir: Annotated[Path, SettingKind("folder"), AfterValidator(Path.expanduser)] = Field(
        default=Path(".edw"),
        description="Where the embedded Redis keeps its data, and `edw dev` its key.",
        examples=["/var/lib/edw"],
    )
    api_host: Annotated[str, SettingKind("address"), AfterValidator(not_blank)] = Field(
        default="127.0.0.1", description="The address that the HTTP API listens on.", examples=["10.20.0.5"]
    )
    api_port: Port = Field(
        default=8080, description="The HTTP API's port; 0 takes any that is free.", examples=["8080"]
    )
    api_url: Annotated[str, SettingKind("URL"), AfterValidator(web_address)] = Field(
        default="",
        description="The API's address as its clients see it, for the links in answers; else as each request says.",
        examples=["https://integrations.example.com"],
    )
    api_body_limit: Annotated[Bytes, AfterValidator(between(1 << 10, 1 << 30, "bytes"))] = Field(
        default=_written("8MiB"),
        description="A larger body of a request to the API is refused. Each MiB may keep the API busy for 5 ms.",
        examples=["8MiB"],
    )
    api_connections: Annotated[Count, AfterValidator(between(8, 100_000))] = Field(
        default=500,
        description="Connections of clients that a process of the API holds at once; beyond that idle ones are closed.",
        examples=["500"],
    )
    api_proxies: Networks = Field(
        default=(),
        description="Proxies in front of the API; their X-Forwarded-For says who called.",
        examples=["10.0.0.0/24"],
    )
    inbox_limit: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=100_000,
        description="The API refuses events (503) while more than so many wait to be observed.",
        examples=["100000"],
    )
    inbox_max_age: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("15m"),
        description="The API refuses events (503) while those that are next to be observed have waited for longer.",
        examples=["15m"],
    )
    store_intake_limit: Annotated[Count, AfterValidator(between(0, 10_000_000))] = Field(
        default=0,
        description="Events a second that the API takes of one store, in the whole fleet (429); 0 is no limit.",
        examples=["500"],
    )
    store_integrations: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=1_000,
        description="Integrations of a store, or of an organisation itself; one more is refused (422); 0 is no limit.",
        examples=["1000"],
    )
    metrics_port: Port = Field(
        default=9464,
        description="Metrics, `/healthz` and `/readyz` of a process, on EDW_API_HOST: here or the next; 0: any.",
        examples=["9464"],
    )
    metrics_connections: Annotated[Count, AfterValidator(between(8, 10_000))] = Field(
        default=64,
        description="Connections that the metrics port of a process holds at once; beyond that idle ones are closed.",
        examples=["64"],
    )
    metrics_seconds: Annotated[Seconds, AfterValidator(between(0.1, 600, "s"))] = Field(
        default=_written("5s"),
        description="How often one process of the fleet reads what the ledger holds, for the metrics of all.",
        examples=["5s"],
    )
    metrics_integrations: _Flag = Field(
        default=False,
        description="Count attempts for each integration as well: a series for each of them.",
        examples=["true"],
    )
    retry_schedule: Annotated[
        Schedule, AfterValidator(entries(1, 50)), AfterValidator(each(between(0, 30 * _DAY, "s")))
    ] = Field(
        default=_written("5s 30s 2m 10m 30m 1h 3h 6h 12h 24h 24h"),
        description="The pauses after each failed attempt, ±20 %; a job has one attempt more than there are pauses.",
        examples=["5s 30s 2m"],
    )
    webhook_timeout: Annotated[Seconds, AfterValidator(between(0.01, 600, "s"))] = Field(
        default=_written("10s"),
        description="An attempt has its answer by then, by every transport: from the first DNS query to the last byte.",
        examples=["10s"],
    )
    webhook_read_limit: Annotated[Bytes, AfterValidator(between(1, 1 << 30, "bytes"))] = Field(
        default=_written("64KiB"),
        description="So much of a webhook's answer is read, counted after decompression.",
        examples=["64KiB"],
    )
    max_in_flight: Annotated[Count, AfterValidator(between(1, 100_000))] = Field(
        default=200, description="Deliveries that one worker process has under way at once.", examples=["200"]
    )
    lane_cap: Annotated[Count, AfterValidator(between(1, 100_000))] = Field(
        default=50,
        description="Deliveries of one integration under way at once, across the whole fleet.",
        examples=["50"],
    )
    circuit_failures: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=10,
        description="So many failed attempts in a row open an integration's circuit, fleet-wide; 0 opens none so.",
        examples=["10"],
    )
    circuit_share: Annotated[float, SettingKind("share of 1"), BeforeValidator(share_or_none)] = Field(
        default=0.9,
        description="This share of failures among 20 attempts or more opens a circuit; 0 opens none so.",
        examples=["90%"],
    )
    circuit_window: Annotated[Seconds, AfterValidator(between(1, _DAY, "s"))] = Field(
        default=_written("60s"), description="The attempts whose share of failures counts.", examples=["60s"]
    )
    circuit_pauses: Annotated[
        Schedule, AfterValidator(entries(1, 50)), AfterValidator(each(between(0.001, _DAY, "s")))
    ] = Field(
        default=_written("10s 30s 1m 2m 5m"),
        description="How long an open circuit cools before one attempt shows whether the receiver is back.",
        examples=["10s 30s 1m"],
    )
    disable_after: Annotated[Seconds, AfterValidator(between(0, _YEAR, "s"))] = Field(
        default=_written("5d"),
        description="Nothing but failures for so long, at several jobs, disable an integration; 0 never does.",
        examples=["5d"],
    )
    disable_attempts: Annotated[Count, AfterValidator(between(2, 1_000_000))] = Field(
        default=20,
        description="So many of them at least; a warning is logged at 50 % and 90 % of the time.",
        examples=["20"],
    )
    drain_seconds: Annotated[Seconds, AfterValidator(between(0, 3_600, "s"))] = Field(
        default=_written("25s"),
        description="How long a worker that stops waits for what is in flight.",
        examples=["25s"],
    )
    egress_allow: Networks = Field(
        default=(),
        description="Loopback, private and other special networks that deliveries may reach all the same.",
        examples=["10.20.0.0/16 fd00:20::/32"],
    )
    egress_ports: Ports = Field(
        default=(),
        description="The only ports that deliveries may reach; without any, all.",
        examples=["443 8000-8999"],
    )
    egress_schemes: _Schemes = Field(
        default=(), description="The only schemes of receivers' URLs; without any, all.", examples=["https stomp+ssl"]
    )
    egress_proxy: Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(("http",)))] = Field(
        default=None,
        description="An HTTP proxy that webhooks and SQS go through; it then decides which addresses are reached.",
        examples=["http://user:password@proxy.internal:3128"],
    )
    sqs_endpoint: Annotated[str, SettingKind("URL"), AfterValidator(web_address)] = Field(
        default="",
        description="Where SQS is, in place of what a queue's URL says: for emulators.",
        examples=["http://127.0.0.1:4566"],
    )
    sqs_limit: Annotated[Bytes, AfterValidator(between(1 << 10, 1 << 20, "bytes"))] = Field(
        default=_written("256KiB"),
        description="The largest SQS message, its attributes included; a larger event goes without what it includes.",
        examples=["1MiB"],
    )
    stomp_messages: Annotated[Literal["text", "bytes"], SettingKind("`text` or `bytes`"), BeforeValidator(lower)] = (
        Field(
            default="text",
            description="What STOMP consumers get: ActiveMQ takes a message without `content-length` as text.",
            examples=["text"],
        )
    )
    secrets_keys: _Keys = Field(
        default=(),
        description="Keys that secrets are encrypted with in the ledger, the newest first; old ones still open.",
        examples=['"$(python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())")"'],
    )
    tls_ca_file: Annotated[Path | None, SettingKind("file"), AfterValidator(existing_file)] = Field(
        default=None,
        description="Certificate authorities (PEM) that receivers may be signed by, beside the system's.",
        examples=["/etc/ssl/our-ca.pem"],
    )
    log_retention: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("3d"), description="IntegrationLogs are kept for so long.", examples=["3d"]
    )
    log_cap: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=100_000, description="IntegrationLogs kept per store at most.", examples=["100000"]
    )
    log_body_limit: Annotated[Bytes, AfterValidator(between(0, 1 << 20, "bytes"))] = Field(
        default=_written("4KiB"),
        description="So much of a receiver's answer is kept in an IntegrationLog.",
        examples=["4KiB"],
    )
    event_retention: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("24h"),
        description="An event whose jobs have all ended is kept for so long; its id is a duplicate until then.",
        examples=["24h"],
    )
    event_max_bytes: Annotated[Bytes, AfterValidator(between(1 << 10, 64 << 20, "bytes"))] = Field(
        default=_written("1MiB"), description="A larger event is refused.", examples=["1MiB"]
    )
    job_deadline: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("7d"),
        description="A job that is still pending then has failed, whatever held it.",
        examples=["7d"],
    )
    lane_backlog: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=1_000_000, description="Due jobs of one integration; beyond that the oldest go.", examples=["1000000"]
    )
    lane_backlog_bytes: Annotated[Bytes, AfterValidator(between(0, 1 << 50, "bytes"))] = Field(
        default=_written("1GiB"),
        description="The events that the due jobs of one integration are of; beyond that the oldest go; 0 is no limit.",
        examples=["1GiB"],
    )
    rejected_cap: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=1_000, description="Refused messages that had nobody to answer, kept to look at.", examples=["1000"]
    )
    observable_keys: _ObservableKeys = Field(
        default=(),
        description="Observable keys beside the catalogue's: `key` at store level, or `key:store+organization`.",
        examples=["warranty.registered quote.sent:store+organization"],
    )
    lease_seconds: Annotated[Seconds, AfterValidator(between(1, 3_600, "s"))] = Field(
        default=_written("15s"),
        description="A worker whose heartbeat is older than this loses its leases: its attempts count as lost.",
        examples=["15s"],
    )
    sweep_seconds: Annotated[Seconds, AfterValidator(between(0.05, 60, "s"))] = Field(
        default=_written("1s"), description="How often a worker looks for what is due.", examples=["1s"]
    )
    announce_seconds: Annotated[Seconds, AfterValidator(between(0.1, 600, "s"))] = Field(
        default=_written("2s"),
        description="A wake-up may be under way for so long before it is announced again.",
        examples=["2s"],
    )
    ledger_wait_replicas: Annotated[Count, AfterValidator(between(0, 100))] = Field(
        default=0,
        description="An event is accepted once so many replicas of the ledger have it (`WAIT`).",
        examples=["1"],
    )
    memory_high_water: Fraction = Field(
        default=0.85,
        description="Events are refused while the ledger uses more than this share of its `maxmemory`.",
        examples=["85%"],
    )
    celery_threads: Annotated[Count, AfterValidator(between(1, 256))] = Field(
        default=4, description="Threads that take Celery messages in one worker process.", examples=["4"]
    )
    shard: Annotated[str, SettingKind("name"), AfterValidator(shard_name)] = Field(
        default="0",
        description="The ledger's name inside its Redis: letters, digits and hyphens.",
        examples=["0"],
    )
    log_format: Annotated[Literal["json", "console"], SettingKind("`json` or `console`"), BeforeValidator(lower)] = (
        Field(default="json", description="One JSON object a line, or lines for people.", examples=["json"])
    )
    log_level: Annotated[_Level, SettingKind("level"), BeforeValidator(lower)] = Field(
        default="info", description="The least level that is logged.", examples=["info"]
    )
    log_payloads: _Flag = Field(
        default=False,
        description="Log what was sent and what was answered with each attempt; it may be personal data.",
        examples=["true"],
    )
    traces: Annotated[
        Literal["none", "otlp"],
        SettingKind("`none` or `otlp`"),
        BeforeValidator(lower),
        AfterValidator(exporter_installed),
    ] = Field(
        default="none",
        description="Traces by OpenTelemetry, which reads the rest (`OTEL_…`) itself; needs the extra `otel`.",
        examples=["otlp"],
    )

    @property
    def metrics_ports(self) -> range:
        """Where a process listens: at the first of these that is free."""
        first = self.metrics_port
        return range(first, min(first + _METRICS_PORTS, LARGEST_PORT + 1)) if first else range(1)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def kind(field: FieldInfo) -> str:
    """What a field holds, in the words of the settings table."""
    marks = [mark for mark in field.metadata if isinstance(mark, SettingKind)]
    return marks[0].words


def process_environment() -> MutableMapping[str, str]:
    """This process's environment, to hand it on to a child, or to change what the next load_settings() reads."""
    return os.environ


def load_settings(**overrides: Any) -> Settings:
    """The settings of the environment; overrides, by field name, win over it.

    Raises SettingsError with everything that is wrong, not only the first of it.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_report(error, overrides)) from None


def unknown_variables() -> tuple[str, ...]:
    """A warning for each variable of the environment that looks like a setting and is none: most likely a slip."""
    known = [variable(field) for field in Settings.model_fields]
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    return tuple(f"{name} is not a setting, and changes nothing{_nearest(name.upper(), known)}" for name in unknown)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _report(error: ValidationError, overrides: dict[str, Any]) -> str:
    # One line for each field: a list may have several bad entries.
    problems = {str(detail["loc"][0]): detail for detail in reversed(error.errors(include_url=False))}
    lines = [_line(field, detail, overrides) for field, detail in reversed(problems.items())]
    head = "a setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _line(field: str, detail: Any, overrides: dict[str, Any]) -> str:
    name = variable(field)
    info = Settings.model_fields.get(field)
    if info is None:
        return f"{name} is not a setting{_nearest(name, map(variable, Settings.model_fields))}"
    given = overrides.get(field, os.environ.get(name))
    secret = "secret" in kind(info)
    shown = name if secret or given is None else f"{name}={_shown(given)}"
    return f"{shown}: {_problem(info, detail)}; for example {name}={_example(info)}"


def _problem(info: FieldInfo, detail: Any) -> str:
    raised = detail.get("ctx", {}).get("error")
    if raised is not None:
        return str(raised)
    if get_origin(info.annotation) is Literal:
        return f"expected one of {', '.join(get_args(info.annotation))}"
    # Pydantic's own words: "Input should be …". They name what was expected and never the value.
    text = str(detail["msg"])
    return text[0].lower() + text[1:]


def _example(info: FieldInfo) -> str:
    example = str((info.examples or [""])[0])
    return f'"{example}"' if " " in example and not example.startswith('"') else example


def _shown(given: Any) -> str:
    text = str(given)
    return repr(text if len(text) <= 100 else text[:100] + "…")
