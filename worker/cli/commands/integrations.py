"""`edw integrations`: manages integrations from the command line."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import click
import msgspec

from config.units import durations
from worker.cli.cli_session import (
    EXIT_FAILED,
    CliSession,
    CommandFailure,
    run,
    scope_of,
    scope_options,
    scope_words,
    session,
)
from worker.cli.console import cells, console, json_option, print_json, table, verdict
from worker.cli.integration_changes import change_integration, merged
from worker.cli.selection import all_integrations, find_integration
from worker.domain.event import Refusal, Scope, rfc3339
from worker.domain.event_parser import EventRules
from worker.domain.humanize import duration, one_line
from worker.domain.integration import Integration
from worker.domain.integration_input import attributes_of
from worker.domain.resources import integration_document
from worker.domain.signing_keys import signing
from worker.ledger.integration_repository import RevisionConflict

Attributes = dict[str, Any]


@click.group(name="integrations", context_settings={"max_content_width": 100})
def command() -> None:
    """List, show, create, update, pause and delete integrations.

    An integration belongs to the store and organisation that --store and --org name, and observes only their events.
    ID may be the beginning of an id if only one of their integrations begins so.
    """


def _attribute_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--name", help="Its name, for people."),
        click.option("--observes", metavar="KEY", multiple=True, help="An observable key; repeat it for several."),
        click.option("--url", help="The URL that a webhook posts to."),
        click.option(
            "--secret-key",
            metavar="VALUE|-",
            help="Sent as X-MOLTIN-SECRET-KEY. With -, edw prompts for it, or reads it from standard input.",
        ),
        click.option(
            "--header",
            "headers",
            metavar="'NAME: VALUE'",
            multiple=True,
            help="A header that a webhook adds; repeat it for several. Without a value, the header is removed.",
        ),
        click.option(
            "--set",
            "settings",
            metavar="KEY=VALUE",
            multiple=True,
            help="Another key of the configuration. KEY=@FILE reads a file, KEY=- prompts or reads standard input, and "
            "KEY= removes the key. A VALUE that begins with [ or { is JSON.",
        ),
        click.option("--type", "integration_type", help="How events leave: webhook, aws_sqs or stomp."),
        click.option("--description", help="Its purpose, for people."),
        click.option(
            "--rate-limit",
            type=float,
            metavar="NUMBER",
            help="Deliveries per second at most, across the fleet; 0 means no limit.",
        ),
        click.option(
            "--timeout",
            metavar="DURATION",
            help='Time that an attempt may take, such as 20s; "" takes the deployment\'s.',
        ),
        click.option(
            "--retry-schedule",
            metavar="DURATIONS",
            help='Pauses after failed attempts, such as "5s 1m 1h"; none: one attempt; "" takes the deployment\'s.',
        ),
        click.option(
            "--filter",
            "filter_",
            metavar="JSON",
            help="The pattern that its events must match; null means no filter.",
        ),
        click.option("--file", "file", type=click.File("rb"), help="Attributes as JSON, as in the specification."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command("list")
@scope_options
@json_option
def list_(store: str | None, org: str | None, as_json: bool) -> None:
    """List the integrations of a store or organisation."""

    async def work() -> None:
        scope = scope_of(store, org)
        async with session() as at:
            found = [at.registrar.shown(each) for each in await all_integrations(at, scope)]
        if as_json:
            print_json({"data": [integration_document(each) for each in found]})
        elif found:
            console().print(_listing(found))
        else:
            click.echo(f"no integrations ({scope_words(scope)}; see --store and --org)")

    run(work())


@command.command()
@click.argument("id")
@scope_options
@json_option
def show(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Show one integration, with only the last characters of its secrets."""

    async def work() -> None:
        async with session() as at:
            _print_integration(at, await find_integration(at, id, scope_of(store, org)), as_json)

    run(work())


@command.command()
@_attribute_options
@click.option("--disabled", is_flag=True, help="Create it disabled: it gets no jobs until it is enabled.")
@click.option("--paused", is_flag=True, help="Create it paused: its events wait until it is resumed.")
@scope_options
@json_option
def create(disabled: bool, paused: bool, store: str | None, org: str | None, as_json: bool, **given: Any) -> None:
    """Create an integration.

    \b
    edw integrations create --name Orders --observes order.paid --url https://example.com/hook
    edw integrations create --file integration.json
    """
    attributes, keys = _attributes(given), _keys(given)
    attributes |= ({"enabled": False} if disabled else {}) | ({"paused": True} if paused else {})
    if keys:
        attributes["configuration"] = merged(attributes.get("configuration"), keys)

    async def work() -> int:
        async with session() as at:
            made = await at.registrar.create(attributes, scope_of(store, org), at.actor)
            if isinstance(made, list):
                return _refused(made, as_json)
            integration, warnings = made
            for warning in warnings:
                click.echo(f"warning: {warning}", err=True)
            _print_integration(at, integration, as_json)
        return 0

    run(work())


@command.command()
@click.argument("id")
@_attribute_options
@scope_options
@json_option
def update(id: str, store: str | None, org: str | None, as_json: bool, **given: Any) -> None:
    """Change an integration: only what is given changes.

    The configuration of a --file replaces the whole present one. A stored secret stays with its destination: if --url
    names another scheme, host or port, give the secrets again (--secret-key "" means none).
    """
    attributes, keys = _attributes(given), _keys(given)
    if not attributes and not keys:
        raise click.UsageError("nothing to change: give at least one attribute")
    run(_update(id, scope_of(store, org), attributes, as_json, keys))


@command.command()
@click.argument("id")
@scope_options
@json_option
def enable(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Enable an integration: its pending jobs are delivered."""
    run(_update(id, scope_of(store, org), {"enabled": True}, as_json))


@command.command()
@click.argument("id")
@scope_options
@json_option
def disable(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Disable an integration: it gets no new jobs, and its pending jobs wait."""
    run(_update(id, scope_of(store, org), {"enabled": False}, as_json))


@command.command()
@click.argument("id")
@scope_options
@json_option
def pause(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Pause an integration: it still gets new jobs, and all its jobs wait."""
    run(_update(id, scope_of(store, org), {"paused": True}, as_json))


@command.command()
@click.argument("id")
@scope_options
@json_option
def resume(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Resume a paused integration: its waiting jobs are delivered, the oldest first."""
    run(_update(id, scope_of(store, org), {"paused": False}, as_json))


@command.command()
@click.argument("id")
@scope_options
@json_option
def delete(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Delete an integration: its pending jobs are cancelled."""

    async def work() -> None:
        async with session() as at:
            found = await find_integration(at, id, scope_of(store, org))
            await at.registrar.delete(found, at.actor)
        if as_json:
            print_json({"deleted": found.id})
        else:
            click.echo(f"deleted {found.id}; its pending jobs are cancelled")

    run(work())


@command.command("try-filter")
@click.argument("id")
@click.option("--event", metavar="ID", help="A stored event of the store; without it, a sample is tried.")
@click.option("--type", "type_", metavar="KEY", help="The sample's observable key; by default the first observed one.")
@click.option("--data", type=click.File("rb"), help="The sample's data: a file with the resource as JSON, or -.")
@click.option("--filter", "filter_", metavar="JSON", help="Try this filter in place of the integration's.")
@scope_options
@json_option
def try_filter(
    id: str,
    event: str | None,
    type_: str | None,
    data: Any,
    filter_: str | None,
    store: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Say whether an event matches a filter, and which condition it does not meet.

    Nothing is delivered. The exit code is 1 if the event does not match.

    \b
    edw integrations try-filter 2da46671 --event e-1
    edw integrations try-filter 2da46671 --data order.json --filter '{"data": {"total": {"$gte": 100}}}'
    """
    sample = {"type": type_, "data": _json(data.name, data.read()) if data else None, "event_id": event}
    given = {name: value for name, value in sample.items() if value is not None}
    if filter_ is not None:
        given["filter"] = _json("--filter", filter_)
    run(_try_filter(id, scope_of(store, org), given, as_json))


async def _try_filter(named: str, scope: Scope, given: Attributes, as_json: bool) -> int:
    # Imported here because most commands do not parse events.
    from worker.api.handlers.filter_handlers import trial_document
    from worker.integrations.filter_trial import FilterTrials

    async with session() as at:
        integration = await find_integration(at, named, scope)
        rules = EventRules(at.catalogue, at.settings.event_max_bytes)
        tried = await FilterTrials(at.ledger, rules).run(integration, given)
    if isinstance(tried, list):
        return _refused(tried, as_json)
    if as_json:
        print_json({"data": trial_document(tried)})
    else:
        click.echo(tried.words)
    return 0 if tried.unmet is None else EXIT_FAILED


@command.command()
@click.argument("id")
@scope_options
@json_option
def keys(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """List the public keys that verify the signatures (v1a) of a webhook."""

    async def work() -> None:
        async with session() as at:
            _print_keys(await find_integration(at, id, scope_of(store, org)), as_json)

    run(work())


@command.command("rotate-keys")
@click.argument("id")
@click.option("--overlap", metavar="DURATION", default="24h", help="How long older keys go on signing; 0 ends them.")
@scope_options
@json_option
def rotate_keys(id: str, overlap: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Make a key pair that signs a webhook (v1a of Standard Webhooks); its public key is shown.

    Older keys go on signing for the overlap, so that receivers can learn the new one first.
    """
    seconds = _durations("--overlap", overlap)[0]
    run(_change_keys(id, scope_of(store, org), lambda at: partial(_rotate, at, seconds), as_json))


@command.command("delete-keys")
@click.argument("id")
@scope_options
@json_option
def delete_keys(id: str, store: str | None, org: str | None, as_json: bool) -> None:
    """Delete the key pairs of a webhook: none signs any more."""
    run(_change_keys(id, scope_of(store, org), lambda at: partial(_delete_keys, at), as_json))


async def _rotate(at: CliSession, seconds: float, integration: Integration) -> Integration | Refusal:
    return await at.registrar.rotate_keys(integration, at.actor, round(time() * 1000), seconds)


async def _delete_keys(at: CliSession, integration: Integration) -> Integration | Refusal:
    return await at.registrar.delete_keys(integration, at.actor)


async def _change_keys(
    named: str,
    scope: Scope,
    change: Callable[[CliSession], Callable[[Integration], Awaitable[Integration | Refusal]]],
    as_json: bool,
) -> int:
    async with session() as at:
        integration = await find_integration(at, named, scope)
        try:
            made = await change(at)(integration)
        except RevisionConflict as error:
            raise CommandFailure(str(error)) from None
        if isinstance(made, Refusal):
            return _refused([made], as_json)
        _print_keys(made, as_json)
    return 0


async def _update(
    named: str, scope: Scope, attributes: Attributes, as_json: bool, keys: Mapping[str, Any] | None = None
) -> int:
    async with session() as at:
        try:
            made = await change_integration(at, named, scope, attributes, keys or {})
        except RevisionConflict as error:
            raise CommandFailure(f"{error}; look at the integration and try again") from None
        if isinstance(made, list):
            return _refused(made, as_json)
        for warning in at.registrar.ignored(attributes, made):
            click.echo(f"warning: {warning}", err=True)
        _print_integration(at, made, as_json)
    return 0


def _attributes(given: Mapping[str, Any]) -> Attributes:
    attributes = _from_file(given["file"]) if given["file"] else {}
    for name in ("name", "description", "integration_type"):
        if given[name] is not None:
            attributes[name] = given[name]
    if given["rate_limit"] is not None:
        attributes["rate_limit"] = given["rate_limit"] or None
    if given["timeout"] is not None:
        attributes["timeout"] = _durations("--timeout", given["timeout"])[0] if given["timeout"] else None
    if given["retry_schedule"] is not None:
        attributes["retry_schedule"] = _durations("--retry-schedule", given["retry_schedule"])
    if given["filter_"] is not None:
        attributes["filter"] = _json("--filter", given["filter_"])
    if given["observes"]:
        attributes["observes"] = list(given["observes"])
    return attributes


def _durations(option: str, text: str) -> Any:
    """Return durations in seconds; None for an empty text, and none for `none`."""
    if text in ("", "none"):
        return [] if text else None
    try:
        return list(durations(text))
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _json(option: str, text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandFailure(f"{option}: is not JSON: {error}") from None


def _keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a configuration that have options of their own."""
    keys: dict[str, Any] = {name: given[name] for name in ("url", "secret_key") if given[name] is not None}
    if keys.get("secret_key") == "-":
        keys["secret_key"] = _asked("secret_key")
    if given["headers"]:
        pairs = (each.partition(":") for each in given["headers"])
        keys["headers"] = {name.strip(): value.strip() or None for name, _, value in pairs}
    for each in given["settings"]:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"--set {each}: expected KEY=VALUE")
        keys[name] = _value(name, value)
    return keys


def _value(name: str, text: str) -> Any:
    """Return the value of a key that --set names; None removes it."""
    if text == "-":
        return _asked(name)
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailure(f"--set {name}: {text[1:]} cannot be read: {error}") from None
    if text.startswith(("[", "{")):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise CommandFailure(f"--set {name}: is not JSON: {error}") from None
    return text or None


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(name, hide_input=True))
    return sys.stdin.readline().rstrip("\r\n")


def _from_file(file: Any) -> Attributes:
    attributes = attributes_of(_json(file.name, file.read()))
    if isinstance(attributes, Refusal):
        raise CommandFailure(f"{file.name}: {attributes}")
    return dict(attributes)


def _refused(problems: Sequence[Refusal], as_json: bool) -> int:
    if as_json:
        print_json({"errors": [{"field": each.field, "reason": each.reason} for each in problems]})
    for each in problems:
        click.echo(f"refused: {each}", err=True)
    return EXIT_FAILED


def _listing(found: Sequence[Integration]) -> object:
    listing = table("id", "name", "type", "enabled", "observes", "where", whole=["id", "type", "enabled"])
    for each in found:
        addresses = each.configuration.get("addresses") or [None]
        where = each.configuration.get("url") or addresses[0]
        listing.add_row(
            *cells(each.id, one_line(each.name, 24), each.integration_type),
            verdict(each.enabled and not each.paused, "yes", "paused" if each.enabled else "no"),
            *cells(one_line(" ".join(each.observes), 60), one_line(str(where or "-"), 60)),
        )
    return listing


def _print_integration(at: CliSession, integration: Integration, as_json: bool) -> None:
    masked = at.registrar.shown(integration)
    expiring = at.registrar.expiring(integration)
    if as_json:
        print_json({"data": integration_document(masked, warnings=expiring)})
        return
    for warning in expiring:
        click.echo(f"warning: {warning}", err=True)
    rows: dict[str, object] = {
        "id": masked.id,
        "name": masked.name,
        "description": masked.description,
        "integration_type": masked.integration_type,
        "enabled": "yes"
        if masked.enabled
        else "no" + (f": {masked.disabled_reason}" if masked.disabled_reason else ""),
        **({"paused": "yes: its jobs wait"} if masked.paused else {}),
        **({"rate_limit": f"{masked.rate_limit:g} deliveries a second"} if masked.rate_limit else {}),
        **({"timeout": f"{masked.timeout:g} s"} if masked.timeout is not None else {}),
        **({"retry_schedule": _schedule(masked.retry_schedule)} if masked.retry_schedule is not None else {}),
        **({"circuit": _circuit(masked)} if masked.circuit else {}),
        **(
            {"failing since": f"{rfc3339(masked.failing_since)}, {masked.failing_attempts} attempts"}
            if masked.failing_since
            else {}
        ),
        "observes": ", ".join(masked.observes),
        **({"filter": _text(masked.filter)} if masked.filter is not None else {}),
        **{f"configuration.{name}": _text(value) for name, value in masked.configuration.items()},
        "scope": scope_words(masked.scope),
        "created": rfc3339(masked.created_at),
        "updated": rfc3339(masked.updated_at),
    }
    details = table("attribute", "value")
    details.show_header = False
    for name, value in rows.items():
        details.add_row(*cells(name, value))
    console().print(details)


def _schedule(pauses: Sequence[float]) -> str:
    return ", ".join(duration(pause * 1000) for pause in pauses) or "none: one attempt"


def _print_keys(integration: Integration, as_json: bool) -> None:
    found = signing(integration.keys, time() * 1000)
    if as_json:
        # Imported here because most commands do not serve the API.
        from worker.api.handlers.key_handlers import key_list

        print_json({"data": key_list(integration).data})
    elif found:
        listing = table("id", "public key", "made", "signs until", whole=["id", "public key"])
        for pair in found:
            until = rfc3339(pair.retires_at) if pair.retires_at else "it is replaced"
            listing.add_row(*cells(pair.id, pair.public_key, rfc3339(pair.created_at), until))
        console().print(listing)
    else:
        click.echo("no signing keys; edw integrations rotate-keys makes one")


def _circuit(integration: Integration) -> str:
    if integration.circuit == "open":
        return f"open: one attempt at {rfc3339(integration.circuit_until)}"
    return "half-open: one attempt shows whether the receiver is back"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
