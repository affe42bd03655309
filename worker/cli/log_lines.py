"""IntegrationLogs as people read them: one line for each attempt, or everything about one."""

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from worker.cli.cli_session import scope_words
from worker.cli.console import cells, table, verdict
from worker.cli.integration_names import name_in
from worker.domain.event import Scope, rfc3339
from worker.domain.humanize import duration, one_line
from worker.domain.integration_log import IntegrationLog

#: Characters of a log's id that a line shows; `edw logs show` accepts them.
ID_CHARS = 8
#: Characters of a name and of an event's type in a line of the table.
NAME_CHARS = 16
TYPE_CHARS = 16


def lines_table(
    logs: Iterable[IntegrationLog], names: Mapping[str, str], scopes: Mapping[str, Scope] | None = None
) -> Table:
    """Return a table with one line for each log, which fits 100 columns.

    Args:
        logs: The logs.
        names: Names of their integrations, by id.
        scopes: By log id, the scope of each log; adds a column if given.
    """
    whole = ["log", "created (UTC)", "try", "code", "took"]
    columns = ["log", "created (UTC)", "integration", "event", "try", "code", "took", "outcome"]
    listing = table(*columns[:2], *(["of"] if scopes else []), *columns[2:], right=["try"], whole=whole)
    for log in logs:
        listing.add_row(
            *cells(log.id[:ID_CHARS], _short_time(log)),
            *([_cut(scope_words(scopes[log.id]), NAME_CHARS)] if scopes else []),
            _cut(name_in(names, log.integration_id), NAME_CHARS),
            _cut(log.event_type, TYPE_CHARS),
            *cells(log.attempt, log.status_code, took(log)),
            _on_one_line(verdict(log.succeeded, "delivered", one_line(log.error_detail, 200) or "failed")),
        )
    return listing


def attempts_table(logs: Iterable[IntegrationLog]) -> Table:
    """Return a table of one job's logs."""
    columns = ("log", "try", "code", "took", "created", "outcome", "body")
    listing = table(*columns, right=["try"], whole=["log", "took", "created"])
    for log in logs:
        listing.add_row(
            *cells(log.id[:ID_CHARS], log.attempt, log.status_code, took(log), rfc3339(log.created_at)),
            verdict(log.succeeded, "delivered", one_line(log.error_detail, 200) or "failed"),
            *cells(one_line(log.body, 60)),
        )
    return listing


def details_table(log: IntegrationLog, name: str) -> Table:
    """Return everything about one log."""
    rows = {
        "log": log.id,
        "event": f"{log.event_type} {log.event_id}",
        "integration": f"{name} {log.integration_id}",
        "job": log.job_id,
        "attempt": log.attempt,
        "created": rfc3339(log.created_at),
        "outcome": "delivered" if log.succeeded else log.error_detail,
        "status code": log.status_code,
        "took": took(log),
        "answer": log.body,
    }
    details = table("attribute", "value")
    details.show_header = False
    for label, value in rows.items():
        details.add_row(*cells(label, value))
    return details


def followed_line(log: IntegrationLog, name: str) -> Text:
    """Return the line that `edw logs --follow` prints for a log."""
    line = Text(f"{log.id[:ID_CHARS]}  {rfc3339(log.created_at)}  ")
    line.append_text(verdict(log.succeeded, "delivered", "failed"))
    line.append(f"  {log.status_code or '-'}  {one_line(name, NAME_CHARS)}  {log.event_type}  attempt {log.attempt}")
    line.append(f"  {took(log)}")
    return line if log.succeeded else line.append(f"  {one_line(log.error_detail, 200)}")


def took(log: IntegrationLog) -> str:
    """Return how long the attempt took."""
    return duration(log.processing_time * 1000)


def _short_time(log: IntegrationLog) -> str:
    """Return the time without year and milliseconds: `11-28 23:21:46`."""
    return rfc3339(log.created_at)[5:19].replace("T", " ")


def _cut(text: str, chars: int) -> Text:
    return _on_one_line(*cells(one_line(text, chars)))


def _on_one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
