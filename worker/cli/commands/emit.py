"""`edw emit`: publishes one event, or a file of events."""

from typing import Any

import click
import msgspec
from click.shell_completion import CompletionItem

from config.observable_events import load_catalogue
from config.settings import SettingsError, load_settings
from worker.cli.cli_session import CommandFailure, read_settings, reported_errors, scope_options
from worker.cli.commands.emit_file import emit_file
from worker.cli.console import json_option, print_json
from worker.domain.sample_event import sample_resource
from worker.publisher import EventRefused, Publisher, Receipt
from worker.telemetry.tracing import exporting

_BOM = b"\xef\xbb\xbf"


def _keys(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    try:
        catalogue = load_catalogue(load_settings().observable_keys)
    except SettingsError:
        return []
    return [CompletionItem(key) for key in catalogue.keys if key.startswith(incomplete)]


@click.command(name="emit")
@click.argument("key", required=False, shell_complete=_keys)
@click.option("--data", type=click.File("rb"), help="File with the affected resource as JSON; default: a sample.")
@click.option("--included", type=click.File("rb"), help="File with the included resources as JSON.")
@click.option("--payload", type=click.File("rb"), help="File with a flat payload as JSON, sent in place of --data.")
@click.option("--id", "event_id", metavar="ID", help="The event's id; a repeated id is a duplicate.")
@click.option("--source", metavar="URI", help="The event's source, such as the store's base URL.")
@click.option("--file", "file", type=click.File("rb"), help="Events as NDJSON: one JSON object per line.")
@scope_options
@json_option
def command(
    key: str | None,
    data: Any,
    included: Any,
    payload: Any,
    event_id: str | None,
    source: str | None,
    file: Any,
    store: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Publish an event of the type KEY, such as order.paid, or a file of events.

    \b
    edw emit order.paid --store 1 --data order.json
    edw emit --file events.ndjson
    """
    attributes = {"id": event_id, "source": source, "store_id": store, "org_id": org}
    if file is not None:
        if key or data or included or payload or any(attributes.values()):
            raise click.UsageError("--file takes no KEY and no attributes: each line of the file is a whole event")
        emit_file(file, as_json)
        return
    if key is None:
        raise click.UsageError("name a KEY, such as order.paid, or a --file of events")
    if payload is not None and (data or included):
        raise click.UsageError("an event has either --data (with --included) or --payload")
    if data is not None and included is not None and data.name == included.name == "<stdin>":
        raise click.UsageError("only one of --data and --included can be standard input")
    event: dict[str, Any] = {"type": key} | {name: value for name, value in attributes.items() if value is not None}
    if payload is not None:
        event["payload"] = _raw("payload", payload)
    else:
        event["data"] = _raw("data", data) if data is not None else sample_resource(key, event.get("id"))
    if included is not None:
        event["included"] = _raw("included", included)
    # The resource's bytes stay as given: 10.00 stays 10.00.
    _say(_publish(msgspec.json.encode(event)), as_json)


def _raw(field: str, file: Any) -> msgspec.Raw:
    content = file.read().removeprefix(_BOM).strip()
    try:
        content.decode()
        msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        raise CommandFailure(f"refused: {field}: is not UTF-8 (byte {error.start})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandFailure(f"refused: {field}: is not JSON: {error}") from None
    return msgspec.Raw(content)


def _publish(event: bytes) -> Receipt:
    settings = read_settings()
    with reported_errors(), exporting(settings, "edw-emit"), Publisher(settings) as publisher:
        try:
            return publisher.publish(event)
        except EventRefused as error:
            raise CommandFailure(f"refused: {error.refusal}") from None


def _say(receipt: Receipt, as_json: bool) -> None:
    if as_json:
        print_json({"id": receipt.id, "duplicate": receipt.duplicate, "differs": receipt.differs})
    elif receipt.differs:
        click.echo(f"accepted {receipt.id}: a known event has this id and other content; it stays unchanged")
    elif receipt.duplicate:
        click.echo(f"accepted {receipt.id}: a duplicate of a known event, so nothing is delivered again")
    else:
        click.echo(f"accepted {receipt.id}")
