"""Origins of sites: each becomes a part of a header, and can add nothing to it."""

import pytest

from config.checks import web_origin
from config.settings import SettingsError, load_settings


@pytest.mark.parametrize("origin", ["https://admin.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443"])
def test_an_origin_is_accepted(origin: str) -> None:
    assert web_origin(origin) == origin


def test_an_origin_is_written_as_a_browser_does() -> None:
    assert web_origin("https://admin.example.com:443/") == "https://admin.example.com"


@pytest.mark.parametrize(
    "text",
    [
        "admin.example.com",
        "https://admin.example.com/path",
        "https://a.example;script-src",
        "https://a.example,https://b.example",
        "https://*.example.com",
        "'self'",
        "*",
        "https:",
        "javascript:alert(1)",
        "https://a.example?x",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        web_origin(text)


def test_the_setting_takes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_CONSOLE_FRAME_ANCESTORS", "https://a.example https://b.example:8443")
    assert load_settings().console_frame_ancestors == ("https://a.example", "https://b.example:8443")
    monkeypatch.setenv("EDW_CONSOLE_FRAME_ANCESTORS", "https://a.example/;x")
    with pytest.raises(SettingsError, match="EDW_CONSOLE_FRAME_ANCESTORS"):
        load_settings()
