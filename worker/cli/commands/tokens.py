"""`edw tokens`: makes, lists and revokes the API's tokens."""

import re
from collections.abc import Sequence
from typing import Any

import click

from worker.cli.cli_session import EXIT_FAILED, CliSession, run, scope_of, scope_options, scope_words, session
from worker.cli.console import cells, console, json_option, print_json, table
from worker.domain.api_token import Role, Token, TokenKind, digest_of, is_id, make_secret, new_id, read, written
from worker.domain.change import ChangeAction, token_change
from worker.domain.event import Scope, rfc3339
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.humanize import one_line
from worker.domain.masking import mask

#: Longest name of a token, in characters.
NAME_MAX_CHARS = 255
#: Tokens per read.
PAGE = 500

# Control characters, and bytes of the command line that are not UTF-8 (surrogates).
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@click.group(name="tokens", context_settings={"max_content_width": 100})
def command() -> None:
    """Make, list and revoke the API's tokens.

    A token acts for the store or organisation that --store and --org name, and for no other. Without either, it acts
    for the one store of a single-store deployment. Its secret is shown once, when it is made, and kept nowhere.
    """


@command.command()
@click.option("--role", type=click.Choice([each.value for each in Role]), help="What it may do; required.")
@click.option("--client", is_flag=True, help="Make a client_id and client_secret, for POST /oauth/access_token.")
@click.option(
    "--platform", is_flag=True, help="Make a token of the platform itself, whose events name their store_id and org_id."
)
@click.option("--operator", is_flag=True, help="Make an operator's token: it opens the console for all stores.")
@click.option("--name", default="", help="Its name, for people.")
@scope_options
@json_option
def create(
    role: str | None,
    client: bool,
    platform: bool,
    operator: bool,
    name: str,
    store: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Make a token. Standard output gets the token alone; standard error gets its description.

    \b
    edw tokens create --store s-1 --org o-1 --role admin --name "Back office"
    TOKEN=$(edw tokens create --role publish)
    edw tokens create --operator --role read --name "Anna, on call"
    """
    if operator:
        _check_operator(role, client, platform)
    secret = make_secret()
    token = Token(
        id=new_id(),
        kind=TokenKind.OPERATOR if operator else TokenKind.CLIENT if client else TokenKind.TOKEN,
        role=_role(role, platform),
        scope=_scope(store, org, "--platform" if platform else "--operator" if operator else ""),
        platform=platform,
        name=_fit("--name", name, NAME_MAX_CHARS),
        digest=digest_of(secret),
        operator=operator,
    )

    async def work() -> None:
        async with session() as at:
            await at.ledger.tokens.put(token, token_change(at.actor, ChangeAction.TOKEN_CREATED, token))
        _print_token(token, secret, as_json)

    run(work())


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List tokens and clients, newest first; never their secrets."""

    async def work() -> None:
        async with session() as at:
            found = await _all_tokens(at)
        if as_json:
            print_json({"data": [_document(each) for each in found]})
        elif found:
            console().print(_listing(found))
        else:
            click.echo("no tokens")

    run(work())


@command.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def revoke(ids: tuple[str, ...]) -> None:
    """Revoke tokens and clients, and with a client all bearer tokens issued to it.

    ID is an id, or a whole token, which contains its id.
    """

    async def work() -> int:
        code = 0
        async with session() as at:
            for named in ids:
                code = await _revoke(at, named) or code
        return code

    run(work())


def _role(role: str | None, platform: bool) -> Role:
    if platform and role not in (None, Role.PUBLISH.value):
        raise click.UsageError(f"--platform works with --role {Role.PUBLISH} only")
    if role is None and not platform:
        raise click.UsageError(f"--role is required: one of {', '.join(Role)}")
    return Role(role or Role.PUBLISH)


def _check_operator(role: str | None, client: bool, platform: bool) -> None:
    if client or platform:
        raise click.UsageError("--operator works without --client and --platform")
    if role == Role.PUBLISH.value:
        raise click.UsageError(f"--operator works with --role {Role.READ} or {Role.ADMIN}")


def _scope(store: str | None, org: str | None, of_all: str) -> Scope:
    if of_all and (store is not None or org is not None):
        raise click.UsageError(f"{of_all} takes neither --store nor --org: it acts for all of them")
    for option, value in (("--store", store), ("--org", org)):
        # An unset variable of a script must not widen the token's scope.
        if value is not None and not _fit(option, value, ID_MAX_CHARS):
            raise click.UsageError(f"{option} is empty; leave it out, or give it a value")
    return scope_of(store, org)


def _fit(option: str, value: str, limit: int) -> str:
    if len(value) > limit:
        raise click.UsageError(f"{option} has {len(value)} characters; at most {limit} are allowed")
    if _UNFIT.search(value):
        raise click.UsageError(f"{option} has control characters, or is not UTF-8")
    return value


async def _all_tokens(at: CliSession) -> list[Token]:
    found: list[Token] = []
    while page := await at.ledger.tokens.listing(len(found), PAGE):
        found += page
        if len(page) < PAGE:
            break
    return found


async def _revoke(at: CliSession, named: str) -> int:
    parts = read(named)
    token_id = parts[0] if parts else named
    if not is_id(token_id):
        # The text may be a secret that was given by mistake.
        click.echo(f"neither a token nor the id of one: {mask(named)}", err=True)
        return EXIT_FAILED
    token = await at.ledger.tokens.get(token_id)
    if token is None or not await at.ledger.tokens.revoke(
        token_id, token_change(at.actor, ChangeAction.TOKEN_REVOKED, token)
    ):
        click.echo(f"there is no token {token_id}", err=True)
        return EXIT_FAILED
    click.echo(f"revoked {token_id}; the API refuses it within a second")
    return 0


def _acts_for(token: Token) -> str:
    if token.platform:
        return "the platform"
    if token.operator:
        return "all stores, in the console"
    return scope_words(token.scope) if token.scope != Scope() else "the only store"


def _print_token(token: Token, secret: str, as_json: bool) -> None:
    if token.kind is TokenKind.CLIENT:
        shown, once = {"client_id": token.id, "client_secret": secret}, "the secret is shown this once"
        lines = "\n".join(f"{name} {value}" for name, value in shown.items())
    else:
        lines = written(token.id, secret)
        shown, once = {"token": lines}, "it is shown this once"
    if as_json:
        print_json(shown | {"id": token.id})
        return
    click.echo(lines)
    # On standard error, because a script may want the token alone.
    click.echo(f"id {token.id}, acts for {_acts_for(token)}, role {token.role}; {once}", err=True)


def _document(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "kind": token.kind.value,
        "role": token.role.value,
        "platform": token.platform,
        "store_id": token.scope.store_id,
        "org_id": token.scope.org_id,
        "name": token.name,
        "created_at": rfc3339(token.created_at),
        "last_used_at": rfc3339(token.used_at) if token.used_at else None,
    }


def _listing(found: Sequence[Token]) -> object:
    listing = table("id", "kind", "role", "acts for", "name", "created", "last used", whole=["id", "kind", "role"])
    for each in found:
        what = (each.id, each.kind.value, each.role.value, _acts_for(each), one_line(each.name, 40))
        used = rfc3339(each.used_at) if each.used_at else "never"
        listing.add_row(*cells(*what, rfc3339(each.created_at), used))
    return listing
