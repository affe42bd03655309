"""The questions that people have: did the ERP get order 123, what did it answer, who changed this, and erase it."""

from dataclasses import replace

import pytest

from tests.console.pages import ERP, JOB, at_store
from tests.console.play import AUTHOR, EVENT_ID, PARTS
from tests.console.stage import OTHER, STORE, Stage
from tests.console.visitor import Visitor, signed_in, words
from tests.samples import an_event, an_integration
from worker.domain.api_token import Role
from worker.domain.event import event_ref
from worker.domain.job import JobState, job_id

ATTEMPT = f"{ERP}/jobs/{JOB}/attempts/3"
LOYALTY = PARTS[6]


@pytest.fixture(scope="module")
def admin(stage: Stage) -> Visitor:
    return signed_in(stage, Role.ADMIN, STORE)


@pytest.fixture(scope="module")
def reader(stage: Stage) -> Visitor:
    return signed_in(stage, Role.READ, STORE)


@pytest.fixture(scope="module")
def operator(stage: Stage) -> Visitor:
    return signed_in(stage, Role.ADMIN, None)


def test_a_search_for_a_resource_says_who_got_it_who_did_not_and_why(reader: Visitor) -> None:
    for text in ("order 123", "order/123", "order #123"):
        answer = reader.get(f"/search?q={text.replace('#', '%23')}")
        assert answer.headers["Location"].endswith("/console/events?type=order&id=123")
    page = words(reader.get("/events?type=order&id=123").text)
    assert "ERP owed next attempt in" in page
    assert "certificate expired on 2026-11-27" in page
    assert "Warehouse delivered" in page
    assert "Price list it does not observe this type" in page
    assert "Old ERP it is disabled, since" in page


def test_a_resource_of_another_store_is_not_found(stage: Stage) -> None:
    stage.do(stage.api.ledger.inbox.accept([an_event("secret", STORE, b'{"type":"order","id":"only-of-7"}')]))
    other = signed_in(stage, Role.ADMIN, OTHER)
    assert other.get("/search?q=order only-of-7").status_code == 200
    assert "No event of order only-of-7 is kept" in words(other.get("/events?type=order&id=only-of-7").text)
    for path in ("/events", "/events?org=acme&store=store-7", "/audit?org=acme&store=store-7"):
        text = other.get(path).text
        assert "secret" not in text, path
        assert "Old ERP" not in text, path


def test_a_search_for_a_url_finds_its_host(reader: Visitor, operator: Visitor) -> None:
    found = words(reader.get("/search?q=https://wms.acme.example/another/path").text)
    assert "Warehouse https://wms.acme.example/events" in found
    # An operator who has not chosen a store finds failing receivers of all stores, and may name a store.
    everywhere = words(operator.get("/search?q=erp.globex.example").text)
    assert "Among the failing receivers of all stores: ERP" in everywhere
    assert operator.get(at_store("/search?q=order 123")).status_code == 303


def test_an_attempt_has_its_request_and_its_answer(admin: Visitor) -> None:
    page = admin.get(f"{ATTEMPT}?tab=request").text
    shown = words(page)
    assert "POST https://erp.acme.example/hooks/orders to 203.0.113.7" in shown
    assert '-H "X-MOLTIN-SECRET-KEY: $X_MOLTIN_SECRET_KEY"' in shown
    assert "correct-horse" not in page
    assert "4bf92f3577b34da6a3ce929d0e0e4736" in shown, "its trace"
    assert "Connect" in shown
    failed = words(admin.get(at_loyalty()).text)
    assert "HTTP/1.1 500 Internal Server Error Content-Type application/json Server nginx/1.27" in failed
    assert "upstream connect error" in failed


def at_loyalty() -> str:

    return f"/integrations/{LOYALTY.id}/jobs/{job_id(event_ref(STORE, EVENT_ID), LOYALTY.id)}/attempts/1"


def test_the_body_of_a_request_is_saved_as_it_was_sent_by_admins_alone(
    stage: Stage, admin: Visitor, reader: Visitor
) -> None:
    answer = admin.get(f"{ATTEMPT}/body")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="body.json"'
    assert answer.json()["payload"]["data"]["total"] == {"amount": 10.0, "currency": "EUR"}
    assert b'"amount": 10.00' in answer.content, "as the producer wrote it"
    assert reader.get(f"{ATTEMPT}/body").status_code == 403
    page = reader.get(f"{ATTEMPT}?tab=request").text
    assert "ada@example.com" not in page
    assert "curl -X POST" in page


def test_only_an_operator_sees_which_worker_made_an_attempt(admin: Visitor, operator: Visitor) -> None:
    assert ", process " in words(operator.get(ATTEMPT).text)
    assert ", process " not in words(admin.get(ATTEMPT).text)


def test_who_disabled_an_integration_is_two_clicks_away(admin: Visitor, reader: Visitor) -> None:
    path = f"/integrations/{PARTS[10].id}"
    assert "Who disabled it?" in admin.get(path).text
    changes = words(admin.get(f"{path}?tab=changes").text)
    assert f"{AUTHOR.name} {AUTHOR.token_id} disabled" in changes
    assert f"{AUTHOR.name} {AUTHOR.token_id} disabled Old ERP" in words(admin.get("/audit").text)
    assert "created Warehouse" not in words(admin.get(f"/audit?subject={PARTS[10].id}").text)
    for hidden in (f"{path}?tab=changes", path):
        assert AUTHOR.name not in reader.get(hidden).text
    assert reader.get("/audit").status_code == 403


def test_what_is_done_in_the_console_is_in_the_audit_with_its_author(stage: Stage) -> None:
    visitor, path = Visitor(stage.url), f"/integrations/{PARTS[3].id}"
    token = stage.new_token(Role.ADMIN, STORE)
    visitor.sign_in(token)
    (found,) = stage.do(stage.api.ledger.integrations.get([PARTS[3].id]))
    assert visitor.post(f"{path}/switch", what="pause", revision=str(found.revision)).status_code == 303
    assert f"{token.split('_')[1]} paused Analytics" in words(visitor.get("/audit").text)


def test_an_event_is_erased_after_a_question(stage: Stage, admin: Visitor, reader: Visitor) -> None:
    event = f"/events/{EVENT_ID.replace('123', '120')}"
    assert reader.post(f"{event}/erase").status_code == 403
    asked = words(admin.get(f"{event}/erase").text)
    assert "3 of its deliveries wait: they are cancelled" in asked
    assert "paid" in admin.get(event).text
    assert admin.post(f"{event}/erase").status_code == 303
    page = admin.get(event).text
    assert "This event was erased" in page
    assert "ada@example.com" not in page
    assert "cancelled the event was erased" in words(page)
    history = stage.do(stage.api.ledger.events.show(event_ref(STORE, "order-120-paid"), 0, 100))
    assert history
    assert not [each for each in history.jobs if each.job.state is JobState.PENDING]
    assert "erased event order-120-paid" in words(admin.get("/audit").text)
    assert admin.get("/events/no-such-event/erase").status_code == 404
    # What was sent is gone too.
    job = history.jobs[0].job
    assert admin.get(f"/integrations/{job.integration_id}/jobs/{job.id}/attempts/1/body").status_code == 404


def test_an_event_is_redelivered_to_the_one_integration_that_was_chosen(stage: Stage, admin: Visitor) -> None:
    event, chosen = f"/events/{EVENT_ID.replace('123', '121')}", PARTS[1].id
    assert admin.post(f"{event}/redeliver", integration=chosen).status_code == 303
    history = stage.do(stage.api.ledger.events.show(event_ref(STORE, "order-121-paid"), 0, 100))
    assert history
    reopened = [each.job.integration_id for each in history.jobs if each.job.epoch]
    assert reopened == [chosen]
    assert admin.post(f"{event}/redeliver", integration="no-such").status_code == 303


def test_an_event_of_many_integrations_has_pages_of_them(stage: Stage) -> None:
    # In a scope of its own: 130 integrations, of which none observes the event's type.

    scope = replace(STORE, store_id="store-of-many")
    visitor = Visitor(stage.url)
    visitor.sign_in(stage.new_token(Role.READ, scope))

    async def plant() -> None:
        for number in range(130):
            made = an_integration(f"e0000000-0000-4000-8000-0000000{number:05}", scope=scope, name=f"Part {number}")
            await stage.api.ledger.integrations.put(replace(made, observes=("product.updated",)))
        await stage.api.ledger.inbox.accept([an_event("e-many", scope)])

    stage.do(plant())
    first = words(visitor.get("/events/e-many").text)
    assert "Not sent to 100 integrations, and why" in first
    assert "Part 129" in first
    second = words(visitor.get("/events/e-many?others=100").text)
    assert "Not sent to 30 integrations, and why" in second
    assert "Part 0 it does not observe this type" in second


def test_a_reason_has_a_page_of_its_receivers_across_stores(operator: Visitor, reader: Visitor) -> None:
    first = operator.get().text
    assert '/console/failing?reason=certificate+expired">certificate expired</a>' in first
    assert "in 2 stores" in first
    page = words(operator.get("/failing?reason=certificate expired").text)
    assert "2 integrations of 2 stores" in page
    assert "https://erp.globex.example/hooks" in page
    assert "Loyalty" not in page
    own = words(reader.get("/failing?reason=certificate expired").text)
    assert "1 integration of store-7 of acme" in own
    assert "globex" not in own
    assert "No receiver fails for this reason now." in reader.get("/failing?reason=no such").text
    assert "Nothing fails." in reader.get("/failing?from=500").text


def test_a_token_says_when_it_was_used_last(stage: Stage) -> None:
    visitor = Visitor(stage.url)
    unused, used = (stage.new_token(Role.ADMIN, STORE).split("_")[1] for _ in range(2))
    visitor.sign_in(stage.new_token(Role.ADMIN, STORE))
    stage.do(stage.api.ledger.tokens.note_use(used))
    rows = [words(row) for row in visitor.get("/tokens").text.split("<tr>")]
    states = {each: next(row for row in rows if each in row) for each in (unused, used)}
    assert "never" in states[unused]
    assert "never" not in states[used]
    # The session itself counts for the token that opened it.
    assert "never" not in next(row for row in rows if "(yours)" in row)


def test_a_process_shows_its_build_and_the_lag_of_its_event_loop(stage: Stage, operator: Visitor) -> None:
    membership = stage.api.ledger.membership
    stage.do(membership.attend("api", "9.8.7", 1.5))
    page = words(operator.get("/fleet").text)
    assert "1.5 s 9.8.7" in page
    stage.do(membership.attend("api", "9.8.7", 0.004))
    assert "4.0 ms 9.8.7" in words(operator.get("/fleet").text)
    stage.do(membership.leave("api"))


def test_an_operator_who_may_only_read_sees_all_stores_and_neither_payloads_nor_the_audit(stage: Stage) -> None:
    visitor = signed_in(stage, Role.READ, None)
    for scope in (STORE, OTHER):
        at = f"?org={scope.org_id}&store={scope.store_id}"
        page = visitor.get(f"/events/{EVENT_ID}{at}").text
        assert "Payloads are shown to the role admin" in page
        assert "ada@example.com" not in page
        assert "ERP" in visitor.get(f"/integrations{at}").text
    for path in ("/rejected", "/audit", "/tokens", f"{ATTEMPT}/body", f"/events/{EVENT_ID}/erase"):
        assert visitor.get(at_store(path)).status_code == 403, path
    assert visitor.get("/fleet").status_code == 200
