"""What the API can do, as data: the router is made of it, and so is `/openapi.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.api.request_context import JSON_TYPES, Handler
from worker.domain.api_token import Role

#: Who may read what is the store's own.
READERS = frozenset({Role.ADMIN, Role.READ})
ADMINS = frozenset({Role.ADMIN})
PUBLISHERS = frozenset({Role.ADMIN, Role.PUBLISH})
ANYBODY_WITH_A_TOKEN = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, or a header; `schema` is JSON Schema."""

    name: str
    summary: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request brings: content type → a type of msgspec, or a tuple of those that it may be."""

    content: Mapping[str, Any]
    required: bool = True

    @classmethod
    def json(cls, kind: Any, *, required: bool = True) -> "Body":
        """One kind of document, by either name of JSON."""
        return cls(dict.fromkeys(JSON_TYPES, kind), required)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back with a status: where it is JSON, a type of msgspec, or a tuple of those that it may be."""

    summary: str
    kind: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that the API does."""

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    #: Which roles may; None where nobody needs a token.
    roles: frozenset[Role] | None
    answers: Mapping[int, Answer]
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    #: What can go wrong, beside what can with every operation of its kind.
    refusals: Sequence[int] = ()
    #: Tokens of the platform, which are no store's, may too.
    platform: bool = False
    #: A browser may send the token as a password.
    basic: bool = False
