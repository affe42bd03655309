"""Sessions of the console: how they begin and end, what their cookies and forms must be, and what they may not do."""

import pytest

from tests.console.play import PARTS
from tests.console.stage import OTHER, STORE, Stage, staged
from tests.console.visitor import Visitor, signed_in, words
from tests.samples import an_event
from worker.api.services.access import ATTEMPTS
from worker.console.console_routes import ROUTES
from worker.domain.api_token import Role, Token, TokenKind, descendant_of, digest_of, make_secret, new_id, read, written
from worker.domain.event import Scope, event_ref

INTEGRATION = f"/integrations/{PARTS[0].id}"


@pytest.fixture
def visitor(stage: Stage) -> Visitor:
    return Visitor(stage.url)


def test_a_session_is_a_cookie_of_an_hour_that_only_our_own_pages_send(stage: Stage, visitor: Visitor) -> None:
    token = stage.token(Role.READ, STORE)
    answer = visitor.sign_in(token)
    cookie = answer.headers["Set-Cookie"]
    assert answer.status_code == 303
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/console", "Max-Age=3600"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert token not in cookie


def test_behind_tls_the_cookie_is_sent_over_tls_alone(stage: Stage, visitor: Visitor) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Proto": "https"}
    answer = visitor.post("/sign-in", headers, token=stage.token(Role.READ, STORE))
    assert "; Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["", "/now", "/integrations", INTEGRATION, "/tokens", "/fleet", "/rejected"])
def test_without_a_session_every_page_asks_to_sign_in(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in")


def test_signing_out_ends_the_session_on_the_server(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.READ, STORE))
    cookie = visitor.session.cookies.copy()
    assert visitor.post("/sign-out").status_code == 303
    visitor.session.cookies.update(cookie)
    assert visitor.get().status_code == 303


def test_revoking_the_token_ends_its_sessions(stage: Stage, visitor: Visitor) -> None:
    token = stage.new_token(Role.ADMIN, STORE)
    visitor.sign_in(token)
    assert visitor.get().status_code == 200
    parts = read(token)
    assert parts
    assert stage.do(stage.api.ledger.tokens.revoke(parts[0]))
    assert visitor.get().status_code == 303


@pytest.mark.parametrize(
    ("role", "platform", "expected"), [(Role.PUBLISH, False, 403), (Role.PUBLISH, True, 403), (Role.READ, False, 303)]
)
def test_only_tokens_that_may_read_a_store_open_a_session(
    stage: Stage, visitor: Visitor, role: Role, platform: bool, expected: int
) -> None:
    token = stage.new_token(role, None if platform else STORE, platform=platform)
    assert visitor.sign_in(token).status_code == expected


def test_a_sessions_cookie_is_no_token_of_the_api(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.ADMIN, STORE))
    cookie = visitor.session.cookies["edw_console"]
    headers = {"Authorization": f"Bearer {cookie}"}
    assert visitor.session.get(f"{stage.api.url}/v2/integrations", headers=headers, timeout=60).status_code == 401


def test_an_operators_token_is_not_valid_for_the_api(stage: Stage, visitor: Visitor) -> None:
    headers = {"Authorization": f"Bearer {stage.token(Role.ADMIN, None)}"}
    answer = visitor.session.get(f"{stage.api.url}/v2/integrations", headers=headers, timeout=60)
    assert answer.status_code == 403
    assert "opens the console only" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
    ],
)
def test_a_form_from_elsewhere_is_refused(stage: Stage, visitor: Visitor, headers: dict[str, str]) -> None:
    visitor.sign_in(stage.token(Role.ADMIN, STORE))
    answer = visitor.post(f"{INTEGRATION}/switch", headers, what="disable", revision="1")
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_a_form_of_the_same_origin_is_accepted_by_either_header(stage: Stage, visitor: Visitor) -> None:
    origin = stage.api.url
    assert visitor.post("/sign-in", {"Origin": origin}, token=stage.token(Role.READ, STORE)).status_code == 303


def test_a_form_of_another_session_is_refused(stage: Stage, visitor: Visitor) -> None:
    other = signed_in(stage, Role.ADMIN, STORE)
    visitor.sign_in(stage.token(Role.ADMIN, STORE))
    for token in (other.form_token, "", "x"):
        visitor.form_token = token
        answer = visitor.post(f"{INTEGRATION}/switch", what="disable", revision="1")
        assert answer.status_code == 403
    (found,) = stage.do(stage.api.ledger.integrations.get([PARTS[0].id]))
    assert found.enabled


def test_no_form_at_all_is_accepted_without_a_session_from_elsewhere_or_with_another_sessions_token(
    stage: Stage,
) -> None:
    forms = [route for route in ROUTES if route.method == "POST" and route.role is not None and route.name != "signOut"]
    assert len(forms) >= 12
    operator, nobody, other = (Visitor(stage.url) for _ in range(3))
    operator.sign_in(stage.token(Role.ADMIN, None))
    other.sign_in(stage.token(Role.ADMIN, STORE))
    job = stage.do(stage.api.ledger.jobs.of_integration(PARTS[0].id, 0, 1)).items[0]
    names = {"integration": PARTS[0].id, "job": job.id, "event": "order-118-paid", "token": "0" * 16}
    before = stage.do(stage.api.ledger.status.read()).counters
    for route in forms:
        path = route.path.format_map(names) + "?org=acme&store=store-7"
        assert nobody.post(path).headers["Location"] == "/console/sign-in", route.name
        assert operator.post(path, {"Sec-Fetch-Site": "cross-site"}).status_code == 403, route.name
        assert operator.post(path, form_token=other.form_token).status_code == 403, route.name
        assert operator.post(path, form_token="").status_code == 403, route.name
    assert stage.do(stage.api.ledger.status.read()).counters == before
    kept = stage.do(stage.api.ledger.events.show(event_ref(STORE, "order-118-paid"), 0, 1))
    assert kept
    assert not kept.stored.erased


def test_a_form_that_is_sent_twice_changes_nothing_the_second_time(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.ADMIN, OTHER))
    path = f"/integrations/{PARTS[8].id}"
    answers = [visitor.post(f"{path}/switch", what="pause", revision="1").status_code for _ in range(2)]
    assert answers == [303, 409]
    (found,) = stage.do(stage.api.ledger.integrations.get([PARTS[8].id]))
    assert (found.paused, found.revision) == (True, 2)


def test_the_role_read_changes_nothing(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.READ, STORE))
    forms = [f"{INTEGRATION}/{form}" for form in ("switch", "test", "redeliver", "edit")]
    for path in (
        *forms,
        "/integrations/new",
        "/tokens",
        "/events/order-123-paid/redeliver",
        "/events/order-123-paid/erase",
    ):
        assert visitor.post(path, what="disable", revision="1").status_code == 403, path


@pytest.mark.parametrize("path", ["/fleet", "/rejected", "/stores"])
def test_pages_of_operators_are_not_there_for_a_stores_admin(stage: Stage, visitor: Visitor, path: str) -> None:
    visitor.sign_in(stage.token(Role.ADMIN, STORE))
    assert visitor.get(path).status_code == 404


def test_two_stores_see_nothing_of_each_other(stage: Stage) -> None:
    mine, theirs = Visitor(stage.url), Visitor(stage.url)
    mine.sign_in(stage.token(Role.ADMIN, STORE))
    theirs.sign_in(stage.token(Role.ADMIN, OTHER))
    job = stage.do(stage.api.ledger.jobs.of_integration(PARTS[0].id, 0, 1)).items[0]
    of_mine = [
        INTEGRATION,
        f"{INTEGRATION}?tab=settings",
        f"{INTEGRATION}/edit",
        f"{INTEGRATION}/redeliver",
        f"{INTEGRATION}/jobs/{job.id}/attempts/1",
    ]
    for path in of_mine:
        assert mine.get(path).status_code == 200, path
        assert theirs.get(path).status_code == 404, path
    assert theirs.post(f"{INTEGRATION}/switch", what="disable", revision="1").status_code == 404
    assert theirs.post(f"{INTEGRATION}/jobs/{job.id}/retry").status_code == 404
    for path in ("", "/integrations", "/attempts", "/integrations?org=acme&store=store-7", "/search?q=acme.example"):
        text = theirs.get(path).text
        assert "erp.acme.example" not in text, path
        assert "wms.acme" not in text, path
    assert "erp.globex.example" in theirs.get("/integrations").text


def test_every_answer_has_the_strict_headers(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.ADMIN, STORE))
    for path in ("", "/sign-in", "/no-such-page", "/integrations", "/static/console.css"):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_find_nothing(stage: Stage, visitor: Visitor, method: str) -> None:
    assert visitor.session.request(method, stage.url, timeout=60).status_code == 404


def test_a_head_request_is_answered_like_a_get_without_its_body(stage: Stage, visitor: Visitor) -> None:
    visitor.sign_in(stage.token(Role.READ, STORE))
    answer = visitor.session.head(f"{stage.url}/integrations", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")


def link_of(stage: Stage, token: str, **attributes: object) -> str:
    """A one-time link into the console, as a platform makes it; the part behind /console."""
    client = stage.api.client(token)
    answer = stage.do(client.post("/v2/console/links", {"data": attributes} if attributes else None))
    assert answer.status == 201, answer.raw
    return str(answer.data["url"]).removeprefix(stage.url)


def test_a_link_opens_the_console_once_and_only_by_its_form(stage: Stage, visitor: Visitor) -> None:
    path = link_of(stage, stage.token(Role.ADMIN, STORE))
    for _ in range(3):
        # What a preview of the link does.
        assert visitor.get(path).status_code == 200
    link = path.partition("link=")[2]
    assert visitor.post("/enter", link=link).status_code == 303
    assert "store-7" in visitor.get().text
    assert Visitor(stage.url).post("/enter", link=link).status_code == 403


def test_the_link_of_a_newcomer_shows_their_newest_event(stage: Stage, visitor: Visitor) -> None:
    # As `edw dev` makes it.
    secret = make_secret()
    link = Token(new_id(), TokenKind.OPERATOR, Role.ADMIN, Scope(), digest=digest_of(secret), operator=True)
    stage.do(stage.api.ledger.tokens.put(link))
    once = descendant_of(link, TokenKind.LINK, new_id(), secret)
    assert stage.do(stage.api.ledger.tokens.open_session(once, 60))
    stage.do(stage.api.ledger.inbox.accept([an_event("my-first-event", Scope())]))
    opened = visitor.post("/enter", link=written(once.id, secret))
    assert opened.headers["Location"] == "/console?org=&store="
    page = words(visitor.get("?org=&store=").text)
    assert "Newest events of the only store" in page
    assert "my-first-event" in page


def test_a_link_gives_the_role_that_was_asked_for_and_makes_no_tokens(stage: Stage, visitor: Visitor) -> None:
    path = link_of(stage, stage.token(Role.ADMIN, STORE), role="admin", expires_in=60)
    visitor.post("/enter", link=path.partition("link=")[2])
    assert visitor.get(f"{INTEGRATION}/edit").status_code == 200
    assert visitor.post("/tokens", role="admin", name="mine").status_code == 403
    reader = Visitor(stage.url)
    reader.post("/enter", link=link_of(stage, stage.token(Role.ADMIN, STORE)).partition("link=")[2])
    assert reader.get(f"{INTEGRATION}/edit").status_code == 403


def test_revoking_the_token_ends_its_links_and_their_sessions(stage: Stage, visitor: Visitor) -> None:
    token = stage.new_token(Role.ADMIN, STORE)
    used, unused = link_of(stage, token), link_of(stage, token)
    visitor.post("/enter", link=used.partition("link=")[2])
    parts = read(token)
    assert parts
    stage.do(stage.api.ledger.tokens.revoke(parts[0]))
    assert visitor.get().status_code == 303
    assert visitor.post("/enter", link=unused.partition("link=")[2]).status_code == 403


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"role": "publish"}, "/data/role"),
        ({"expires_in": 5}, "/data/expires_in"),
        ({"expires_in": "60"}, "/data/expires_in"),
        ({"expires_in": True}, "/data/expires_in"),
        ({"rol": "read"}, "/data/rol"),
    ],
)
def test_a_wrong_link_is_refused_in_words(stage: Stage, attributes: dict[str, object], pointer: str) -> None:
    client = stage.api.client(stage.token(Role.ADMIN, STORE))
    answer = stage.do(client.post("/v2/console/links", {"data": attributes}))
    assert (answer.status, answer.pointers) == (422, [pointer])


def test_a_token_of_another_kind_is_no_way_in(stage: Stage, visitor: Visitor) -> None:
    client = stage.do(stage.api.token(Role.ADMIN, STORE, kind=TokenKind.CLIENT))
    link = link_of(stage, stage.token(Role.ADMIN, STORE)).partition("link=")[2]
    for token in (client, link, "edw_", "x" * 5_000, ""):
        assert visitor.post("/sign-in", token=token).status_code == 403
    assert visitor.post("/enter", link=stage.token(Role.ADMIN, STORE)).status_code == 403


def test_attempts_to_sign_in_are_limited_like_bad_tokens() -> None:
    with staged() as stage:
        visitor = Visitor(stage.url)
        answers = [visitor.post("/sign-in", token=f"edw_{'0' * 16}_{'a' * 43}").status_code for _ in range(ATTEMPTS)]
        assert set(answers) == {403}
        refused = visitor.post("/sign-in", token=stage.token(Role.READ, STORE))
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1


def test_where_a_site_may_embed_the_console_its_cookie_is_partitioned() -> None:
    with staged(EDW_CONSOLE_FRAME_ANCESTORS="https://admin.example.com https://ops.example.com:8443") as stage:
        visitor = Visitor(stage.url)
        answer = visitor.sign_in(stage.token(Role.READ, STORE))
        assert "SameSite=None; Secure; Partitioned" in answer.headers["Set-Cookie"]
        policy = visitor.get("/sign-in").headers["Content-Security-Policy"]
        assert policy.endswith("frame-ancestors https://admin.example.com https://ops.example.com:8443")
