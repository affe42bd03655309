"""The environment as one frozen `Settings` object. Nothing else in this project reads the environment.

A variable `EDW_…_FILE` names a file that has the value of `EDW_…` (see `config/setting_files.py`).

`config.settings_page` generates `config/SETTINGS.md` from these fields.
"""

import os
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from config.checks import (
    driver_installed,
    existing_file,
    exporter_installed,
    fernet_key,
    lower,
    not_blank,
    one_of,
    shard_name,
    url_of,
    web_address,
    web_origin,
    web_origin_or_all,
)
from config.observable_events import ObservableKey, observable_key
from config.setting_files import FILE_SUFFIX, SettingFiles, files_of_settings
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

#: Prefix of every variable.
PREFIX = "EDW_"

_DAY = 86_400.0
_YEAR = 365 * _DAY
_REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")
_BROKER_SCHEMES = (*_REDIS_SCHEMES, "redis+socket", "amqp", "amqps", "pyamqp")


#: Processes of one machine that find a port for their metrics.
_METRICS_PORTS = 100


class SettingsError(Exception):
    """A setting is wrong. The text lists each variable, what is wrong with it, and an example."""


def _written(default: str) -> Any:
    """Return a default in the user's notation; it is parsed like a value from the environment."""
    return default


_RedisUrl = Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(_REDIS_SCHEMES))]
_HistoryUrl = Annotated[
    SecretStr | None,
    SettingKind("URL, secret"),
    AfterValidator(url_of(("postgresql", "postgres"))),
    AfterValidator(driver_installed),
]
_BrokerUrl = Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(_BROKER_SCHEMES))]
_Keys = Annotated[
    tuple[SecretStr, ...],
    SettingKind("Fernet keys, secret"),
    BeforeValidator(words),
    AfterValidator(each(fernet_key)),
]
_ObservableKeys = Annotated[
    tuple[ObservableKey, ...],
    SettingKind("keys"),
    BeforeValidator(lambda value: tuple(observable_key(word) for word in words(value))),
]
_Schemes = Annotated[
    tuple[str, ...],
    SettingKind("schemes"),
    BeforeValidator(words),
    AfterValidator(each(one_of("http", "https", "stomp", "stomp+ssl"))),
]
_Origins = Annotated[
    tuple[str, ...],
    SettingKind("origins"),
    BeforeValidator(words),
    AfterValidator(each(web_origin)),
]
_OriginsOrAll = Annotated[
    tuple[str, ...],
    SettingKind("origins"),
    BeforeValidator(words),
    AfterValidator(each(web_origin_or_all)),
]
_Flag = Annotated[bool, SettingKind("`true` or `false`")]
_Level = Literal["debug", "info", "warning", "error", "critical"]


class Settings(BaseModel):
    """The settings of a deployment. Durations are in seconds, sizes in bytes.

    A field that is not given has the value of its environment variable, if that is set and not empty.
    """

    # pydantic-settings is not used: it takes a tenth of a producer's import, and every variable here is plain text.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,  # range, for ports
    )

    redis_url: _RedisUrl = Field(
        default=None,
        description="URL of the ledger's Redis or Valkey (7 or later), or its Sentinels; empty: the embedded Redis.",
        examples=["redis://localhost:6379/0"],
    )
    broker_url: _BrokerUrl = Field(
        default=None,
        description="URL of Celery's broker, RabbitMQ or Redis; empty uses the ledger's Redis.",
        examples=["amqp://user:password@localhost:5672//"],
    )
    history_url: _HistoryUrl = Field(
        default=None,
        description="URL of the PostgreSQL (14 or later) that keeps the history of what happened; empty: no history.",
        examples=["postgresql://edw_writer:password@localhost:5432/edw"],
    )
    history_migrate: Annotated[Literal["auto", "manual"], SettingKind("`auto` or `manual`"), BeforeValidator(lower)] = (
        Field(
            default="auto",
            description="Who makes the history's tables: auto, a worker at its start; manual, `edw history migrate`.",
            examples=["auto"],
        )
    )
    ledger_window: Annotated[Seconds, AfterValidator(between(1, _DAY, "s"))] = Field(
        default=_written("15m"),
        description="With a history, time for which the ledger keeps what is archived; it replaces "
        "EDW_EVENT_RETENTION and EDW_LOG_RETENTION.",
        examples=["15m"],
    )
    deduplication_window: Annotated[Seconds, AfterValidator(between(1, 30 * _DAY, "s"))] = Field(
        default=_written("24h"),
        description="With a history, time for which the id of an event counts as a duplicate after the ledger has "
        "forgotten it.",
        examples=["24h"],
    )
    history_retention: Annotated[Seconds, AfterValidator(between(_DAY, 20 * _YEAR, "s"))] = Field(
        default=_written("90d"),
        description="Time for which the history keeps a day of events, jobs and logs after the day's end.",
        examples=["90d"],
    )
    history_payloads: Annotated[Seconds, AfterValidator(between(_DAY, 20 * _YEAR, "s"))] = Field(
        default=_written("30d"),
        description="Time for which the history keeps the data of events, which redelivery needs; at most "
        "EDW_HISTORY_RETENTION.",
        examples=["30d"],
    )
    data_dir: Annotated[Path, SettingKind("folder"), AfterValidator(Path.expanduser)] = Field(
        default=Path(".edw"),
        description="Folder for the data of the embedded Redis, and for the key and token of `edw dev`.",
        examples=["/var/lib/edw"],
    )
    api_host: Annotated[str, SettingKind("address"), AfterValidator(not_blank)] = Field(
        default="127.0.0.1",
        description="Address on which the HTTP API, metrics and health listen.",
        examples=["10.20.0.5"],
    )
    api_port: Port = Field(default=8080, description="Port of the HTTP API; 0 takes any free port.", examples=["8080"])
    api_url: Annotated[str, SettingKind("URL"), AfterValidator(web_address)] = Field(
        default="",
        description="The API's base URL as clients see it, for links in answers; empty uses the host of each request. "
        "Workers put links to the console into lifecycle events if it is set.",
        examples=["https://integrations.example.com"],
    )
    api_body_limit: Annotated[Bytes, AfterValidator(between(1 << 10, 1 << 30, "bytes"))] = Field(
        default=_written("8MiB"),
        description="Largest request body that the API accepts. Each MiB may keep the API busy for 5 ms.",
        examples=["8MiB"],
    )
    api_connections: Annotated[Count, AfterValidator(between(8, 100_000))] = Field(
        default=500,
        description="Client connections that one API process holds at once; beyond that, it closes idle ones.",
        examples=["500"],
    )
    api_proxies: Networks = Field(
        default=(),
        description="Proxies in front of the API whose X-Forwarded-For is trusted; empty trusts none.",
        examples=["10.0.0.0/24"],
    )
    api_cors_origins: _OriginsOrAll = Field(
        default=(),
        description="Origins of pages in browsers that may call the API, or `*` for all; empty allows none.",
        examples=["https://shop.example.com https://admin.example.com"],
    )
    console_frame_ancestors: _Origins = Field(
        default=(),
        description="Origins of the sites that may embed the console in a frame; empty allows none. It needs HTTPS.",
        examples=["https://admin.example.com"],
    )
    inbox_limit: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=100_000,
        description="Events in the inbox, not yet observed, above which the API refuses new events (503).",
        examples=["100000"],
    )
    inbox_max_age: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("15m"),
        description="Waiting time of the events next to be observed, above which the API refuses new events (503).",
        examples=["15m"],
    )
    store_intake_limit: Annotated[Count, AfterValidator(between(0, 10_000_000))] = Field(
        default=0,
        description="Events per second and store that the whole fleet's API accepts (429 beyond); 0 means no limit.",
        examples=["500"],
    )
    store_integrations: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=1_000,
        description="Integrations that one store, or one organisation itself, may have (422 beyond); 0 means no limit.",
        examples=["1000"],
    )
    metrics_port: Port = Field(
        default=9464,
        description="Port of metrics, `/healthz` and `/readyz`, on EDW_API_HOST, or the next free one; 0 takes any.",
        examples=["9464"],
    )
    metrics_connections: Annotated[Count, AfterValidator(between(8, 10_000))] = Field(
        default=64,
        description="Connections that one process's metrics port holds at once; beyond that, it closes idle ones.",
        examples=["64"],
    )
    metrics_seconds: Annotated[Seconds, AfterValidator(between(0.1, 600, "s"))] = Field(
        default=_written("5s"),
        description="Interval at which one process of the fleet reads the ledger's gauges for all processes.",
        examples=["5s"],
    )
    metrics_integrations: _Flag = Field(
        default=False,
        description="Count attempts per integration too, which adds a metrics series for each integration.",
        examples=["true"],
    )
    retry_schedule: Annotated[
        Schedule, AfterValidator(entries(1, 50)), AfterValidator(each(between(0, 30 * _DAY, "s")))
    ] = Field(
        default=_written("5s 30s 2m 10m 30m 1h 3h 6h 12h 24h 24h"),
        description="Pauses after each failed attempt, ±20 %; a job gets one attempt more than there are pauses.",
        examples=["5s 30s 2m"],
    )
    webhook_timeout: Annotated[Seconds, AfterValidator(between(0.01, 600, "s"))] = Field(
        default=_written("10s"),
        description="Time limit of an attempt by any transport, from the first DNS query to the answer's last byte.",
        examples=["10s"],
    )
    webhook_timeout_max: Annotated[Seconds, AfterValidator(between(1, 600, "s"))] = Field(
        default=_written("30s"),
        description="Longest `timeout` that an integration may have for its attempts, in place of EDW_WEBHOOK_TIMEOUT.",
        examples=["30s"],
    )
    webhook_secret_in_body: _Flag = Field(
        default=False,
        description="True adds `configuration.secret_key` to webhook bodies; a receiver that stores bodies stores it.",
        examples=["false"],
    )
    webhook_read_limit: Annotated[Bytes, AfterValidator(between(1, 1 << 30, "bytes"))] = Field(
        default=_written("64KiB"),
        description="Bytes that are read of a webhook's answer, counted after decompression.",
        examples=["64KiB"],
    )
    max_in_flight: Annotated[Count, AfterValidator(between(1, 100_000))] = Field(
        default=200, description="Deliveries that one worker process has in flight at once.", examples=["200"]
    )
    max_in_flight_bytes: Annotated[Bytes, AfterValidator(between(1, 1 << 40, "bytes"))] = Field(
        default=_written("64MiB"),
        description="Bytes of the events that one worker process has in flight at once. Each of EDW_MAX_IN_FLIGHT "
        "slots stands for an equal part of them; an event that is larger takes several slots.",
        examples=["256MiB"],
    )
    lane_cap: Annotated[Count, AfterValidator(between(1, 100_000))] = Field(
        default=50,
        description="Deliveries of one integration in flight at once, across the fleet.",
        examples=["50"],
    )
    circuit_failures: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=10,
        description="Consecutive failures that open an integration's circuit fleet-wide; 0 disables this trigger.",
        examples=["10"],
    )
    circuit_share: Annotated[float, SettingKind("share of 1"), BeforeValidator(share_or_none)] = Field(
        default=0.9,
        description="Share of failures among at least 20 attempts that opens a circuit; 0 disables this trigger.",
        examples=["90%"],
    )
    circuit_window: Annotated[Seconds, AfterValidator(between(1, _DAY, "s"))] = Field(
        default=_written("60s"), description="Period over which EDW_CIRCUIT_SHARE is measured.", examples=["60s"]
    )
    circuit_pauses: Annotated[
        Schedule, AfterValidator(entries(1, 50)), AfterValidator(each(between(0.001, _DAY, "s")))
    ] = Field(
        default=_written("10s 30s 1m 2m 5m"),
        description="Pauses of an open circuit, one after the other; after each, one attempt probes the receiver.",
        examples=["10s 30s 1m"],
    )
    disable_after: Annotated[Seconds, AfterValidator(between(0, _YEAR, "s"))] = Field(
        default=_written("5d"),
        description="Time of nothing but failures, over several jobs, that disables an integration; 0 never does.",
        examples=["5d"],
    )
    disable_attempts: Annotated[Count, AfterValidator(between(2, 1_000_000))] = Field(
        default=20,
        description="Fewest failures that disable an integration; warnings are logged at 50 % and 90 % of the time.",
        examples=["20"],
    )
    drain_seconds: Annotated[Seconds, AfterValidator(between(0, 3_600, "s"))] = Field(
        default=_written("30s"),
        description="Time that a stopping worker or API waits for what is in flight, best as long as the longest "
        "timeout of an integration; 0 does not wait.",
        examples=["30s"],
    )
    egress_allow: Networks = Field(
        default=(),
        description="Loopback, private and other special networks that deliveries may reach; empty allows none.",
        examples=["10.20.0.0/16 fd00:20::/32"],
    )
    egress_ports: Ports = Field(
        default=(),
        description="Ports that deliveries may reach; empty allows all.",
        examples=["443 8000-8999"],
    )
    egress_schemes: _Schemes = Field(
        default=(), description="Schemes that receivers' URLs may have; empty allows all.", examples=["https stomp+ssl"]
    )
    egress_proxy: Annotated[SecretStr | None, SettingKind("URL, secret"), AfterValidator(url_of(("http",)))] = Field(
        default=None,
        description="HTTP proxy for webhooks and SQS, which then decides what addresses are reached; empty uses none.",
        examples=["http://user:password@proxy.internal:3128"],
    )
    sqs_endpoint: Annotated[str, SettingKind("URL"), AfterValidator(web_address)] = Field(
        default="",
        description="URL of an SQS emulator; empty uses the host of each queue's URL.",
        examples=["http://127.0.0.1:4566"],
    )
    aws_credentials: Annotated[Literal["none", "chain"], SettingKind("`none` or `chain`"), BeforeValidator(lower)] = (
        Field(
            default="none",
            description="The deployment's own AWS credentials, to assume the `role_arn` of integrations; `chain` finds "
            "them as AWS's SDKs do: in `AWS_…` variables, files, the container, the machine; `none` assumes no role.",
            examples=["chain"],
        )
    )
    sts_endpoint: Annotated[str, SettingKind("URL"), AfterValidator(web_address)] = Field(
        default="",
        description="URL of an STS endpoint or emulator; empty uses AWS's own of the queue's region.",
        examples=["http://127.0.0.1:4566"],
    )
    sqs_limit: Annotated[Bytes, AfterValidator(between(1 << 10, 1 << 20, "bytes"))] = Field(
        default=_written("256KiB"),
        description="Largest SQS message, attributes included; a larger event is sent without its `included`.",
        examples=["1MiB"],
    )
    stomp_messages: Annotated[Literal["text", "bytes"], SettingKind("`text` or `bytes`"), BeforeValidator(lower)] = (
        Field(
            default="text",
            description="What STOMP consumers get; `text` omits `content-length`: ActiveMQ then makes a text message.",
            examples=["text"],
        )
    )
    secrets_keys: _Keys = Field(
        default=(),
        description="Keys that encrypt secrets in the ledger, newest first; the older ones still decrypt.",
        examples=['"$(python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())")"'],
    )
    tls_ca_file: Annotated[Path | None, SettingKind("file"), AfterValidator(existing_file)] = Field(
        default=None,
        description="Certificate authorities (PEM) accepted for receivers, beside the system's; empty adds none.",
        examples=["/etc/ssl/our-ca.pem"],
    )
    log_retention: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("3d"), description="Time for which IntegrationLogs are kept.", examples=["3d"]
    )
    log_cap: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=100_000, description="IntegrationLogs kept per store at most; the oldest go first.", examples=["100000"]
    )
    log_exchange: Annotated[
        Literal["failures", "all", "none"], SettingKind("`failures`, `all` or `none`"), BeforeValidator(lower)
    ] = Field(
        default="failures",
        description=(
            "Attempts whose request and answer are kept in full, with masked secrets: failures (each integration's last"
            " 20), all (its last success too), none. Every IntegrationLog keeps the times."
        ),
        examples=["failures"],
    )
    log_body_limit: Annotated[Bytes, AfterValidator(between(0, 1 << 20, "bytes"))] = Field(
        default=_written("4KiB"),
        description="Bytes of a receiver's answer kept in an IntegrationLog; 0 keeps none.",
        examples=["4KiB"],
    )
    event_retention: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("24h"),
        description="Time that an event is kept after its last job ended; its id counts as a duplicate until then.",
        examples=["24h"],
    )
    event_max_bytes: Annotated[Bytes, AfterValidator(between(1 << 10, 64 << 20, "bytes"))] = Field(
        default=_written("1MiB"), description="Largest event that is accepted.", examples=["1MiB"]
    )
    job_deadline: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("7d"),
        description="Age at which a pending job fails, whatever held it up.",
        examples=["7d"],
    )
    lane_backlog: Annotated[Count, AfterValidator(between(1, 1_000_000_000))] = Field(
        default=1_000_000,
        description="Due jobs of one integration; beyond that, the oldest are cancelled.",
        examples=["1000000"],
    )
    lane_backlog_bytes: Annotated[Bytes, AfterValidator(between(0, 1 << 50, "bytes"))] = Field(
        default=_written("1GiB"),
        description="Bytes that one integration's due jobs and their events take; beyond, the oldest are cancelled; 0: "
        "no limit.",
        examples=["1GiB"],
    )
    rejected_cap: Annotated[Count, AfterValidator(between(0, 1_000_000))] = Field(
        default=1_000,
        description="Newest refused messages of producers without an answer, kept for inspection; 0 keeps none.",
        examples=["1000"],
    )
    audit_cap: Annotated[Count, AfterValidator(between(1, 1_000_000))] = Field(
        default=10_000,
        description="Records of changes that the ledger keeps per store or organisation; the oldest go first.",
        examples=["10000"],
    )
    audit_retention: Annotated[Seconds, AfterValidator(between(1, _YEAR, "s"))] = Field(
        default=_written("365d"), description="Time for which the ledger keeps records of changes.", examples=["365d"]
    )
    observable_keys: _ObservableKeys = Field(
        default=(),
        description="Observable keys beside the catalogue's: `key` for store level, or `key:store+organization`.",
        examples=["warranty.registered quote.sent:store+organization"],
    )
    lease_seconds: Annotated[Seconds, AfterValidator(between(1, 3_600, "s"))] = Field(
        default=_written("5s"),
        description="Age of a worker's heartbeat at which it loses its leases; until its next one, it sends nothing.",
        examples=["5s"],
    )
    sweep_seconds: Annotated[Seconds, AfterValidator(between(0.05, 60, "s"))] = Field(
        default=_written("1s"), description="Interval at which a worker looks for due events and jobs.", examples=["1s"]
    )
    announce_seconds: Annotated[Seconds, AfterValidator(between(0.1, 600, "s"))] = Field(
        default=_written("2s"),
        description="Time after which an unserved wake-up is sent again.",
        examples=["2s"],
    )
    observer_idle: Annotated[Seconds, AfterValidator(between(0, 600, "s"))] = Field(
        default=_written("2s"),
        description="Time without an event after which a worker no longer waits for events in the ledger; the broker "
        "announces the next one. 0: the broker announces every event.",
        examples=["2s"],
    )
    ledger_wait_replicas: Annotated[Count, AfterValidator(between(0, 100))] = Field(
        default=0,
        description="Replicas that must have an event before it counts as accepted (`WAIT`); 0 waits for none.",
        examples=["1"],
    )
    memory_high_water: Fraction = Field(
        default=0.85,
        description="Share of the ledger's `maxmemory` above which events are refused.",
        examples=["85%"],
    )
    backlog_memory: Fraction = Field(
        default=0.5,
        description="Share of the ledger's `maxmemory` for the due jobs of all integrations and their events; beyond, "
        "the oldest of the largest backlog are cancelled.",
        examples=["50%"],
    )
    celery_threads: Annotated[Count, AfterValidator(between(1, 256))] = Field(
        default=4, description="Threads of one worker process that take Celery messages.", examples=["4"]
    )
    shard: Annotated[str, SettingKind("name"), AfterValidator(shard_name)] = Field(
        default="0",
        description="Name of this ledger inside its Redis: lower-case letters, digits and hyphens.",
        examples=["0"],
    )
    log_format: Annotated[Literal["json", "console"], SettingKind("`json` or `console`"), BeforeValidator(lower)] = (
        Field(
            default="json", description="Log format: one JSON object per line, or lines for people.", examples=["json"]
        )
    )
    log_level: Annotated[_Level, SettingKind("level"), BeforeValidator(lower)] = Field(
        default="info", description="Lowest level that is logged.", examples=["info"]
    )
    log_payloads: _Flag = Field(
        default=False,
        description="Log what each attempt sent and what the receiver answered; this may be personal data.",
        examples=["true"],
    )
    traces: Annotated[
        Literal["none", "otlp"],
        SettingKind("`none` or `otlp`"),
        BeforeValidator(lower),
        AfterValidator(exporter_installed),
    ] = Field(
        default="none",
        description="Traces by OpenTelemetry, which reads its own `OTEL_…` variables; `otlp` needs the extra `otel`.",
        examples=["otlp"],
    )

    def __init__(self, **given: Any) -> None:
        super().__init__(**(_of_environment() | given))

    @property
    def metrics_ports(self) -> range:
        """Return the ports for the metrics of a process, which takes the first free one."""
        first = self.metrics_port
        return range(first, min(first + _METRICS_PORTS, LARGEST_PORT + 1)) if first else range(1)


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def _of_environment() -> dict[str, Any]:
    """Return the value of each field that the environment sets. Case does not matter in names of variables."""
    set_here = {name.upper(): value for name, value in os.environ.items() if value}
    names = {field: variable(field) for field in Settings.model_fields}
    return {field: set_here[name] for field, name in names.items() if name in set_here}


def kind(field: FieldInfo) -> str:
    """Return what a field holds, in the words of the settings table."""
    marks = [mark for mark in field.metadata if isinstance(mark, SettingKind)]
    return marks[0].words


def process_environment() -> MutableMapping[str, str]:
    """Return this process's environment, to pass it to a child or to change what the next load_settings() reads."""
    return os.environ


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with other settings in it, also where it names files for them."""
    replaced = {name + FILE_SUFFIX for name in changes}
    return {**{name: value for name, value in os.environ.items() if name.upper() not in replaced}, **changes}


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment and of the files that it names, overridden by the given fields.

    Raises:
        SettingsError: a setting is wrong. The text has everything that is wrong, not only the first problem.
    """
    names = {field: variable(field) for field in Settings.model_fields if field not in overrides}
    files = files_of_settings(names, os.environ)
    given = {**files.contents, **overrides}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_report([*files.problems, *_lines(error, given, files)])) from None
    if files.problems:
        raise SettingsError(_report(files.problems))
    return settings


def known_variables() -> tuple[str, ...]:
    """Return the variables of all settings, and those that name files for them."""
    settings = tuple(map(variable, Settings.model_fields))
    return (*settings, *(name + FILE_SUFFIX for name in settings))


def unknown_variables() -> tuple[str, ...]:
    """Return a warning for each variable that looks like a setting but is none, most likely a typo."""
    known = known_variables()
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    return tuple(f"{name} is not a setting, and changes nothing{_nearest(name.upper(), known)}" for name in unknown)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _report(lines: Sequence[str]) -> str:
    head = "a setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _lines(error: ValidationError, given: Mapping[str, Any], files: SettingFiles) -> list[str]:
    # One line per field: a list may have several bad entries.
    problems = {str(detail["loc"][0]): detail for detail in reversed(error.errors(include_url=False))}
    return [_line(field, detail, given, files) for field, detail in reversed(problems.items())]


def _line(field: str, detail: Any, given: Mapping[str, Any], files: SettingFiles) -> str:
    name = variable(field)
    info = Settings.model_fields.get(field)
    if info is None:
        return f"{name} is not a setting{_nearest(name, map(variable, Settings.model_fields))}"
    value = given.get(field, os.environ.get(name))
    if field in files.contents:
        shown = f"{name}{FILE_SUFFIX}={_shown(files.paths[field])}"
    else:
        shown = name if "secret" in kind(info) or value is None else f"{name}={_shown(value)}"
    return f"{shown}: {_problem(info, detail)}; for example {name}={_example(info)}"


def _problem(info: FieldInfo, detail: Any) -> str:
    raised = detail.get("ctx", {}).get("error")
    if raised is not None:
        return str(raised)
    if get_origin(info.annotation) is Literal:
        return f"expected one of {', '.join(get_args(info.annotation))}"
    # Pydantic's own text, "Input should be …", names what was expected and never the value.
    text = str(detail["msg"])
    return text[0].lower() + text[1:]


def _example(info: FieldInfo) -> str:
    example = str((info.examples or [""])[0])
    return f'"{example}"' if " " in example and not example.startswith('"') else example


def _shown(given: Any) -> str:
    text = str(given)
    return repr(text if len(text) <= 100 else text[:100] + "…")
