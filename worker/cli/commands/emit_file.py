"""`edw emit --file`: publishes many events in batches; a bad line is reported, and the others are published."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from stat import S_ISREG
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from worker.cli.cli_session import EXIT_FAILED, EXIT_NO_REDIS, CommandFailure, read_settings, reported_errors
from worker.cli.console import console, print_json
from worker.cli.lines import Line, lines_of
from worker.domain.batches import batches
from worker.domain.event import Refusal
from worker.ledger import LedgerError, LedgerFull
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET
from worker.publisher import Publisher, Receipt
from worker.telemetry.tracing import exporting


@dataclass(slots=True)
class EmitTally:
    """The results of the lines so far."""

    accepted: int = 0
    duplicates: int = 0
    differing: int = 0
    refused: list[tuple[int, Refusal]] = field(default_factory=list)
    #: The last line that was processed.
    line: int = 0

    def add(self, line: Line, answer: Receipt | Refusal) -> None:
        """Count the result of a line."""
        self.line = line.number
        match answer:
            case Refusal():
                self.refused.append((line.number, answer))
            case Receipt(differs=True):
                self.differing += 1
            case Receipt(duplicate=True):
                self.duplicates += 1
            case _:
                self.accepted += 1

    def __str__(self) -> str:
        differing = f" (and {self.differing:,} with other content than the known event)" if self.differing else ""
        return f"accepted {self.accepted:,}, duplicates {self.duplicates:,}{differing}, refused {len(self.refused):,}"


def emit_file(file: Any, as_json: bool) -> None:
    """Publish an NDJSON file. Exits with 1 if a line was refused; raises CommandFailure if it had to stop early."""
    settings = read_settings()
    tally = EmitTally()
    with (
        reported_errors(),
        exporting(settings, "edw-emit"),
        Publisher(settings) as publisher,
        _progress(file) as (progress, step),
    ):
        lines = lines_of(file, settings.event_max_bytes)
        for batch in batches(lines, MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET, lambda line: len(line.content)):
            for line, answer in zip(batch, _offer(publisher, batch, tally), strict=True):
                tally.add(line, answer)
                if isinstance(answer, Refusal):
                    progress.console.print(Text(f"line {line.number}: {answer}"), soft_wrap=True)
            step(sum(line.size for line in batch))
    if as_json:
        print_json(_document(tally))
    else:
        console().print(Text(str(tally)))
    if tally.refused:
        raise SystemExit(EXIT_FAILED)


def _offer(publisher: Publisher, batch: Sequence[Line], tally: EmitTally) -> list[Receipt | Refusal]:
    good = [line for line in batch if not line.cut]
    try:
        answers = iter(publisher.publish_many([line.content for line in good]))
    except LedgerError as error:
        raise _stopped(error, batch, tally) from error
    return [_too_long(line) if line.cut else next(answers) for line in batch]


def _too_long(line: Line) -> Refusal:
    return Refusal("", f"the line has {line.size:,} bytes, which is more than an event may have")


def _stopped(error: LedgerError, batch: Sequence[Line], tally: EmitTally) -> CommandFailure:
    first, last = batch[0].number, batch[-1].number
    done = f"Lines up to {tally.line} were processed: {tally}." if tally.line else "No line was accepted."
    full = isinstance(error, LedgerFull)
    doubt = "" if full else f" Some of lines {first} to {last} may have been accepted; a repeated id is a duplicate."
    message = f"{error}\n{done}{doubt}\nContinue from line {first} later, for example with: tail -n +{first}"
    return CommandFailure(message, EXIT_FAILED if full else EXIT_NO_REDIS)


def _document(tally: EmitTally) -> dict[str, Any]:
    return {
        "accepted": tally.accepted,
        "duplicates": tally.duplicates,
        "differing": tally.differing,
        "refused": [{"line": line, "field": each.field, "reason": each.reason} for line, each in tally.refused],
    }


@contextmanager
def _progress(file: Any) -> Iterator[tuple[Progress, Callable[[int], None]]]:
    """Show a progress bar on standard error if it is a terminal; elsewhere only the text printed above the bar."""
    err = console(stderr=True)
    columns = (TextColumn("publishing"), BarColumn(), TaskProgressColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("publishing", total=_size(file))
        yield progress, lambda read: progress.advance(task, read)


def _size(file: Any) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return None
    # A pipe has no known size.
    return found.st_size if S_ISREG(found.st_mode) else None
