"""Pages: what is taken of a query, and which links a page has (the specification's PaginationLinks)."""

from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from worker.api.api_errors import ApiError
from worker.api.paging import LARGEST_OFFSET, Collection, Filtered, PageLinks, Paging

PATH = "/v2/integrations"


def page(offset: int, limit: int, total: int, *, last: bool = True) -> Collection[int]:
    items = list(range(total))[offset : offset + limit]
    return Paging(offset, limit).collection(items, total, PATH, last=last)


def names(links: PageLinks) -> set[str]:
    return set(msgspec.to_builtins(links))


def test_without_parameters_it_is_the_first_25() -> None:
    assert Paging.of({}) == Paging(0, 25)


def test_both_can_be_named() -> None:
    assert Paging.of({"page[limit]": "100", "page[offset]": "7"}) == Paging(7, 100)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page[limit]", each) for each in ("0", "101", "-1", "", "ten", "1.0", "1e1", " 5", "+5", "٣", "²")],
        *[("page[offset]", each) for each in ("-1", "", "x", str(LARGEST_OFFSET + 1), "9" * 5_000, "٣")],
    ],
)
def test_what_is_no_such_number_is_refused_by_the_name_of_the_parameter(name: str, value: str) -> None:
    with pytest.raises(ApiError) as refused:
        Paging.of({name: value})

    (error,) = refused.value.document.errors
    assert error.status == refused.value.status == 400
    assert msgspec.to_builtins(error.source) == {"parameter": name}
    assert name in error.detail


def test_leading_zeros_are_a_number_too() -> None:
    assert Paging.of({"page[limit]": "025"}).limit == 25


def test_the_only_page_has_no_links() -> None:
    assert names(page(0, 25, 25).links) == set()
    assert names(page(0, 25, 0).links) == set()


def test_the_first_page_of_several_has_next_and_last_alone() -> None:
    assert names(page(0, 10, 25).links) == {"next", "last"}


def test_a_page_in_the_middle_has_all_four() -> None:
    assert names(page(10, 10, 25).links) == {"first", "prev", "next", "last"}


def test_the_last_page_has_no_next() -> None:
    assert names(page(20, 10, 25).links) == {"first", "prev", "last"}


def test_logs_have_no_last() -> None:
    assert names(page(10, 10, 25, last=False).links) == {"first", "prev", "next"}


def test_a_page_behind_the_end_leads_back() -> None:
    found = page(100, 10, 25)

    assert found.data == []
    assert names(found.links) == {"first", "prev", "last"}


def test_prev_never_begins_before_the_first_record() -> None:
    assert dict(parse_qsl(urlsplit(str(page(5, 10, 25).links.prev)).query))["page[offset]"] == "0"


def test_meta_says_which_page_of_how_many_it_is() -> None:
    found = page(20, 10, 25)

    place = {"limit": 10, "offset": 20, "current": 3, "total": 3}
    # Some of the platform's clients read `meta.page` and `meta.results`, and page until they say that it is the last.
    assert msgspec.to_builtins(found.meta) == place | {"page": place, "results": {"total": 25}}
    assert found.results.total == 25


def test_links_keep_the_filter_and_quote_what_would_end_it() -> None:
    found = Paging(0, 1).collection([1], 2, PATH, {"filter": "eq(event_id,a&b=c d#é)"})

    assert dict(parse_qsl(urlsplit(str(found.links.next)).query)) == {
        "filter": "eq(event_id,a&b=c d#é)",
        "page[offset]": "1",
        "page[limit]": "1",
    }


def test_a_filter_without_an_index_says_how_far_it_looked() -> None:
    found: Collection[int] = Paging().collection([], 0, PATH, filtered=Filtered(10_000, cut=True))

    assert msgspec.to_builtins(found.meta)["filter"] == {"scanned": 10_000, "cut": True}
