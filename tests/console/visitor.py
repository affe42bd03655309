"""A visitor without a browser: requests as a browser would send them, or as it never would."""

import re
from html import unescape
from typing import Any

import requests

from tests.console.stage import Stage
from worker.domain.api_token import Role
from worker.domain.event import Scope

_FORM_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')
SECONDS = 60


class Visitor:
    """Somebody with cookies. Forms carry the session's token and an own origin, unless a test says otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.form_token = ""

    def get(self, path: str = "", **headers: str) -> requests.Response:
        answer = self.session.get(self.url + path, headers=headers, allow_redirects=False, timeout=SECONDS)
        if found := _FORM_TOKEN.search(answer.text):
            self.form_token = found[1]
        return answer

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> requests.Response:
        """Send a form; `headers` replace those by which a browser shows that the form is of the same origin."""
        sent = {"Sec-Fetch-Site": "same-origin"} if headers is None else headers
        given = {"form_token": self.form_token, **fields}
        return self.session.post(self.url + path, given, headers=sent, allow_redirects=False, timeout=SECONDS)

    def sign_in(self, token: str) -> requests.Response:
        """Sign in, and read the first page, whose forms have the session's token."""
        answer = self.post("/sign-in", token=token)
        if answer.status_code == 303:
            self.get()
        return answer


def signed_in(stage: Stage, role: Role, scope: Scope | None) -> Visitor:
    """Somebody of a store, or an operator (no scope), who has signed in."""
    made = Visitor(stage.url)
    made.sign_in(stage.token(role, scope))
    return made


def words(text: str) -> str:
    """What a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())
