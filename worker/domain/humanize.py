"""Durations, sizes, counts and received text, formatted for people."""

from config.text_escaping import visible

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def duration(milliseconds: float) -> str:
    """Return a duration in its two largest units: `850 ms`, `12 s`, `3 min 20 s`, `2 d 4 h`."""
    whole = round(milliseconds)
    for index, (size, unit) in enumerate(_UNITS):
        if whole >= size:
            text = f"{whole // size} {unit}"
            if index + 1 == len(_UNITS):
                return text
            smaller, name = _UNITS[index + 1]
            rest = whole % size // smaller
            return f"{text} {rest} {name}" if rest else text
    return f"{whole} ms"


def due(age: int) -> str:
    """Return how long something has been due (`age`, in ms), or, for a negative `age`, when it will be due."""
    return f"for {duration(age)}" if age >= 0 else f"in {duration(-age)}"


def size(count: int) -> str:
    """Return a number of bytes in the largest fitting unit: `1.5 MiB`."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def counted(count: int, one: str) -> str:
    """Return a number with its noun, whose plural ends in s: `1 job`, `1,000 jobs`."""
    return f"{count:,} {one if count == 1 else one + 's'}"


def one_line(text: str, limit: int) -> str:
    """Return received text on one line of at most `limit` characters, with invisible characters made visible."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
