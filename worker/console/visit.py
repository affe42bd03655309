"""A request for a page, and the answers to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from worker.console.console_services import ConsoleServices, Doctor
from worker.console.console_session import ConsoleSession
from worker.console.integration_directory import IntegrationDirectory
from worker.domain.api_token import Role, Token, TokenKind
from worker.domain.change import Actor
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger.pages import Page

Item = TypeVar("Item")

ROOT = "/console"
#: Records of a page.
PAGE = 25


class PageRefusal(Exception):
    """A request that fails; `detail` says why, and what to do."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})


def nothing_here(what: str) -> PageRefusal:
    """Return the refusal of something that does not exist, or belongs to another store."""
    return PageRefusal(404, "Not found", f"There is no {what} here, or it is no longer kept.")


@dataclass(frozen=True, slots=True)
class Html:
    """An answer: a template with its values."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeeOther:
    """An answer: the browser goes on to another page (303)."""

    location: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Download:
    """An answer: a file that the browser saves."""

    name: str
    content: bytes


Answer = Html | SeeOther | Download


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page; `params` are the parts of its path."""

    request: web.Request
    services: ConsoleServices
    directory: IntegrationDirectory
    session: ConsoleSession | None
    params: Mapping[str, str] = field(default_factory=dict)
    #: The fields of its form, and the fields that occur several times.
    form: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: None where the process cannot run the checks of `edw doctor`.
    doctor: Doctor | None = None
    now: int = field(default_factory=lambda: round(time() * 1000))

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""
        return self.request.query

    @property
    def token(self) -> Token:
        """The session's token."""
        assert self.session is not None  # noqa: S101  (pages for anybody do not ask for it)
        return self.session.token

    @property
    def actor(self) -> Actor:
        """The visitor as the audit names it: the token that opened the session."""
        return Actor(self.token.parent or self.token.id, self.token.name)

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator, who sees all stores."""
        return self.token.operator

    @property
    def is_admin(self) -> bool:
        """Whether it is an admin, who may change things and see payloads."""
        return self.token.role is Role.ADMIN

    @property
    def is_guest(self) -> bool:
        """Whether a one-time link opened the session."""
        return self.token.kind is TokenKind.GUEST

    @property
    def chosen(self) -> Scope | None:
        """The store or organisation that the page shows; None if an operator has not chosen one."""
        if not self.is_operator:
            return self.token.scope
        if "store" not in self.query and "org" not in self.query:
            return None
        return Scope(self.query.get("org") or None, self.query.get("store") or None)

    @property
    def scope(self) -> Scope:
        """The chosen store or organisation. Raises PageRefusal if there is none."""
        if (scope := self.chosen) is None:
            raise PageRefusal(400, "Choose a store", "This page shows one store: choose it on the page Stores.")
        return scope

    @property
    def offset(self) -> int:
        """Records before the page."""
        return self.number("offset")

    @property
    def till(self) -> int | None:
        """The time (ms) up to which a list begins, of the query; None for all of it."""
        text = self.query.get("till", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    def older(self, page: Page[Item], most: int, time_of: Callable[[Item], int]) -> int | None:
        """Return the time from which on a list goes on behind the last page that offsets reach; None elsewhere."""
        is_last = page.at_least and page.items and self.offset + most >= page.total
        return time_of(page.items[-1]) if is_last else None

    def number(self, name: str) -> int:
        """Return a whole number of the query; 0 for any other text."""
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    def link(self, path: str, scope: Scope | None = None, **query: str | int | None) -> str:
        """Return the address of a page; an operator's pages keep the store that was chosen."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        if self.session and self.is_operator and (kept := scope or self.chosen) is not None:
            given |= {"org": kept.org_id or "", "store": kept.store_id or ""}
        return ROOT + path + (f"?{urlencode(given)}" if given else "")

    def fleet_link(self, path: str, **query: str | int | None) -> str:
        """Return the address of a page of the whole fleet, without the store that an operator has chosen."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return ROOT + path + (f"?{urlencode(given)}" if given else "")

    def may_see(self, scope: Scope) -> bool:
        """Return whether the visitor may see what belongs to a scope."""
        return self.is_operator or scope == self.token.scope

    def uuid(self, name: str, what: str) -> str:
        """Return a UUID of the path. Raises PageRefusal (404) for any other text."""
        try:
            return str(UUID(self.params[name]))
        except ValueError:
            raise nothing_here(what) from None

    async def integration(self) -> Integration:
        """Return the integration that the path names. Raises PageRefusal (404)."""
        found = await self.services.ledger.integrations.get([self.uuid("integration", "integration")])
        if not found or not self.may_see(found[0].scope):
            raise nothing_here("integration")
        return found[0]
