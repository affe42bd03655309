"""What is answered in place of a resource: the specification's ErrorResponse, whatever went wrong.

ApiError
├── 400 bad_request          401 unauthorised       403 forbidden        404 not_found
├── 405 not_allowed          408 too_slow           409 conflict         412 precondition_failed
├── 413 too_large            415 unsupported        422 invalid          429 too_many
└── 500 internal             503 unavailable
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from math import ceil
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.domain.event import Refusal

#: A caller that is told to come again without knowing better does so after this many seconds.
RETRY_SECONDS = 1.0
#: Problems of one body that are listed.
ERRORS_MOST = 100


class ErrorSource(Struct, frozen=True):
    """What the error is about: a place in the body (a JSON pointer, RFC 6901), or a parameter of the query."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class ErrorBody(Struct, frozen=True):
    """One thing that went wrong."""

    status: Annotated[int, Meta(ge=400, le=599)]
    title: str
    detail: str
    source: ErrorSource | UnsetType = UNSET


class ErrorDocument(Struct, frozen=True):
    """Everything that went wrong."""

    errors: list[ErrorBody]


class ApiError(Exception):
    """The answer to a request that cannot be done."""

    def __init__(self, status: int, errors: Sequence[ErrorBody], headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.status = status
        self.document: ErrorDocument = ErrorDocument(list(errors))
        self.headers = dict(headers or {})


def api_error(status: int, detail: str, headers: Mapping[str, str] | None = None, **source: str) -> ApiError:
    """One error, titled as its status is; `pointer` or `parameter` may say what it is about."""
    return ApiError(status, [error_body(status, detail, **source)], headers)


def error_body(status: int, detail: str, **source: str) -> ErrorBody:
    """One error of a list."""
    return ErrorBody(status, HTTPStatus(status).phrase, detail, ErrorSource(**source) if source else UNSET)


def not_found(what: str) -> ApiError:
    """There is none, or it is another store's: the answer does not tell which."""
    return api_error(404, f"there is no {what}")


def bad_parameter(name: str, why: str) -> ApiError:
    """A parameter of the query is not what it must be."""
    return api_error(400, f"{name}: {why}", parameter=name)


def invalid(problems: Iterable[Refusal], under: str = "/data") -> ApiError:
    """The body is JSON and not what it must be: an error for each of the first ERRORS_MOST problems, with its place."""
    found = iter(problems)
    errors = [problem_body(problem, under) for problem in islice(found, ERRORS_MOST)]
    if next(found, None) is not None:
        errors.append(error_body(422, f"there are more problems than these {ERRORS_MOST}, which are not listed"))
    return ApiError(422, errors)


def problem_body(problem: Refusal, under: str, status: int = 422) -> ErrorBody:
    """A refused field of what stands at `under` in the body."""
    pointer = under + problem.pointer
    return error_body(status, f"{pointer}: {problem.reason}" if pointer else problem.reason, pointer=pointer)


def retry_later(status: int, detail: str, seconds: float = RETRY_SECONDS) -> ApiError:
    """429 or 503, with when to come again."""
    return api_error(status, detail, {"Retry-After": str(max(1, ceil(seconds)))})
