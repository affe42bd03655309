"""The API's tokens. People create and revoke them, the API issues bearers to clients, every request looks one up."""

from collections.abc import Mapping
from dataclasses import replace

from worker.domain.api_token import SHORT_LIVED, Role, Token, TokenKind, is_id
from worker.domain.change import Change
from worker.domain.event import Scope
from worker.domain.format_version import is_newer
from worker.ledger.change_records import change_arguments
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.ledger_errors import NewerRecord

#: The most valid bearers of one client, or sessions and links of one token; a further one replaces the oldest.
BEARERS_MAX = 1_000


class TokenRepository:
    """The tokens of the ledger."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def put(self, token: Token, change: Change | None = None) -> Token:
        """Write a token or client; return it with the ledger's time of creation. Repeating is safe.

        `change` is the audit's record of it.

        Raises ValueError for a short-lived one: use issue_bearer() or open_session() for it.
        """
        if token.kind in SHORT_LIVED:
            raise ValueError(
                "put() takes a token or client; use issue_bearer() for a bearer, open_session() for others"
            )
        created_at = await self._redis.run_confirmed(
            "put_token", id=token.id, fields=_fields(token), **change_arguments(change, self._redis.policy)
        )
        return replace(token, created_at=int(created_at), expires_at=None)

    async def get(self, token_id: str) -> Token | None:
        """Return the token, client or bearer of that id, or None if it does not exist or has ended. One round trip."""
        if not is_id(token_id):
            return None
        flat = [each.decode() for each in await self._redis.run("find_token", id=token_id)]
        return _token(token_id, dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None

    async def listing(self, offset: int, limit: int) -> list[Token]:
        """Return a page of tokens and clients, the newest first, without bearers."""
        ids = await self._redis.newest("tokens", offset, limit)
        rows = await self._redis.hashes([f"token:{each}" for each in ids])
        return [_token(each, row) for each, row in zip(ids, rows, strict=True) if row]

    async def note_use(self, token_id: str) -> None:
        """Note that a token or client is in use now; does nothing if it was revoked."""
        await self._redis.run("note_token_use", id=token_id)

    async def revoke(self, token_id: str, change: Change | None = None) -> bool:
        """Revoke a token or bearer, or a client with all its bearers; return False if there was none."""
        if not is_id(token_id):
            return False
        arguments = change_arguments(change, self._redis.policy)
        return bool(await self._redis.run_confirmed("revoke_token", id=token_id, **arguments))

    async def issue_bearer(self, client: Token, bearer: Token, seconds: float) -> bool:
        """Write a bearer of a client that is valid for `seconds`.

        Returns False, and writes nothing, if the client was revoked meanwhile.
        """
        return await self._issue(client.id, TokenKind.CLIENT, replace(bearer, kind=TokenKind.BEARER), seconds)

    async def open_session(self, session: Token, seconds: float, link: str = "") -> bool:
        """Write a session or a link, which ends after `seconds` or with the token that it comes from.

        `link` is the id of the one-time link that the session uses up. Returns False, and writes nothing, if that token
        or that link does not exist any more.
        """
        return await self._issue(session.parent, None, session, seconds, link)

    async def _issue(self, parent: str, kind: TokenKind | None, issued: Token, seconds: float, link: str = "") -> bool:
        done = await self._redis.run(
            "issue_bearer",
            id=issued.id,
            parent=parent,
            kind=kind.value if kind else "",
            link=link,
            fields=_fields(issued),
            lifetime=round(seconds * 1000),
            most=BEARERS_MAX,
        )
        return bool(done)


def _fields(token: Token) -> dict[str, object]:
    return {
        "kind": token.kind.value,
        "role": token.role.value,
        "org": token.scope.org_id or "",
        "store": token.scope.store_id or "",
        "platform": int(token.platform),
        "name": token.name,
        "digest": token.digest,
        **({"operator": 1} if token.operator else {}),
    }


def _token(token_id: str, row: Mapping[str, str]) -> Token:
    if is_newer(int(row.get("minor", 0))):
        raise NewerRecord(f"token {token_id} needs a newer version of this process")
    return Token(
        id=token_id,
        kind=TokenKind(row["kind"]),
        role=Role(row["role"]),
        scope=Scope(row["org"] or None, row["store"] or None),
        platform=row["platform"] == "1",
        name=row["name"],
        digest=row["digest"],
        created_at=int(row["created_at"]),
        expires_at=int(row["expires_at"]) if "expires_at" in row else None,
        parent=row.get("parent", ""),
        operator=row.get("operator") == "1",
        used_at=int(row.get("used_at", 0)),
    )
