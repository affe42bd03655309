"""A parser, and what must hold of it whatever it is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Characters of a refusal: it names what was wrong, and does not repeat what was sent.
REFUSAL_MAX_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `check` raises for an input that breaks the contract: whatever it raises is a finding."""

    name: str
    check: Callable[[bytes], None]
    #: Pieces of which inputs are made: the parser's own words, and what is hard for it.
    words: tuple[bytes, ...]
    #: Inputs that are good, or nearly, to be changed.
    seeds: tuple[bytes, ...] = ()


def is_brief(text: str) -> None:
    """Check that a refusal is short, whatever was refused."""
    assert len(text) <= REFUSAL_MAX_CHARS, f"a refusal of {len(text)} characters"


@contextmanager
def refusing(*refusals: type[Exception]) -> Iterator[None]:
    """Allow the exceptions that a parser documents, and check that they are brief."""
    try:
        yield
    except refusals as error:
        is_brief(str(error))


def text_of(raw: bytes) -> str:
    """Return a header's text as aiohttp makes it: what is no UTF-8 comes as half surrogate pairs."""
    return raw.decode("utf-8", "surrogateescape")
