"""`edw secrets`: rotates the keys that integrations' secrets are sealed with."""

from dataclasses import dataclass, field, replace

import click

from deliverers.registry import UnknownIntegrationType
from worker.cli.cli_session import EXIT_FAILED, CliSession, CommandFailure, run, session
from worker.cli.console import console, json_option, print_json
from worker.cli.keys import secrets_keys
from worker.domain.change import Change, ChangeAction
from worker.domain.integration import Integration
from worker.domain.secrets_box import SecretsBox, SecretsError
from worker.domain.signing_keys import renewed as renewed_pairs

#: Tries for an integration that somebody else keeps changing.
TRIES = 20


@dataclass(slots=True)
class RotationTally:
    """The results for the integrations that have secrets."""

    renewed: int = 0
    already: int = 0
    #: Integrations whose secrets no key opens, or whose type is unknown in this installation.
    closed: list[str] = field(default_factory=list)


@click.group(name="secrets")
def command() -> None:
    """Seal the secrets of integrations with a new key."""


@command.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; only count the integrations.")
@json_option
def rotate(dry_run: bool, as_json: bool) -> None:
    """Seal every secret in the ledger with the newest key.

    \b
    1. Put a new key in front of EDW_SECRETS_KEYS, for every process of the fleet; the old one still opens.
    2. edw secrets rotate
    3. Remove the old key.

    It is safe to repeat and to stop: secrets sealed with the newest key stay as they are.
    """

    async def work() -> int:
        async with session() as at:
            keys = secrets_keys(at.settings)
            if not keys:
                raise CommandFailure("EDW_SECRETS_KEYS is not set: there is no key to seal with")
            tally = await _rotate(at, SecretsBox(keys), dry_run=dry_run)
        if as_json:
            document = {"renewed": tally.renewed, "already": tally.already, "closed": tally.closed, "dry_run": dry_run}
            print_json(document)
        else:
            _say(tally, dry_run=dry_run)
        return EXIT_FAILED if tally.closed else 0

    run(work())


async def _rotate(at: CliSession, secrets: SecretsBox, *, dry_run: bool) -> RotationTally:
    tally, seen, cursor = RotationTally(), set[str](), 0
    err = console(stderr=True)
    with err.status("looking for secrets") as status:
        while True:
            cursor, found = await at.ledger.integrations.scan(cursor)
            for integration in found:
                if integration.id not in seen:
                    seen.add(integration.id)
                    await _renew(at, secrets, integration, tally, dry_run=dry_run)
            status.update(f"{tally.renewed:,} sealed anew, {tally.already:,} already")
            if cursor == 0:
                return tally


async def _renew(
    at: CliSession, secrets: SecretsBox, integration: Integration, tally: RotationTally, *, dry_run: bool
) -> None:
    for _ in range(TRIES):
        try:
            fields = at.types.secret_fields(integration.integration_type)
        except UnknownIntegrationType:
            # The plug-in of this type is not installed here, and only the plug-in knows which fields are secrets.
            tally.closed.append(integration.id)
            return
        if not any(integration.configuration.get(name) for name in fields) and integration.keys is None:
            return
        try:
            renewed = replace(
                integration,
                configuration=secrets.renewed(integration.configuration, fields),
                keys=renewed_pairs(integration.keys, secrets),
            )
        except SecretsError:
            tally.closed.append(integration.id)
            return
        if renewed == integration:
            tally.already += 1
            return
        scope = integration.scope.key
        change = Change(at.actor, ChangeAction.SECRETS_RESEALED, scope, "integration", integration.id)
        if dry_run or await at.ledger.integrations.reseal(integration, renewed, change):
            tally.renewed += 1
            return
        # The integration has just been changed by somebody else.
        found = await at.ledger.integrations.get([integration.id])
        if not found:
            return
        integration = found[0]
    raise CommandFailure(f"integration {integration.id} kept changing during {TRIES} tries; try again")


def _say(tally: RotationTally, *, dry_run: bool) -> None:
    verb = "would be sealed" if dry_run else "were sealed"
    click.echo(f"{tally.renewed:,} {verb} anew with the newest key; {tally.already:,} already were")
    if tally.closed:
        why = "no key of EDW_SECRETS_KEYS opens them, or this installation lacks their type's plug-in"
        click.echo(f"error: the secrets of {len(tally.closed):,} stay as they are: {why}:", err=True)
        for each in tally.closed:
            click.echo(f"  {each}", err=True)
