import pytest

from config.sentinel import SentinelUrl, is_sentinel
from config.settings import SettingsError, load_settings

PLANTED = "planted-secret"


def test_one_url_names_the_sentinels_the_master_and_the_redis_servers_login() -> None:
    url = "sentinel://me:p%40ss@a:26380,b,[::1]:26381/2?service=mymaster&sentinel_username=s&sentinel_password=w"
    found = SentinelUrl.parse(url)
    assert found.sentinels == (("a", 26380), ("b", 26379), ("::1", 26381))
    assert (found.service, found.db, found.username, found.password) == ("mymaster", 2, "me", "p@ss")
    assert found.sentinel_login == {"username": "s", "password": "w"}
    assert found.address == "mymaster of a:26380,b:26379,[::1]:26381"
    assert "p@ss" not in repr(found)


def test_kombus_own_way_to_name_several_is_understood() -> None:
    theirs = SentinelUrl.parse("sentinel://:pw@a:1/3;sentinel://:pw@b:2/3?service=m")
    assert theirs == SentinelUrl.parse("sentinel://:pw@a:1,b:2/3?service=m")
    assert theirs.kombu_url == "sentinel://:pw@a:1/3;sentinel://:pw@b:2/3"


@pytest.mark.parametrize(("url", "login"), [("sentinel://a?service=m", ""), ("sentinel://me@a?service=m", "me:@")])
def test_a_login_is_given_to_kombu_as_far_as_there_is_one(url: str, login: str) -> None:
    assert SentinelUrl.parse(url).kombu_url == f"sentinel://{login}a:26379/0"


@pytest.mark.parametrize(
    ("url", "answer"), [("sentinel://a", True), ("redis://a", False), ("unix:///sentinel://", False)]
)
def test_it_is_known_by_its_scheme(url: str, answer: bool) -> None:
    assert is_sentinel(url) is answer


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sentinel://a:26379,b:26379/0", "names the master that is watched"),
        ("sentinel://a/x?service=m", "the number of a database"),
        ("sentinel:///0?service=m", "expected sentinel://host:26379"),
        ("sentinel://a,/0?service=m", "expected sentinel://host:26379"),
        ("sentinel://a?service=m;redis://b", "expected sentinel://host:26379"),
        ("sentinel://a?service=m&socket_timeout=5", "takes no other parameters than sentinel_password"),
        ("sentinel://a?service=m&ssl_cert_reqs=required", "TLS is not offered with Sentinels"),
        (f"sentinels://:{PLANTED}@a,b/0?service=m", "TLS is not offered with Sentinels"),
        (f"rediss+sentinel://:{PLANTED}@a/0?service=m", "TLS is not offered with Sentinels"),
        (f"sentinel://a?service=m;sentinels://:{PLANTED}@b", "TLS is not offered with Sentinels"),
        (f"sentinel://:{PLANTED}#1@a:26379/0?service=m", "is not a valid URL"),
        (f"sentinel://:pw@a:{PLANTED}/0?service=m", "is not a valid URL"),
    ],
)
@pytest.mark.parametrize("setting", ["redis_url", "broker_url"])
def test_what_is_wrong_with_one_is_said_and_the_url_is_not(
    setting: str, url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"EDW_{setting.upper()}", url)
    with pytest.raises(SettingsError, match=says) as raised:
        load_settings()
    assert f"EDW_{setting.upper()}: " in str(raised.value)
    assert PLANTED not in str(raised.value)


def test_the_ledger_and_the_broker_take_one() -> None:
    url = "sentinel://:pw@a,b/0?service=mymaster"
    settings = load_settings(redis_url=url, broker_url=url)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url
