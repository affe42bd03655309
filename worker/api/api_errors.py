"""The specification's ErrorResponse, which every failed request gets.

ApiError                      any status; raised by handlers, answered by `worker.api.application`
└── OAuthError                of /oauth/access_token; adds OAuth's own fields (`worker.api.handlers.oauth`)

Functions of this module make the common ones: `not_found` 404, `bad_parameter` 400, `invalid` 422,
`retry_later` 429 or 503, and `api_error` any other.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from math import ceil
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.domain.event import Refusal

#: Retry-After, in seconds, where nothing says how long the cause will last.
RETRY_SECONDS = 1.0
#: Problems of one body that an answer lists at most.
ERRORS_MOST = 100


class ErrorSource(Struct, frozen=True):
    """The cause of an error: a place in the body (a JSON pointer, RFC 6901) or a parameter of the query."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class ErrorBody(Struct, frozen=True):
    """One error of a request."""

    status: Annotated[int, Meta(ge=400, le=599)]
    title: str
    detail: str
    source: ErrorSource | UnsetType = UNSET


class ErrorDocument(Struct, frozen=True):
    """All errors of a request."""

    errors: list[ErrorBody]


class ApiError(Exception):
    """A request that fails, with the answer to it."""

    def __init__(self, status: int, errors: Sequence[ErrorBody], headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.status = status
        self.document: ErrorDocument = ErrorDocument(list(errors))
        self.headers = dict(headers or {})


def api_error(status: int, detail: str, headers: Mapping[str, str] | None = None, **source: str) -> ApiError:
    """Return an answer with one error, titled after its status; `source` is its `pointer` or `parameter`."""
    return ApiError(status, [error_body(status, detail, **source)], headers)


def error_body(status: int, detail: str, **source: str) -> ErrorBody:
    """Return one error of a list."""
    return ErrorBody(status, HTTPStatus(status).phrase, detail, ErrorSource(**source) if source else UNSET)


def not_found(what: str) -> ApiError:
    """Return a 404. It does not reveal whether the resource is missing or belongs to another store."""
    return api_error(404, f"there is no {what}")


def bad_parameter(name: str, why: str) -> ApiError:
    """Return a 400 for an invalid parameter of the query."""
    return api_error(400, f"{name}: {why}", parameter=name)


def invalid(problems: Iterable[Refusal], under: str = "/data") -> ApiError:
    """Return a 422 for a body that is JSON but invalid: one error for each of the first ERRORS_MOST problems."""
    found = iter(problems)
    errors = [problem_body(problem, under) for problem in islice(found, ERRORS_MOST)]
    if next(found, None) is not None:
        errors.append(error_body(422, f"there are more problems than these {ERRORS_MOST}, which are not listed"))
    return ApiError(422, errors)


def problem_body(problem: Refusal, under: str, status: int = 422) -> ErrorBody:
    """Return the error of a refused field; its pointer is relative to `under`, a place in the body."""
    pointer = under + problem.pointer
    return error_body(status, f"{pointer}: {problem.reason}" if pointer else problem.reason, pointer=pointer)


def retry_later(status: int, detail: str, seconds: float = RETRY_SECONDS) -> ApiError:
    """Return a 429 or 503 with a Retry-After of at least one second."""
    return api_error(status, detail, {"Retry-After": str(max(1, ceil(seconds)))})
