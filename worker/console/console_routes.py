"""The routes of the console: every page and every form."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.console.pages import (
    attempt_pages,
    audit_pages,
    entrance,
    event_list,
    event_pages,
    failing_page,
    filter_page,
    fleet_page,
    integration_actions,
    integration_pages,
    now_page,
    redelivery_pages,
    rejected_page,
    search_page,
    token_pages,
)
from worker.console.visit import Answer, PageRefusal, Visit
from worker.domain.api_token import Role


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page or a form."""

    name: str
    method: str
    path: str
    handler: Callable[[Visit], Awaitable[Answer]]
    #: The role that it needs; None if it needs no session.
    role: Role | None = Role.READ
    #: Whether it is for operators only.
    operator: bool = False

    def check(self, visit: Visit) -> None:
        """Raise PageRefusal unless the visitor may use it."""
        if self.operator and not visit.is_operator:
            raise PageRefusal(404, "Not found", "There is no such page.")
        if self.role is Role.ADMIN and not visit.is_admin:
            raise PageRefusal(403, "Not allowed", "Your role is read; the role admin is needed for this.")


_INTEGRATION = "/integrations/{integration}"
_ATTEMPT = _INTEGRATION + "/jobs/{job}"

ROUTES: tuple[PageRoute, ...] = (
    PageRoute("root", "GET", "", now_page.show),
    PageRoute("now", "GET", "/now", now_page.show),
    PageRoute("failing", "GET", "/failing", failing_page.show),
    PageRoute("signInForm", "GET", "/sign-in", entrance.form, None),
    PageRoute("signIn", "POST", "/sign-in", entrance.sign_in, None),
    PageRoute("linkForm", "GET", "/enter", entrance.link_form, None),
    PageRoute("enter", "POST", "/enter", entrance.enter, None),
    PageRoute("signOut", "POST", "/sign-out", entrance.sign_out),
    PageRoute("search", "GET", "/search", search_page.show),
    PageRoute("stores", "GET", "/stores", now_page.stores, operator=True),
    PageRoute("integrations", "GET", "/integrations", integration_pages.listing),
    PageRoute("newIntegration", "GET", "/integrations/new", integration_actions.new_form, Role.ADMIN),
    PageRoute("createIntegration", "POST", "/integrations/new", integration_actions.create, Role.ADMIN),
    PageRoute("integration", "GET", _INTEGRATION, integration_pages.show),
    PageRoute("editIntegration", "GET", _INTEGRATION + "/edit", integration_actions.edit_form, Role.ADMIN),
    PageRoute("updateIntegration", "POST", _INTEGRATION + "/edit", integration_actions.update, Role.ADMIN),
    PageRoute("switchIntegration", "POST", _INTEGRATION + "/switch", integration_actions.switch, Role.ADMIN),
    PageRoute("changeKeys", "POST", _INTEGRATION + "/keys", integration_actions.change_keys, Role.ADMIN),
    PageRoute("testIntegration", "POST", _INTEGRATION + "/test", integration_actions.test, Role.ADMIN),
    PageRoute("filter", "GET", _INTEGRATION + "/filter", filter_page.show, Role.ADMIN),
    PageRoute("tryFilter", "POST", _INTEGRATION + "/filter", filter_page.run, Role.ADMIN),
    PageRoute("redeliveryForm", "GET", _INTEGRATION + "/redeliver", redelivery_pages.form, Role.ADMIN),
    PageRoute("redeliver", "POST", _INTEGRATION + "/redeliver", redelivery_pages.run, Role.ADMIN),
    PageRoute("attempts", "GET", "/attempts", attempt_pages.listing),
    PageRoute("attempt", "GET", _ATTEMPT + "/attempts/{attempt}", attempt_pages.show),
    PageRoute("attemptBody", "GET", _ATTEMPT + "/attempts/{attempt}/body", attempt_pages.body, Role.ADMIN),
    PageRoute("retryJob", "POST", _ATTEMPT + "/retry", attempt_pages.retry, Role.ADMIN),
    PageRoute("events", "GET", "/events", event_list.show),
    PageRoute("event", "GET", "/events/{event}", event_pages.show),
    PageRoute("redeliverEvent", "POST", "/events/{event}/redeliver", event_pages.redeliver, Role.ADMIN),
    PageRoute("eraseForm", "GET", "/events/{event}/erase", event_pages.erase_form, Role.ADMIN),
    PageRoute("eraseEvent", "POST", "/events/{event}/erase", event_pages.erase, Role.ADMIN),
    PageRoute("rejected", "GET", "/rejected", rejected_page.show, Role.ADMIN, operator=True),
    PageRoute("publishAnew", "POST", "/rejected", rejected_page.publish, Role.ADMIN, operator=True),
    PageRoute("fleet", "GET", "/fleet", fleet_page.show, operator=True),
    PageRoute("runDoctor", "POST", "/fleet", fleet_page.run_doctor, operator=True),
    PageRoute("tokens", "GET", "/tokens", token_pages.show, Role.ADMIN),
    PageRoute("audit", "GET", "/audit", audit_pages.show, Role.ADMIN),
    PageRoute("createToken", "POST", "/tokens", token_pages.create, Role.ADMIN),
    PageRoute("revokeToken", "POST", "/tokens/{token}/revoke", token_pages.revoke, Role.ADMIN),
)
