"""Forms of the console: what they change, what they refuse and in which words, and that a secret is never repeated."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import pytest
from requests import Response

from tests.console.pages import AT, ERP, JOB
from tests.console.play import EVENT_ID, PARTS
from tests.console.stage import OTHER, STORE, Stage, staged
from tests.console.visitor import Visitor, signed_in, words
from worker.domain.api_token import Role
from worker.domain.event import event_ref
from worker.domain.job import job_id
from worker.ledger.events.inbox import rejection

SECRET = "correct-horse-battery"
WEBHOOK = {
    "integration_type": "webhook",
    "name": "CRM",
    "observes": "order.paid",
    "configuration.url": "https://crm.example/in",
    "configuration.secret_key": SECRET,
}


@pytest.fixture(scope="module")
def admin(stage: Stage) -> Visitor:
    return signed_in(stage, Role.ADMIN, STORE)


@pytest.fixture(scope="module")
def operator(stage: Stage) -> Visitor:
    return signed_in(stage, Role.ADMIN, None)


def send(visitor: Visitor, path: str, fields: Mapping[str, str]) -> Response:
    """Send a form whose fields have names that Python's arguments cannot have."""
    return visitor.post(path, None, **fields)


def created(admin: Visitor) -> str:
    """Create an integration; return its path."""
    answer = send(admin, "/integrations/new", WEBHOOK)
    assert answer.status_code == 303, words(answer.text)
    return answer.headers["Location"].removeprefix("/console")


def test_an_integration_is_created_and_its_secret_shown_to_nobody(admin: Visitor) -> None:
    path = created(admin)
    for shown in (f"{path}?tab=settings", f"{path}/edit", f"{path}?tab=changes"):
        page = admin.get(shown).text
        assert SECRET not in page, shown
    assert "https://crm.example/in" in admin.get(f"{path}?tab=settings").text


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "name"),
        ({"observes": "order.payed"}, "order.paid"),
        ({"configuration.url": "ftp://crm.example/"}, "http"),
        ({"rate_limit": "fast"}, "rate_limit"),
        ({"rate_limit": "-1"}, "rate_limit"),
    ],
)
def test_a_wrong_field_is_named_and_what_was_entered_is_kept_except_secrets(
    admin: Visitor, fields: dict[str, str], problem: str
) -> None:
    answer = send(admin, "/integrations/new", WEBHOOK | {"description": "my words"} | fields)
    assert answer.status_code == 422
    assert 'class="problem"' in answer.text
    assert problem in answer.text
    assert "my words" in answer.text
    assert SECRET not in answer.text


def test_an_unknown_type_has_no_form(admin: Visitor) -> None:
    assert admin.get("/integrations/new?type=pigeon").status_code == 404
    assert send(admin, "/integrations/new", WEBHOOK | {"integration_type": "pigeon"}).status_code == 404


def test_a_mask_that_is_sent_back_keeps_the_secret_and_an_old_form_changes_nothing(
    stage: Stage, admin: Visitor
) -> None:
    path = created(admin)
    integration_id = path.rpartition("/")[2]
    (before,) = stage.do(stage.api.ledger.integrations.get([integration_id]))
    masked = stage.api.services.integration_service.shown(before).configuration["secret_key"]
    fields = WEBHOOK | {"name": "renamed", "configuration.secret_key": masked, "revision": "1"}
    assert send(admin, f"{path}/edit", fields).status_code == 303
    (after,) = stage.do(stage.api.ledger.integrations.get([integration_id]))
    service = stage.api.services.integration_service
    assert (after.name, after.revision) == ("renamed", 2)
    assert service.shown(after, reveal=True).configuration["secret_key"] == SECRET
    answer = send(admin, f"{path}/edit", fields | {"name": "too late"})
    assert answer.status_code == 409
    assert "Somebody changed this integration after you opened it" in answer.text
    assert send(admin, f"{path}/edit", fields | {"name": "", "revision": "2"}).status_code == 422
    assert send(admin, f"{path}/edit", fields | {"revision": "two"}).status_code == 400


def test_a_switch_changes_what_it_names_and_a_deleted_integration_is_gone(admin: Visitor) -> None:
    path = created(admin)
    assert admin.post(f"{path}/switch", what="explode", revision="1").status_code == 400
    for revision, what in enumerate(("disable", "enable", "pause", "resume"), 1):
        assert admin.post(f"{path}/switch", what=what, revision=str(revision)).status_code == 303
    assert "Healthy" in words(admin.get(path).text)
    assert admin.post(f"{path}/switch", what="delete", revision="1").status_code == 409
    assert admin.post(f"{path}/switch", what="delete", revision="5").status_code == 303
    assert admin.get(path).status_code == 404


def test_a_delivery_is_retried_at_once_by_its_own_integration_alone(stage: Stage, admin: Visitor) -> None:
    job = job_id(event_ref(STORE, "order-122-paid"), PARTS[0].id)
    other = f"/integrations/{PARTS[1].id}/jobs/{job}/retry"
    assert admin.post(other).status_code == 404
    assert admin.post(f"{ERP}/jobs/{job}/retry").status_code == 303
    (found,) = stage.do(stage.api.ledger.jobs.get([job]))
    now = stage.do(stage.api.ledger.membership.read()).now
    assert found.due_at is not None
    assert found.due_at <= now
    assert admin.post(f"{ERP}/jobs/{uuid4()}/retry").status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "problem"),
    [
        ({"state": "lost"}, 400, "no known state"),
        ({"since": "yesterday"}, 422, "Expected a date and time in UTC"),
        ({"since": "2026-02-01T00:00", "till": "2026-01-01T00:00"}, 422, "beginning is after the end"),
        ({"step": "run", "cursor": "x", "key": "k"}, 400, "cannot be read"),
        ({"key": "k" * 40}, 400, "cannot be read"),
    ],
)
def test_a_wrong_redelivery_is_refused_in_words(
    admin: Visitor, fields: dict[str, str], status: int, problem: str
) -> None:
    answer = send(admin, f"{ERP}/redeliver", {"state": "failed"} | fields)
    assert (answer.status_code, problem in answer.text) == (status, True)


def test_a_redelivery_counts_first_and_then_runs_with_the_same_choice(stage: Stage, admin: Visitor) -> None:
    path = f"/integrations/{PARTS[2].id}"
    choice = {"state": "succeeded", "since": "2020-01-01T00:00"}
    counted = send(admin, f"{path}/redeliver", choice)
    assert "Nothing has been sent yet" in counted.text
    jobs = stage.do(stage.api.ledger.jobs.of_integration(PARTS[2].id, 0, 50)).items
    assert not [each for each in jobs if each.epoch]
    done = send(admin, f"{path}/redeliver", choice | {"step": "run", "key": str(uuid4())})
    assert f"{len(jobs)} deliveries are due again." in words(done.text)
    again = stage.do(stage.api.ledger.jobs.of_integration(PARTS[2].id, 0, 50)).items
    assert {each.epoch for each in again} == {1}


def test_a_rejected_message_is_mended_and_published(stage: Stage, operator: Visitor) -> None:
    text = '{"id": "mended", "type": "order.payed", "store_id": "store-7", "org_id": "acme", "data": {"id": "1"}}'
    at = stage.do(stage.api.ledger.membership.read()).now
    stage.do(stage.api.ledger.inbox.reject([rejection("type", "unknown key", text.encode(), at, "queue edw.intake")]))
    wrong = operator.post("/rejected", message=text)
    assert wrong.status_code == 422
    assert "order.payed" in wrong.text
    done = operator.post("/rejected", message=text.replace("payed", "paid"))
    assert done.status_code == 200
    assert 'href="/console/events/mended?org=acme&amp;store=store-7"' in done.text
    assert operator.get(f"/events/mended{AT}").status_code == 200


def test_a_token_is_shown_once_works_and_ends_when_it_is_revoked(stage: Stage, admin: Visitor) -> None:
    assert admin.post("/tokens", role="king", name="x").status_code == 400
    made = admin.post("/tokens", role="read", name="Ada's laptop")
    (token,) = [each for each in words(made.text).split() if each.startswith("edw_")]
    assert token not in admin.get("/tokens").text
    reader = Visitor(stage.url)
    assert reader.sign_in(token).status_code == 303
    token_id = token.split("_")[1]
    theirs = stage.new_token(Role.READ, OTHER).split("_")[1]
    assert admin.post(f"/tokens/{theirs}/revoke").status_code == 404
    assert admin.post(f"/tokens/{'0' * 16}/revoke").status_code == 404
    assert admin.post(f"/tokens/{token_id}/revoke").status_code == 303
    assert reader.get().status_code == 303
    assert "revoked the token Ada's laptop" in words(admin.get("/audit").text)


def test_a_search_opens_what_an_id_names_in_the_own_store_alone(
    stage: Stage, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The attempt is not among the first that are read.
    monkeypatch.setattr("worker.console.pages.search_page.LOGS_PER_READ", 2)
    log = stage.do(stage.api.ledger.logs.of_job(JOB, 0, 1)).items[0]
    other = signed_in(stage, Role.READ, OTHER)
    for text, address in (
        (PARTS[0].id, ERP),
        (JOB, f"/events/{EVENT_ID}"),
        (log.id, f"{ERP}/jobs/{JOB}/attempts/{log.attempt}"),
        (EVENT_ID, f"/events/{EVENT_ID}"),
    ):
        assert admin.get(f"/search?q={text}").headers["Location"] == f"/console{address}"
    for text in (PARTS[0].id, JOB, log.id):
        assert other.get(f"/search?q={text}").status_code == 200, text
    assert admin.get(f"/search?q={uuid4()}").status_code == 200


def test_the_place_of_a_queue_or_a_broker_is_searched_too(stage: Stage, admin: Visitor) -> None:
    async def plant() -> None:
        (found,) = await stage.api.ledger.integrations.get([PARTS[11].id])
        broker = {"addresses": ["stomp://broker.acme.example:61613"]}
        await stage.api.ledger.integrations.put(replace(found, integration_type="stomp", configuration=broker))

    stage.do(plant())
    assert "Price list stomp://broker.acme.example:61613" in words(admin.get("/search?q=broker.acme").text)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"x=" + b"y" * (513 * 1024), "application/x-www-form-urlencoded", 413),
        (b"x=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(2_001)), "application/x-www-form-urlencoded", 400),
    ],
    ids=["json", "large", "bytes", "fields"],
)
def test_what_is_no_form_of_ours_is_refused(admin: Visitor, body: bytes, kind: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}
    answer = admin.session.post(f"{admin.url}/tokens", body, headers=headers, timeout=60)
    assert answer.status_code == status
    assert "Content-Security-Policy" in answer.headers


def test_while_the_ledger_is_away_every_page_says_so() -> None:
    with staged() as stage:
        visitor = signed_in(stage, Role.ADMIN, STORE)
        stage.stop_ledger()
        answer = visitor.get("/integrations")
        assert answer.status_code == 503
        assert "The ledger does not answer" in answer.text
        assert visitor.get("/static/no-such-file.css").status_code == 404
