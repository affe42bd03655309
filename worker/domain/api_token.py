"""API tokens: their scope and role, and how their secrets are made, written and checked.

A secret is 256 random bits. The ledger keeps its plain SHA-256. A slow hash protects passwords that people choose,
because a thief can try a dictionary; nobody can try 2^256 secrets, however fast the hash is. A salt makes equal
passwords look different; equal random secrets do not occur. A fast hash is cheap enough for every request.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe

from worker.domain.event import Scope

#: Random bytes of a secret.
SECRET_BYTES = 32
#: Random bytes of an id, which is not secret.
ID_BYTES = 8

ID_PATTERN = "[0-9a-f]{16}"
# 32 bytes are 43 characters of base64url. Both parts have a fixed length.
SECRET_PATTERN = "[A-Za-z0-9_-]{43}"  # noqa: S105  (a pattern, and nobody's secret)
TOKEN_PATTERN = f"edw_{ID_PATTERN}_{SECRET_PATTERN}"

_ID = re.compile(ID_PATTERN)
_WRITTEN = re.compile(f"edw_(?P<id>{ID_PATTERN})_(?P<secret>{SECRET_PATTERN})")


class Role(StrEnum):
    """What a token may do within its scope."""

    ADMIN = "admin"
    PUBLISH = "publish"
    READ = "read"


class TokenKind(StrEnum):
    """How a token is used. A client's secret is not a bearer token; the client exchanges it for one."""

    TOKEN = "token"  # noqa: S105  (a kind, and nobody's password)
    CLIENT = "client"
    BEARER = "bearer"
    #: An operator's token. It opens the console for all stores, and is not valid for the API.
    OPERATOR = "operator"
    #: A session of the console, which a person opened with a token.
    SESSION = "session"
    #: A session of the console that a one-time link opened. It makes no tokens, because these would outlive it.
    GUEST = "guest"
    #: A one-time link into the console.
    LINK = "link"


#: Kinds that end by themselves, and with the token that they come from (Token.parent).
SHORT_LIVED = frozenset({TokenKind.BEARER, TokenKind.SESSION, TokenKind.GUEST, TokenKind.LINK})
#: Kinds that the API accepts.
BEARING = frozenset({TokenKind.TOKEN, TokenKind.BEARER})
#: Kinds that open a session of the console.
OPENING = frozenset({TokenKind.TOKEN, TokenKind.OPERATOR})
#: Kinds that are a session of the console.
SESSIONS = frozenset({TokenKind.SESSION, TokenKind.GUEST})


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the ledger keeps it, without its secret. The secret's digest is in no repr."""

    id: str
    kind: TokenKind
    role: Role
    #: The only store or organisation that it may act for; empty if `platform` is set.
    scope: Scope
    #: The token is the platform's own, whose events name their store_id and org_id.
    platform: bool = False
    #: A name for people; may be empty.
    name: str = ""
    #: `digest_of` its secret. If it is empty, no secret matches.
    digest: str = field(default="", repr=False)
    #: Milliseconds since 1970, by the ledger's clock; 0 before the token is in the ledger.
    created_at: int = 0
    #: Milliseconds since 1970, by the ledger's clock; None if the token is valid until it is revoked.
    expires_at: int | None = None
    #: The id of the client or token that a short-lived one comes from; empty for other kinds.
    parent: str = ""
    #: It acts for all stores, in the console alone: an operator's token, and what comes from it.
    operator: bool = False
    #: When it was last used, to the minute (ms since 1970, the ledger's clock); 0 if it was not used yet. Of a client,
    #: bearer tokens count; of a token, sessions of the console.
    used_at: int = 0


def new_id() -> str:
    """Return a new random id of 16 lower-case hexadecimal digits."""
    return token_hex(ID_BYTES)


def is_id(text: str) -> bool:
    """Return whether the text has the form of an id."""
    return _ID.fullmatch(text) is not None


def make_secret() -> str:
    """Return a new secret of 256 random bits.

    Its 43 characters need no quoting in a URL, a header or a shell.
    """
    return token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal. Accepts any text that a request contains."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def matches(token: Token, secret: str) -> bool:
    """Return whether the secret is the token's, in a time that reveals nothing about it."""
    return compare_digest(token.digest.encode(), digest_of(secret).encode())


def written(id: str, secret: str) -> str:
    """Return a token as its bearer sends it: `edw_<id>_<secret>`."""
    return f"edw_{id}_{secret}"


def read(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a token as its bearer sends it; None for any other text."""
    found = _WRITTEN.fullmatch(text)
    return (found["id"], found["secret"]) if found else None


def bearer_of(client: Token, id: str, secret: str) -> Token:
    """Return a bearer token with the role and scope of its client."""
    return Token(
        id=id,
        kind=TokenKind.BEARER,
        role=client.role,
        scope=client.scope,
        platform=client.platform,
        name=client.name,
        digest=digest_of(secret),
        parent=client.id,
    )


def descendant_of(parent: Token, kind: TokenKind, id: str, secret: str, role: Role | None = None) -> Token:
    """Return a session or link with the scope and, unless one is given, the role of the token that it comes from."""
    return Token(
        id=id,
        kind=kind,
        role=role or parent.role,
        scope=parent.scope,
        name=parent.name,
        digest=digest_of(secret),
        parent=parent.parent or parent.id,
        operator=parent.operator,
    )
