"""The API's operations as data, from which the router and `/openapi.json` are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.api.request_context import JSON_TYPES, Handler
from worker.domain.api_token import Role

#: Roles that may read a store's resources.
READERS = frozenset({Role.ADMIN, Role.READ})
ADMINS = frozenset({Role.ADMIN})
PUBLISHERS = frozenset({Role.ADMIN, Role.PUBLISH})
ANYBODY_WITH_A_TOKEN = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header; `schema` is JSON Schema."""

    name: str
    summary: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: for each content type a msgspec type, or a tuple of alternatives."""

    content: Mapping[str, Any]
    required: bool = True

    @classmethod
    def json(cls, kind: Any, *, required: bool = True) -> "Body":
        """Return a body of one type, under each content type of JSON."""
        return cls(dict.fromkeys(JSON_TYPES, kind), required)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one status; `kind` is the msgspec type of a JSON body, or a tuple of alternatives."""

    summary: str
    kind: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API."""

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    #: Roles that may use it; None if it needs no token.
    roles: frozenset[Role] | None
    answers: Mapping[int, Answer]
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    #: Statuses of its errors, beside those that `openapi` adds to every operation.
    refusals: Sequence[int] = ()
    #: Whether tokens of the platform, which belong to no store, may use it too.
    platform: bool = False
    #: Whether the token may be the password of Basic authentication, for browsers.
    basic: bool = False
