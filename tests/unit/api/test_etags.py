"""Lists of entity tags (RFC 9110, sections 5.6.1 and 13.1)."""

import pytest

from worker.api.etags import is_any, names, tag_of


@pytest.mark.parametrize(
    "header",
    ['"7"', ' "7" ', 'W/"7"', '"6", "7"', '"6","7"', ', ,"7"', '"a,b" , W/"7",', "*", " * ", '"7",junk', tag_of(7)],
)
def test_a_header_names_a_revision(header: str) -> None:
    assert names(header, 7)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        '"8"',
        "7",
        '"7',
        '7"',
        '"77"',
        '" 7"',
        '"7"x',
        'w/"7"',
        "'7'",
        '"a" "7"',
        "**",
        '"*"',
        '"٧"',
        '"7\n"',
        "\n",
        '"6",\n',
    ],
)
def test_a_header_names_no_such_revision(header: str | None) -> None:
    assert not names(header, 7)


def test_any_revision_is_named_by_a_star_alone() -> None:
    assert is_any(" * ")
    assert not is_any('"1", *')
