"""What commands print: tables and text for people, JSON for scripts."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from worker.domain.format import plain

#: Characters a line, where no terminal says otherwise.
WIDTH = 100

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def console(*, stderr: bool = False) -> Console:
    """Where to print: colours in a terminal, plain text elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDTH, highlight=False, markup=False, emoji=False)


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """An empty table; the columns named in `right` hold numbers, those in `whole` are never broken over lines."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return made


def cells(*values: object) -> Iterable[Text]:
    """Values as a table's cells; nothing in them is taken for markup. None is a dash."""
    return (Text("-" if value is None or value == "" else plain(str(value))) for value in values)


def verdict(good: bool, yes: str, no: str) -> Text:
    """A word in green or in red."""
    return Text(yes, "green") if good else Text(no, "bold red")


def print_json(document: object) -> None:
    """One JSON document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def print_json_line(document: object) -> None:
    """One JSON document on a line, at once."""
    click.echo(msgspec.json.encode(document).decode())
