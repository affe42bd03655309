"""A reader who follows the links sees every record once, in both directions."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UnsetType

from worker.api.api_errors import ApiError
from worker.api.paging import LARGEST_LIMIT, LARGEST_OFFSET, LIMIT, OFFSET, Collection, Paging

PATH = "/v2/integrations"
totals = st.integers(0, 400)
limits = st.integers(1, LARGEST_LIMIT)


def read(paging: Paging, records: list[int]) -> Collection[int]:
    items = records[paging.offset : paging.offset + paging.limit]
    return paging.collection(items, len(records), PATH)


def followed(link: str) -> Paging:
    return Paging.of(dict(parse_qsl(urlsplit(link).query)))


def pages(records: list[int], start: Paging, name: str) -> Iterator[Collection[int]]:
    page = read(start, records)
    yield page
    while not isinstance(link := getattr(page.links, name), UnsetType):
        page = read(followed(link), records)
        yield page


@given(totals, limits)
def test_following_next_visits_every_record_once_and_ends_at_last(total: int, limit: int) -> None:
    records = list(range(total))
    found = list(pages(records, Paging(0, limit), "next"))

    assert [record for page in found for record in page.data] == records
    assert [page.meta.current for page in found] == list(range(1, len(found) + 1))
    assert all(page.meta.total == len(found) or total == 0 for page in found)
    lasts = [page.links.last for page in found if not isinstance(page.links.last, UnsetType)]
    assert all(read(followed(last), records) == found[-1] for last in lasts)
    assert len(lasts) == (len(found) if len(found) > 1 else 0)


@given(totals, limits, st.integers(0, 500))
def test_from_anywhere_next_ends_where_last_leads_and_prev_at_the_first_record(
    total: int, limit: int, offset: int
) -> None:
    records = list(range(total))
    forward = list(pages(records, Paging(offset, limit), "next"))
    back = list(pages(records, Paging(offset, limit), "prev"))

    assert [record for page in forward for record in page.data] == records[offset:]
    if offset < total and not isinstance(last := forward[0].links.last, UnsetType):
        assert read(followed(last), records).data == forward[-1].data
    assert back[-1].meta.offset == 0
    assert {record for page in back for record in page.data} >= set(records[:offset])


@given(st.dictionaries(st.sampled_from([LIMIT, OFFSET, "page"]), st.text() | st.integers().map(str)))
def test_whatever_a_query_says_it_is_a_page_or_an_api_error(query: dict[str, str]) -> None:
    try:
        paging = Paging.of(query)
    except ApiError as error:
        assert error.status == 400
    else:
        assert 1 <= paging.limit <= LARGEST_LIMIT
        assert 0 <= paging.offset <= LARGEST_OFFSET
