"""Tokens of the API: who bears one, whom it acts for and what it may do; and how its secret is written and checked.

A secret is 256 random bits, and its plain SHA-256 is what the ledger keeps. A slow, salted hash defends what people
think up, of which a thief can try a dictionary; nobody tries 2^256 secrets, however quick the hash is, and equal ones
do not occur, so that a salt would tell nothing apart. A quick hash is one that every request can afford.
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
#: Random bytes of an id; it is no secret.
ID_BYTES = 8

_ID = re.compile(r"[0-9a-f]{16}")
# 32 bytes are 43 characters of base64url. Both parts have a fixed length, and so has the whole.
_WRITTEN = re.compile(r"edw_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")


class Role(StrEnum):
    """What a token may do for whom it acts."""

    ADMIN = "admin"
    PUBLISH = "publish"
    READ = "read"


class TokenKind(StrEnum):
    """How a token is used. A client's secret is no bearer token: it is only exchanged for one."""

    TOKEN = "token"  # noqa: S105  (a kind, and nobody's password)
    CLIENT = "client"
    BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the ledger keeps it: its secret is nowhere, and the secret's digest is in no repr."""

    id: str
    kind: TokenKind
    role: Role
    #: The store or organisation that it acts for, and no other; nobody's in particular where `platform` is set.
    scope: Scope
    #: For the platform itself: its events name their store_id and org_id.
    platform: bool = False
    #: What people call it; may be empty.
    name: str = ""
    #: digest_of() its secret. Without one, no secret matches.
    digest: str = field(default="", repr=False)
    #: Milliseconds since 1970, by the ledger's clock; 0 for one that is not in the ledger yet.
    created_at: int = 0
    #: The same; None for one that lasts until it is revoked.
    expires_at: int | None = None
    #: The id of the client that a bearer was issued to; empty for others.
    parent: str = ""


def new_id() -> str:
    """An id: 16 lower-case hexadecimal digits."""
    return token_hex(ID_BYTES)


def is_id(text: str) -> bool:
    """True where the text has the form of an id."""
    return _ID.fullmatch(text) is not None


def make_secret() -> str:
    """A new secret: 256 random bits in 43 characters, which need no quoting in a URL, a header or a shell."""
    return token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> str:
    """What is kept of a secret: its SHA-256, in hexadecimal. Takes whatever text a request brings."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def matches(token: Token, secret: str) -> bool:
    """True where the secret is the token's; how long that takes tells nothing of it."""
    return compare_digest(token.digest.encode(), digest_of(secret).encode())


def written(id: str, secret: str) -> str:
    """A token as its bearer sends it: `edw_<id>_<secret>`."""
    return f"edw_{id}_{secret}"


def read(text: str) -> tuple[str, str] | None:
    """The id and the secret of a token as its bearer sends it; None for any other text."""
    found = _WRITTEN.fullmatch(text)
    return (found["id"], found["secret"]) if found else None


def bearer_of(client: Token, id: str, secret: str) -> Token:
    """A bearer token that acts as its client does."""
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
