"""The README's table of settings, generated from the settings themselves.

`python -m config.settings_table --write README.md` renews it; `--check README.md` fails if it is stale.
"""

import sys
from pathlib import Path
from typing import Any

from config.settings import Settings, kind, variable

BEGIN = "<!-- settings:begin -->"
END = "<!-- settings:end -->"
_USAGE = "usage: python -m config.settings_table [--write FILE | --check FILE]"


def settings_table() -> str:
    """Return the table in Markdown: variable, default, kind and description."""
    rows = ["| variable | default | kind | what it is for |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (f"`{variable(name)}`", _default(field.default), kind(field), field.description or "")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def with_table(document: str) -> str:
    """Return the document with the table between its marks. Raises ValueError if the marks are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def main(arguments: list[str]) -> str | None:
    """Run the command line; return an error message if it fails."""
    match arguments:
        case []:
            sys.stdout.write(settings_table() + "\n")
        case ["--write", name]:
            file = Path(name)
            file.write_text(with_table(file.read_text()))
        case ["--check", name]:
            content = Path(name).read_text()
            if content != with_table(content):
                return f"{name}: the table of settings is stale; run python -m config.settings_table --write {name}"
        case _:
            return _USAGE
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
