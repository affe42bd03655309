"""Pages and filters of what the ledger lists: complete, one round trip each, and honest about what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.api_client import Answer, Api, Client
from tests.ledger import inspection, surgery
from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Verdict
from worker.ledger.lanes.log_records import LogRecords
from worker.ledger.pages import Page

ALL = "/v2/integrations"
#: Nothing has such an id.
NOBODY = "2da46671-b4c2-44ac-b133-d1221aafc77b"


@pytest.fixture
async def integration(admin: Client) -> str:
    return str((await admin.create())["id"])


async def tried(scene: LedgerScene, integration: str, verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, str]:
    """A job for each event, tried with these verdicts in turn; answers event → job."""
    jobs = {event: (await scene.owe(integration, event))[0] for event in verdicts}
    left = {jobs[event]: list(each) for event, each in verdicts.items()}
    while any(left.values()):
        for claim in await scene.claim(integration):
            # A job that nothing more happens to stays due, far off.
            verdict = left[claim.job_id].pop(0)
            last = not left[claim.job_id]
            await scene.settle(claim, verdict, delay=3600 if last else 0)
    return jobs


SUCCEEDED, RETRY, FAILED = Verdict.SUCCEEDED, Verdict.RETRY, Verdict.FAILED


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.raw
    return [each["id"] for each in answer.data]


async def walk(client: Client, path: str, **query: Any) -> list[Answer]:
    """Every page, by following `next`."""
    pages = [await client.get(path, **query)]
    while following := pages[-1].document["links"].get("next"):
        pages.append(await client.get(following))
    return pages


# Pages


async def test_following_next_finds_every_integration_once_the_newest_first(api: Api, admin: Client) -> None:
    created = [(await admin.create(name=f"number {n}"))["id"] for n in range(7)]
    await surgery.list_integrations_in_order(api.ledger, SCOPE, created)
    pages = await walk(admin, ALL, limit=3)
    assert [len(page.data) for page in pages] == [3, 3, 1]
    assert [each for page in pages for each in ids(page)] == created[::-1]
    places = [{"limit": 3, "offset": offset, "current": n, "total": 3} for n, offset in ((1, 0), (2, 3), (3, 6))]
    assert [page.document["meta"]["page"] for page in pages] == places
    assert [page.document["meta"] | place for page, place in zip(pages, places, strict=True)] == [
        page.document["meta"] for page in pages
    ]
    assert {page.document["results"]["total"] for page in pages} == {7}
    middle = pages[1].document["links"]
    assert ids(await admin.get(middle["first"])) == ids(pages[0])
    assert ids(await admin.get(middle["prev"])) == ids(pages[0])
    assert ids(await admin.get(middle["last"])) == ids(pages[2])


async def test_following_next_finds_every_log_and_every_job_once(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await tried(scene, integration, {f"e-{n}": [RETRY, SUCCEEDED] for n in range(5)})
    own = f"{ALL}/{integration}"
    for path in (f"{ALL}/logs", f"{own}/logs"):
        logs = [each for page in await walk(admin, path, limit=4) for each in page.data]
        assert len({each["id"] for each in logs}) == len(logs) == 10
        times = [each["meta"]["timestamps"]["created_at"] for each in logs]
        assert times == sorted(times, reverse=True)
    listed = [each for page in await walk(admin, f"{own}/jobs", limit=2) for each in page.data]
    assert sorted(each["id"] for each in listed) == sorted(jobs.values())
    opened = [each["meta"]["timestamps"]["created_at"] for each in listed]
    assert opened == sorted(opened, reverse=True)
    (first, *_) = jobs.values()
    attempts = [
        each["attempt"] for page in await walk(admin, f"{own}/jobs/{first}/logs", limit=1) for each in page.data
    ]
    assert attempts == [2, 1]


EMPTY = {"limit": 25, "offset": 0, "current": 1, "total": 0}


async def test_an_empty_listing_is_a_page_without_links(admin: Client, integration: str) -> None:
    for path in (f"{ALL}/logs", f"{ALL}/{integration}/logs", f"{ALL}/{integration}/jobs"):
        assert (await admin.get(path)).document == {
            "data": [],
            "meta": EMPTY | {"page": EMPTY, "results": {"total": 0}},
            "results": {"total": 0},
            "links": {},
        }


async def test_a_page_has_25_records_unless_asked_otherwise_and_100_at_most(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    for start in range(0, 120, 40):
        await scene.owe(integration, *(f"e-{n}" for n in range(start, start + 40)))
    path = f"{ALL}/{integration}/jobs"
    assert len((await admin.get(path)).data) == 25
    assert len((await admin.get(path, limit=100)).data) == 100
    assert len((await admin.get(path, offset=100)).data) == 20
    beyond = await admin.get(path, offset=500)
    assert (beyond.data, beyond.document["results"]["total"]) == ([], 120)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page[limit]", value) for value in ("0", "101", "-1", "x", "1.5", "", " 5", "٥", "9" * 5000, "+5", "1e1")],
        *[("page[offset]", value) for value in ("-1", "x", "", "1000000001", "9" * 30, "0x1")],
    ],
)
async def test_a_limit_or_offset_that_is_none_is_refused_by_its_name(
    admin: Client, integration: str, name: str, value: str
) -> None:
    for path in (ALL, f"{ALL}/logs", f"{ALL}/{integration}/logs", f"{ALL}/{integration}/jobs", "/v2/events/e-1"):
        answer = await admin.ask("GET", path, query={name: value})
        assert answer.status == 400, answer.raw
        (error,) = answer.errors
        assert error["source"] == {"parameter": name}
        assert "a whole number from" in error["detail"]


async def test_links_lead_where_clients_see_the_api_and_keep_the_filter(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await tried(scene, integration, {f"e-{n}": [FAILED] for n in range(3)})
    given = "eq(succeeded,false):ge(created_at,2020-01-01T00:00:00Z)"
    page = await admin.get(f"{ALL}/logs", limit=1, filtered=given)
    assert page.document["links"]["next"] == f"{ALL}/logs?filter={given}&page[offset]=1&page[limit]=1"
    whole = await walk(admin, f"{ALL}/logs", limit=1, filtered=given)
    assert len(whole) == 3


# What the indexes name and is gone


async def test_an_integration_whose_record_is_gone_takes_no_place_and_leaves_the_index(api: Api, admin: Client) -> None:
    created = [(await admin.create())["id"] for _ in range(6)]
    for each in created[::2]:
        await surgery.forget_integration(api.ledger, each)
    # The page is as full as it can be, and one that reaches the end leaves nothing behind.
    assert set(ids(await admin.get(ALL, limit=3))) == set(created[1::2])
    page = await admin.get(ALL)
    assert (page.document["results"]["total"], page.document["links"]) == (3, {})
    assert await inspection.indexed_integrations(api.ledger, SCOPE) == 3


async def test_jobs_and_logs_that_retention_has_dropped_take_no_place(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await tried(scene, integration, {f"e-{n}": [FAILED] for n in range(6)})
    dropped = list(jobs.values())[::2]
    for job in dropped:
        await surgery.forget_log(scene.ledger, job, 1)
    for path in (f"{ALL}/logs", f"{ALL}/{integration}/logs"):
        assert len((await admin.get(path, limit=3)).data) == 3
        page = await admin.get(path)
        assert (page.document["results"]["total"], page.document["links"]) == (3, {})
    assert await inspection.indexed_logs(scene.ledger, SCOPE, integration) == (3, 3)
    failures = await admin.get(f"{ALL}/logs", filtered="eq(succeeded,false)")
    assert (len(failures.data), failures.document["results"]["total"]) == (3, 3)
    # The jobs' records go too, and with them everything that names them. Each was its event's last job.
    for job in dropped:
        event = (await scene.job(job)).event_ref
        await surgery.forget_job(scene.ledger, job)
        await surgery.forget_event(scene.ledger, event)
    path = f"{ALL}/{integration}/jobs"
    assert sorted(ids(await admin.get(path, limit=3))) == sorted(list(jobs.values())[1::2])
    page = await admin.get(path)
    assert (page.document["results"]["total"], page.document["links"]) == (3, {})


async def test_logs_are_read_by_their_job_for_as_long_as_they_are_kept(
    api: Api, admin: Client, scene: LedgerScene, integration: str
) -> None:
    """By default a job's record goes a day after its end, and its logs after three."""
    other = str((await admin.create())["id"])
    jobs = await tried(scene, integration, {"e-1": [RETRY, RETRY, FAILED], "e-2": [SUCCEEDED]})
    path = f"{ALL}/{integration}/jobs/{jobs['e-1']}/logs"
    before = await admin.get(path)
    assert [each["attempt"] for each in before.data] == [3, 2, 1]
    forgetful = await scene.another(event_retention=0)
    assert await forgetful.fleet.forget() == len(jobs)
    assert await scene.ledger.jobs.get(list(jobs.values())) == []
    assert (await admin.get(path)).document == before.document
    assert [each["attempt"] for each in (await admin.get(path, limit=1, offset=1)).data] == [2]
    await surgery.forget_log(scene.ledger, jobs["e-1"], 3)
    assert [each["attempt"] for each in (await admin.get(path)).data] == [2, 1]
    # They are no other integration's, and nobody else's.
    assert (await admin.get(path.replace(integration, other))).status == 404
    assert (await (await api.someone(scope=ELSEWHERE)).get(path)).status == 404
    assert (await admin.get(path.replace(jobs["e-1"], NOBODY))).status == 404
    # A ledger has no logs of jobs that it never had.
    for attempt in (1, 2):
        await surgery.forget_log(scene.ledger, jobs["e-1"], attempt)


# Round trips


@pytest.mark.parametrize(
    "path",
    [
        "{all}",
        "{all}/logs",
        "{all}/logs?filter=eq(succeeded,false)",
        "{all}/{integration}/logs",
        "{all}/{integration}/jobs",
        "{all}/{integration}/jobs/{job}/logs",
        "{all}/{integration}/jobs?filter=eq(state,failed)",
        "{all}/logs?filter=eq(succeeded,true)",
    ],
)
async def test_a_listing_page_is_one_round_trip_and_logs_need_a_second_for_their_exchanges(
    api: Api, admin: Client, scene: LedgerScene, integration: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long this test takes, the token was looked up by then.
    monkeypatch.setattr("worker.api.services.access.FRESH_SECONDS", 3600)
    jobs = await tried(scene, integration, {f"e-{n}": [FAILED] for n in range(30)})
    written = path.format(all=ALL, integration=integration, job=jobs["e-0"])
    # Redis knows the script from now on, and the API the token.
    before = await admin.get(written)
    async with inspection.round_trips(api.ledger) as commands:
        after = await admin.get(written)
    has_logs = path.partition("?")[0].endswith("/logs") and before.data
    assert list(dict.fromkeys(commands)) == ["EVALSHA", "HGET"] if has_logs else ["EVALSHA"]
    assert commands.count("EVALSHA") == 1
    assert after.raw == before.raw


async def test_a_token_that_is_not_known_yet_costs_one_more(api: Api, reader: Client) -> None:
    await (await api.someone()).get(ALL)
    async with inspection.round_trips(api.ledger) as commands:
        await reader.get(ALL)
    # The request waits for the look-up and the list; beside them, the use of the token is noted.
    assert commands == ["EVALSHA", "EVALSHA", "EVALSHA"]


async def test_a_page_of_an_events_jobs_is_two_round_trips_however_many_they_are(
    api: Api, admin: Client, scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.api.services.access.FRESH_SECONDS", 3600)
    lanes = [(await admin.create())["id"] for _ in range(20)]
    await scene.open(await scene.publish("e-1"), *lanes)
    await admin.get("/v2/events/e-1")
    async with inspection.round_trips(api.ledger) as commands:
        assert len((await admin.get("/v2/events/e-1", limit=20)).data["jobs"]) == 20
    # The names of the integrations are read together.
    assert commands == ["EVALSHA", "EVALSHA"]


# Filters


@pytest.fixture
async def variety(admin: Client, scene: LedgerScene) -> dict[str, Any]:
    """Two integrations, and jobs that fared differently."""
    first, second = str((await admin.create())["id"]), str((await admin.create())["id"])
    of_first = await tried(
        scene, first, {"good": [SUCCEEDED], "late": [RETRY, RETRY, SUCCEEDED], "bad": [FAILED], "waits": [RETRY]}
    )
    of_second = await tried(scene, second, {"other": [RETRY, FAILED]})
    return {"first": first, "second": second, "jobs": of_first | {f"2:{name}": job for name, job in of_second.items()}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("eq(succeeded,true)", [("good", 1), ("late", 3)]),
        ("eq(succeeded,false)", [("bad", 1), ("late", 1), ("late", 2), ("other", 1), ("other", 2), ("waits", 1)]),
        ("gt(attempt,1)", [("late", 2), ("late", 3), ("other", 2)]),
        ("ge(attempt,3)", [("late", 3)]),
        ("lt(attempt,2):eq(succeeded,true)", [("good", 1)]),
        ("le(attempt,2):gt(attempt,1)", [("late", 2), ("other", 2)]),
        ("eq(status_code,200)", [("good", 1), ("late", 3)]),
        ("lt(status_code,999)", [("good", 1), ("late", 3)]),
        ("eq(event_id,late)", []),
        ("eq(triggered_by,order.paid):eq(attempt,3)", [("late", 3)]),
        ("eq(triggered_by,order.created)", []),
        ("gt(processing_time,0.005):eq(attempt,3)", [("late", 3)]),
        ("lt(processing_time,0.005)", []),
        ("ge(created_at,2020-01-01T00:00:00Z):eq(attempt,3)", [("late", 3)]),
        ("lt(created_at,2020-01-01T00:00:00Z)", []),
        ("eq(integration_id,{second})", [("other", 1), ("other", 2)]),
        ("eq(job_id,{late})", [("late", 1), ("late", 2), ("late", 3)]),
        ('eq(job_id,"{late}"):eq(succeeded,false)', [("late", 1), ("late", 2)]),
        ("eq(succeeded,false):eq(succeeded,true)", []),
        ("eq(succeeded,false):ge(attempt,2)", [("late", 2), ("other", 2)]),
    ],
)
async def test_a_filter_of_logs_finds_exactly_what_fulfils_it(
    reader: Client, variety: dict[str, Any], condition: str, expected: list[tuple[str, int]]
) -> None:
    names = {job: name.removeprefix("2:") for name, job in variety["jobs"].items()}
    written = condition.format(second=variety["second"], late=variety["jobs"]["late"])
    answer = await reader.get(f"{ALL}/logs", filtered=written)
    assert answer.status == 200, answer.raw
    found = [(names[each["relationships"]["job"]["data"]["id"]], each["attempt"]) for each in answer.data]
    assert sorted(found) == expected
    assert answer.document["results"]["total"] == len(expected)


async def test_filters_work_on_each_listing_of_logs(reader: Client, variety: dict[str, Any]) -> None:
    own = f"{ALL}/{variety['first']}"
    assert len((await reader.get(f"{own}/logs", filtered="eq(succeeded,false)")).data) == 4
    job = f"{own}/jobs/{variety['jobs']['late']}/logs"
    assert [each["attempt"] for each in (await reader.get(job, filtered="le(attempt,2)")).data] == [2, 1]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("eq(state,succeeded)", ["good", "late"]),
        ("eq(state,pending)", ["waits"]),
        ("eq(state,failed):eq(reason,exhausted)", ["bad"]),
        ("eq(state,cancelled)", []),
        ("ge(attempts,3)", ["late"]),
        ("eq(event_id,bad)", ["bad"]),
        ("eq(triggered_by,order.paid):lt(attempts,2):eq(state,succeeded)", ["good"]),
        # What has no such time fulfils no condition on it.
        ("ge(ended_at,2020-01-01T00:00:00Z)", ["bad", "good", "late"]),
        ("ge(next_attempt_at,2020-01-01T00:00:00Z)", ["waits"]),
        ("gt(created_at,2020-01-01T00:00:00Z):eq(event_id,bad)", ["bad"]),
    ],
)
async def test_a_filter_of_jobs_finds_exactly_what_fulfils_it(
    reader: Client, variety: dict[str, Any], condition: str, expected: list[str]
) -> None:
    answer = await reader.get(f"{ALL}/{variety['first']}/jobs", filtered=condition)
    assert answer.status == 200, answer.raw
    assert sorted(each["event_id"] for each in answer.data) == expected
    assert answer.document["results"]["total"] == len(expected)


async def test_failures_of_a_store_come_from_their_index_and_nothing_else_is_scanned(
    api: Api, reader: Client, scene: LedgerScene, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the window is: what has an index needs none, and its total is that of all."""
    monkeypatch.setattr("worker.api.handlers.log_handlers.WINDOW", 2)
    monkeypatch.setattr("worker.api.handlers.log_handlers.CHUNK", 2)
    jobs = await tried(scene, integration, {"old": [FAILED], **{f"new-{n}": [SUCCEEDED] for n in range(9)}})

    async def scanned(*_: Any) -> None:
        raise AssertionError("the store's logs were read")

    monkeypatch.setattr(LogRecords, "of_scope", scanned)
    answer = await reader.get(f"{ALL}/logs", filtered="eq(succeeded,false)")
    assert [each["relationships"]["job"]["data"]["id"] for each in answer.data] == [jobs["old"]]
    assert answer.document["results"] == {"total": 1}
    assert "filter" not in answer.document["meta"]


async def test_a_filter_without_an_index_says_how_much_it_looked_at_and_that_there_was_more(
    reader: Client, scene: LedgerScene, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.api.handlers.log_handlers.WINDOW", 6)
    monkeypatch.setattr("worker.api.handlers.log_handlers.CHUNK", 3)
    await tried(scene, integration, {f"e-{n}": [SUCCEEDED] for n in range(10)})
    own = f"{ALL}/{integration}"
    for path, condition in (
        (f"{ALL}/logs", "eq(attempt,1)"),
        (f"{own}/logs", "eq(succeeded,true)"),
        (f"{own}/jobs", "eq(attempts,1)"),
    ):
        answer = await reader.get(path, filtered=condition, limit=4)
        assert answer.document["meta"]["filter"] == {"scanned": 6, "cut": True}
        assert answer.document["results"]["total"] == 6
        assert [len(page.data) for page in await walk(reader, path, filtered=condition, limit=4)] == [4, 2]


@pytest.mark.parametrize("count", [0, 2, 3, 5, 6])
async def test_a_window_that_holds_all_is_not_cut(
    reader: Client, scene: LedgerScene, integration: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("worker.api.handlers.log_handlers.WINDOW", 6)
    monkeypatch.setattr("worker.api.handlers.log_handlers.CHUNK", 3)
    await tried(scene, integration, {f"e-{n}": [SUCCEEDED] for n in range(count)})
    answer = await reader.get(f"{ALL}/logs", filtered="eq(attempt,1)")
    assert answer.document["meta"]["filter"] == {"scanned": count, "cut": False}
    assert answer.document["results"]["total"] == count


async def test_what_comes_while_a_filter_looks_lists_nothing_twice(
    reader: Client, scene: LedgerScene, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.api.handlers.log_handlers.CHUNK", 2)
    await tried(scene, integration, {f"e-{n}": [SUCCEEDED] for n in range(6)})
    read, new = LogRecords.of_scope, iter(range(2))

    async def read_and_go_on(logs: LogRecords, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        page = await read(logs, scope, offset, limit)
        if (n := next(new, None)) is not None:
            await tried(scene, integration, {f"new-{n}": [SUCCEEDED]})
        return page

    monkeypatch.setattr(LogRecords, "of_scope", read_and_go_on)
    answer = await reader.get(f"{ALL}/logs", filtered="eq(attempt,1)")
    assert len(ids(answer)) == len(set(ids(answer))) == answer.document["results"]["total"] == 6


async def test_failures_with_another_condition_are_scanned_among_the_failures_alone(
    reader: Client, scene: LedgerScene, integration: str
) -> None:
    await tried(scene, integration, {"bad": [FAILED], **{f"good-{n}": [SUCCEEDED] for n in range(5)}})
    answer = await reader.get(f"{ALL}/logs", filtered="eq(succeeded,false):eq(attempt,1)")
    assert len(answer.data) == 1
    assert answer.document["meta"]["filter"] == {"scanned": 1, "cut": False}


@pytest.mark.parametrize(
    ("listing", "condition", "words"),
    [
        ("logs", "succeeded", "operator(field,value)"),
        ("logs", "eq(succeeded)", "operator(field,value)"),
        ("logs", "eq(succeeded,false", "operator(field,value)"),
        ("logs", "eq(succeeded,false);eq(attempt,1)", "joined by colons"),
        ("logs", "eq(succeeded,false):", "operator(field,value)"),
        ("logs", ":".join(["eq(attempt,1)"] * 11), "at most 10"),
        ("logs", "like(body,x)", '"like" is not an operator'),
        ("logs", "eq(sucseeded,false)", 'did you mean "succeeded"'),
        ("logs", "eq(body,x)", "cannot be filtered by"),
        ("logs", "eq(succeeded,no)", "true or false"),
        ("logs", "gt(succeeded,false)", "cannot be ordered"),
        ("logs", "eq(attempt,one)", "a number"),
        ("logs", "eq(attempt,nan)", "a number"),
        ("logs", "eq(created_at,yesterday)", "RFC 3339"),
        ("logs", "eq(created_at,2026-11-24T00:00:00)", "RFC 3339"),
        ("logs", "gt(event_id,x)", "cannot be ordered"),
        ("jobs", "eq(state,done)", "pending or succeeded"),
        ("jobs", "eq(succeeded,false)", "cannot be filtered by"),
        ("jobs", "eq(state,failed)\n", "joined by colons"),
    ],
)
async def test_a_filter_that_is_none_is_refused_with_what_is_wrong(
    admin: Client, integration: str, listing: str, condition: str, words: str
) -> None:
    paths = [f"{ALL}/{integration}/{listing}"]
    if listing == "logs":
        paths += [f"{ALL}/logs", f"{ALL}/{integration}/jobs/{NOBODY}/logs"]
    for path in paths:
        answer = await admin.get(path, filtered=condition)
        assert answer.status == 400, answer.raw
        (error,) = answer.errors
        assert error["source"] == {"parameter": "filter"}
        assert words in error["detail"]


async def test_a_filter_that_is_no_text_is_answered_in_shape(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await tried(scene, integration, {f"e-{n}": [FAILED] for n in range(2)})
    for raw in ("%FF", "eq(job_id,%FF)", "eq(job_id,%00)", "eq(job_id,%ED%A0%80)"):
        answer = await admin.get(f"{ALL}/logs?filter={raw}")
        assert answer.status in (200, 400), answer.raw


async def test_a_filter_where_there_is_none_is_refused_and_not_ignored(admin: Client) -> None:
    made = await admin.create()
    for path in ("/v2/integrations/attributes", f"/v2/integrations/{made['id']}"):
        answer = await admin.get(path, filtered="eq(enabled,false)")
        assert answer.status == 400
        assert answer.errors[0]["source"] == {"parameter": "filter"}
