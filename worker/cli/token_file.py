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


async def make_token(settings: Settings) -> str:
    """Return the admin token of the data folder, or a new one if the ledger knows none. Raises LedgerError."""
    ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
    try:
        await ledger.open()
        file = settings.data_dir / TOKEN_FILE
        known = file.read_text().strip() if file.is_file() else ""
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
    finally:
        await ledger.close()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text + "\n")
    draft.replace(file)
