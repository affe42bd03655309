"""Errors are the specification's ErrorResponse, each with its place where it has one."""

import msgspec
import pytest

from worker.api.api_errors import ApiError, api_error, bad_parameter, error_body, invalid, not_found, retry_later
from worker.api.handlers.oauth import OAuthError
from worker.domain.event import Refusal


def shown(error: ApiError) -> object:
    return msgspec.to_builtins(error.document)


def test_an_error_has_its_status_its_title_and_what_is_wrong() -> None:
    assert shown(api_error(409, "it cannot be")) == {
        "errors": [{"status": 409, "title": "Conflict", "detail": "it cannot be"}]
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429, 500, 503])
def test_every_status_that_is_answered_has_a_title(status: int) -> None:
    assert error_body(status, "x").title


def test_what_is_not_there_says_what_it_would_be() -> None:
    error = not_found("job with this id")

    assert (error.status, str(error)) == (404, "there is no job with this id")


def test_a_parameter_is_named() -> None:
    assert shown(bad_parameter("filter", "expected another")) == {
        "errors": [
            {
                "status": 400,
                "title": "Bad Request",
                "detail": "filter: expected another",
                "source": {"parameter": "filter"},
            }
        ]
    }


def test_each_problem_of_a_body_is_an_error_with_its_json_pointer() -> None:
    problems = [
        Refusal("observes.0", "is unknown"),
        Refusal("a.b", "has a name", ("a.b", "c/d", "e~f")),
        Refusal("", "is too large"),
    ]

    (first, second, third) = invalid(problems).document.errors

    assert [msgspec.to_builtins(each.source) for each in (first, second, third)] == [
        {"pointer": "/data/observes/0"},
        {"pointer": "/data/a.b/c~1d/e~0f"},
        {"pointer": "/data"},
    ]
    assert first.detail == "/data/observes/0: is unknown"
    assert {each.status for each in (first, second, third)} == {422}


def test_the_whole_body_has_an_empty_pointer() -> None:
    (error,) = invalid([Refusal("", "expected an object")], under="").document.errors

    assert (error.detail, msgspec.to_builtins(error.source)) == ("expected an object", {"pointer": ""})


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (60.0, "60")])
def test_retry_after_is_never_too_early(seconds: float, header: str) -> None:
    assert retry_later(429, "too many", seconds).headers == {"Retry-After": header}


def test_oauths_errors_have_both_shapes() -> None:
    assert shown(OAuthError(401, "invalid_client", "unknown")) == {
        "errors": [{"status": 401, "title": "Unauthorized", "detail": "unknown"}],
        "error": "invalid_client",
        "error_description": "unknown",
    }
