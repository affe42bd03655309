"""Host and the request target: what RFC 9112, section 3.2 allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from worker.http_server.hosts import host_problem, is_host

HTTP_1_0, HTTP_1_1 = (1, 0), (1, 1)


@pytest.mark.parametrize(
    "host",
    [
        "a",
        "a:1",
        "a:",
        "a:65535",
        "API.example.",
        "xn--bcher-kva.example",
        "api_1",
        "192.0.2.1:80",
        "[::1]",
        "[::ffff:192.0.2.1]:8443",
        "a" * 63 + ".b",
    ],
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)
    assert host_problem(HTTP_1_1, [host], "/") == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        ".",
        "a..b",
        ".a",
        "a@b",
        "u:p@a",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a b",
        "a\tb",
        "a\r\nb",
        "a\n",
        "a\0",
        "a\x7f",
        "a:b",
        "a:-1",
        "a:+1",
        "a: 1",
        "a:65536",
        "a:99999",
        "a:000080",
        "a:1:2",
        "a:٣",
        ":80",
        "::1",
        "[]",
        "[a]",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:x",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[v1.a]",
        "[192.0.2.1]",
        "bücher.example",
        "a%2fb",
        "a,b",
        "<a>",
        "a" * 64,
        "a." * 127 + "aaa",
        "\udce9",
    ],
)
def test_everything_else_is_not(host: str) -> None:
    assert not is_host(host)
    assert "Host" in host_problem(HTTP_1_1, [host], "/")
    assert "Host" in host_problem(HTTP_1_0, [host], "/")


def test_there_is_one_and_http_1_0_may_do_without() -> None:
    assert "missing" in host_problem(HTTP_1_1, [], "/")
    assert host_problem(HTTP_1_0, [], "/") == ""
    for hosts in (["a", "a"], ["a", "b"], ["", "a"]):
        assert "several" in host_problem(HTTP_1_1, hosts, "/")
        assert "several" in host_problem(HTTP_1_0, hosts, "/")


@pytest.mark.parametrize(
    "target", ["/", "/a//b?c://d", "*", "http://a:1", "HTTP://A:1/x", "https://a:1?x", "http://a:1#x"]
)
def test_a_target_is_a_path_or_names_the_same_authority(target: str) -> None:
    assert host_problem(HTTP_1_1, ["a:1"], target) == ""


@pytest.mark.parametrize(
    "target",
    [
        "http://a/x",
        "http://b:1/x",
        "http://u@a:1/x",
        "http://",
        "http:///x",
        "ftp://a:1/x",
        "file://a:1/x",
        "a:1",
        "x",
        "",
        "javascript:alert(1)",
    ],
)
def test_any_other_target_is_refused(target: str) -> None:
    assert "request target" in host_problem(HTTP_1_1, ["a:1"], target)


@given(st.one_of(st.text(max_size=300), st.text(alphabet="ab.:[]@/%0159-_", max_size=20)))
def test_a_host_is_all_that_a_link_has_before_its_path(text: str) -> None:
    if is_host(text):
        url = URL(f"http://{text}/path")
        assert (url.user, url.path, url.query_string, url.fragment) == (None, "/path", "", "")
