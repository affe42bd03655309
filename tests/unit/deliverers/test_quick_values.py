"""Frozen values with a faster `__init__`: nothing else about them differs."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from deliverers.quick_values import quickly_made


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    self_: int
    size: int = 3
    note: str = field(default="", compare=False)
    more: tuple[int, ...] = field(default_factory=tuple)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    self_: int
    size: int = 3
    note: str = field(default="", compare=False)
    more: tuple[int, ...] = field(default_factory=tuple)


def test_it_takes_the_same_arguments_and_looks_the_same() -> None:
    for plain, quick in (
        (Plain("a", 1), Quick("a", 1)),
        (Plain("a", self_=1, size=2, note="n", more=(4,)), Quick("a", self_=1, size=2, note="n", more=(4,))),
    ):
        assert repr(quick) == repr(plain).replace("Plain", "Quick")
        assert hash(quick) == hash(plain)


def test_it_is_compared_copied_and_changed_as_before() -> None:
    one = Quick("a", 1, note="n")

    assert one == Quick("a", 1, note="another") != Quick("b", 1)
    assert replace(one, size=4) == Quick("a", 1, 4)
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    match one:
        case Quick(name, number):
            assert (name, number) == ("a", 1)


def test_it_is_frozen_and_a_missing_argument_is_named() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick("a", 1).size = 4  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError, match=r"Quick.__init__\(\) missing 1 required positional argument: 'self_'"):
        Quick("a")  # type: ignore[call-arg]  # one is missing


def test_fields_that_it_does_not_know_are_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Named:
        name: str = field(kw_only=True)

    with pytest.raises(TypeError, match=r"Named\.name"):
        quickly_made(Named)


def test_each_object_has_a_list_of_its_own() -> None:
    @quickly_made
    @dataclass(frozen=True, slots=True)
    class Listed:
        names: list[str] = field(default_factory=list)

    one = Listed()
    one.names.append("a")
    assert (one.names, Listed().names, Listed(["b"]).names) == (["a"], [], ["b"])


def test_a_value_without_slots_is_the_same() -> None:
    @dataclass(frozen=True)
    class Loose:
        name: str
        more: tuple[int, ...] = field(default_factory=tuple)
        note: str = field(default="", compare=False)

    quick = quickly_made(Loose)

    one = quick("a", note="n")
    assert (one, one.note, vars(one)) == (Loose("a"), "n", {"name": "a", "more": (), "note": "n"})
    assert replace(one, more=(1,)) == quick("a", (1,)) != one
    with pytest.raises(FrozenInstanceError):
        one.name = "b"  # type: ignore[misc]  # it is frozen
