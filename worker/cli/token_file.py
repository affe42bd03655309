"""The token that `edw dev` makes and keeps in the data folder, so that a newcomer can use the API at once."""

import os
from pathlib import Path

from config.settings import Settings
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, matches, new_id, read, written
from worker.domain.event import Scope
from worker.ledger import Ledger, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints

#: File in the data folder; its readers are admins of the embedded Redis' only store.
TOKEN_FILE = "token"  # noqa: S105  (a file's name)


#: Seconds for which the link into the console works.
LINK_LIFETIME = 24 * 3_600


async def make_access(settings: Settings) -> tuple[str, str]:
    """Return the admin token of the data folder, and a one-time link's secret for the console.

    The token is a new one if the ledger knows none. The link opens the console as an operator's. Raises LedgerError.
    """
    ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
    try:
        await ledger.open()
        text = await _token(ledger, settings.data_dir / TOKEN_FILE)
        return text, await _link(ledger, text)
    finally:
        await ledger.close()


async def _token(ledger: Ledger, file: Path) -> str:
    known = _known(file)
    parts = read(known)
    if parts and (token := await ledger.tokens.get(parts[0])) and matches(token, parts[1]):
        return known
    made, secret = new_id(), make_secret()
    text = written(made, secret)
    await ledger.tokens.put(
        Token(made, TokenKind.TOKEN, Role.ADMIN, Scope(), name="made by edw dev", digest=digest_of(secret))
    )
    _write(file, text)
    return text


async def _link(ledger: Ledger, token: str) -> str:
    parent, _, _ = token.removeprefix("edw_").partition("_")
    made, secret = new_id(), make_secret()
    link = Token(
        made,
        TokenKind.LINK,
        Role.ADMIN,
        Scope(),
        name="made by edw dev",
        digest=digest_of(secret),
        parent=parent,
        operator=True,
    )
    await ledger.tokens.open_session(link, LINK_LIFETIME)
    return written(made, secret)


def _known(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else ""


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text + "\n")
    draft.replace(file)
