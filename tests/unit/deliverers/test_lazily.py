"""Properties that are computed at their first use."""

from dataclasses import dataclass, field, replace

from deliverers.lazily import Lazily

computed: list[str] = []


@dataclass(frozen=True)
class Name:
    text: str
    other: int = field(default=0)

    @Lazily
    def shouted(self) -> str:
        """The name in capitals."""
        computed.append(self.text)
        return self.text.upper()


def test_a_property_is_computed_once_for_each_object() -> None:
    computed.clear()
    one, two = Name("one"), Name("two")

    assert [one.shouted, two.shouted, one.shouted] == ["ONE", "TWO", "ONE"]
    assert computed == ["one", "two"]


def test_a_changed_copy_has_its_own_and_what_was_computed_makes_no_two_objects_differ() -> None:
    one = Name("one")
    assert one.shouted == "ONE"

    assert replace(one, text="two").shouted == "TWO"
    assert one == Name("one")
