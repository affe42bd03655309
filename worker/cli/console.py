"""What commands print: tables and text for people, JSON for scripts."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from config.text_escaping import visible
from worker.cli.streams import styled
from worker.ledger.pages import Page

#: Characters per line outside a terminal.
WIDTH = 100

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


class VisibleConsole(Console):
    """A console that escapes invisible characters in whatever it renders, but not its own colours."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, with text made visible."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def console(*, stderr: bool = False) -> Console:
    """Return a console: colours in a terminal, plain text elsewhere."""
    stream = styled(sys.stderr if stderr else sys.stdout)
    width = None if stream.isatty() else WIDTH
    return VisibleConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)


def warn_if_away(page: Page[Any]) -> None:
    """Warn that a page has only what the ledger has."""
    if page.history_away:
        click.echo("warning: the history does not answer: older records may be missing", err=True)


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Return an empty table. Columns in `right` hold numbers; those in `whole` are never wrapped."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return made


def cells(*values: object) -> Iterable[Text]:
    """Return values as table cells, with no markup interpreted; None and empty text become a dash."""
    # Escaped here already, because the column's width depends on the shown text.
    return (Text("-" if value is None or value == "" else visible(str(value))) for value in values)


def verdict(good: bool, yes: str, no: str) -> Text:
    """Return a word in green (good) or red."""
    return Text(yes, "green") if good else Text(no, "bold red")


def print_json(document: object) -> None:
    """Print one JSON document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def print_json_line(document: object) -> None:
    """Print one JSON document on one line, at once."""
    click.echo(msgspec.json.encode(document).decode())
