"""A request's bytes: the target as it was configured, and no header that could say something else."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from deliverers.http import HttpTarget, RequestHead
from deliverers.http.proxy import HttpProxy
from deliverers.http.request import connect_request, header_lines
from deliverers.http.target import request_target
from deliverers.urls import check_url, checked_url


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?",
        "/??",
        "/p?sp=%2Ftriggers%2Frun&sig=qZ0%2FXCC2w%3D",
        "/a%3Ab",
        "/a%2E%2E/b",
        "/%2e%2e/x",
        "/a/../b",
        "/./a//b/",
        "/%7euser;v=1,2",
        "/a+b?c+d=%20",
        "/x?page[limit]=5&a:b@c!$'()*",
        "/%e4%BD%a0?%F0%9f%98%80",
        "/a?b=c/d?e",
        "/-._~",
    ],
)
@pytest.mark.parametrize("base", ["https://shop.example", "http://shop.example:8080", "HTTPS://Shop.Example"])
def test_a_valid_target_is_sent_byte_for_byte(base: str, path: str) -> None:
    target = HttpTarget.of(base + path)
    assert target.path == path
    head = RequestHead("POST", target, {}).encode({}, 0)
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("#part", "/"),
        ("/a#part", "/a"),
        ("/a?b#part?c", "/a?b"),
        ("/é?ü", "/%C3%A9?%C3%BC"),
        ('/a"<>^`{|}b', "/a%22%3C%3E%5E%60%7B%7C%7Db"),
        ("/100%", "/100%25"),
        ("/%zz%4", "/%25zz%254"),
        ("/a b", "/a%20b"),
        ("/\r\nX: y", "/%0D%0AX:%20y"),
    ],
)
def test_only_what_cannot_be_sent_is_encoded(written: str, sent: str) -> None:
    assert request_target(written) == sent


@given(st.text(max_size=60))
def test_a_target_can_always_be_sent_and_is_stable(text: str) -> None:
    target = request_target("/" + text)
    assert target.isascii()
    assert target.isprintable()
    assert not set(target) & set(' "<>\\^`{|}#')
    assert request_target(target) == target


@given(st.text("abc%2F./?&=:@[]é ", max_size=30))
def test_receivers_that_decode_get_what_they_got_before(text: str) -> None:
    written = "https://shop.example/" + text.replace("#", "")
    assert URL(f"https://shop.example{HttpTarget.of(written).path}").path == URL(written).path


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("https://shop.example/a", "shop.example", 443, "shop.example"),
        ("https://shop.example:443/a", "shop.example", 443, "shop.example"),
        ("http://shop.example:443/a", "shop.example", 443, "shop.example:443"),
        ("http://SHOP.example./", "shop.example.", 80, "shop.example"),
        ("http://[2001:DB8::1]:8080/", "2001:db8::1", 8080, "[2001:db8::1]:8080"),
        ("http://127.0.0.1?x", "127.0.0.1", 80, "127.0.0.1"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
    ],
)
def test_the_host_of_a_url(url: str, host: str, port: int, authority: str) -> None:
    target = HttpTarget.of(url)
    assert (target.host, target.port, target.authority) == (host, port, authority)


HOSTS = st.text("aB1-.é:[]%@_。", max_size=12)


@given(st.sampled_from(["http://", "https://", "HTTP://"]), HOSTS, st.text("/?#%:@é.", max_size=6))
def test_a_url_that_a_configuration_may_have_can_be_called(scheme: str, host: str, rest: str) -> None:
    try:
        checked = checked_url(scheme + host + rest, ("http", "https"))
    except ValueError:
        return
    target = HttpTarget.of(scheme + host + rest)
    assert (target.host, target.port) == (checked.raw_host, checked.port)


PARTS_OF_ADDRESSES = st.one_of(st.integers(0, 300).map(str), st.sampled_from(["01", "0x1", "00", "1e1"]))


@given(st.lists(PARTS_OF_ADDRESSES, max_size=4), st.integers(0, 300))
def test_a_host_that_ends_in_a_number_is_an_ipv4_address_or_refused(parts: list[str], last: int) -> None:
    host = ".".join([*parts, str(last)])
    try:
        IPv4Address(host)
    except ValueError:
        with pytest.raises(ValueError, match="four decimal numbers"):
            check_url(f"https://{host}/", ("https",))
    else:
        check_url(f"https://{host}/", ("https",))


@pytest.mark.parametrize("url", ["https://xn--zzzzzz-/", "https://shop.xn--a/"])
def test_a_name_that_cannot_be_decoded_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="look at its host"):
        check_url(url, ("https",))


@pytest.mark.parametrize(
    "url", ["shop.example/a", "ftp://shop.example/", "https:///a", "https://u:p@shop.example/", ""]
)
def test_a_url_that_cannot_be_called_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="the URL must") as refused:
        HttpTarget.of(url)
    assert "shop" not in str(refused.value)


def test_a_request_is_its_line_its_headers_and_the_length_of_its_body() -> None:
    head = RequestHead("PUT", HttpTarget.of("http://shop.example/a?b"), {"Content-Type": "text/plain"})
    assert head.encode({"X-A": "1"}, 7) == (
        b"PUT /a?b HTTP/1.1\r\nHost: shop.example\r\nContent-Type: text/plain\r\nX-A: 1\r\nContent-Length: 7\r\n\r\n"
    )


def test_through_a_proxy_a_request_has_its_absolute_form_and_the_login() -> None:
    proxy = HttpProxy.of("http://user:s%2Fcret@proxy.internal:3128")
    assert (proxy.host, proxy.port) == ("proxy.internal", 3128)
    assert proxy.lines == "Proxy-Authorization: Basic dXNlcjpzL2NyZXQ=\r\n"
    assert "s/cret" not in repr(proxy)
    target = HttpTarget.of("http://shop.example:8080/%2e?x")
    sent = RequestHead("POST", target, {}).encode({}, 0, proxy.lines)
    assert sent.startswith(b"POST http://shop.example:8080/%2e?x HTTP/1.1\r\nHost: shop.example:8080\r\nProxy-Auth")
    tunnel = connect_request(HttpTarget.of("https://[2001:db8::1]/a?secret"), "")
    assert tunnel == b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\r\n\r\n"])
def test_a_value_cannot_end_its_header(value: str) -> None:
    with pytest.raises(ValueError, match="line breaks or NUL") as refused:
        header_lines({"X-A": value, "X-B": "fine"})
    assert "X: y" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", "X A", "X:", "X\r\nY", "Host", "content-length", "Transfer-Encoding", "Connection", "é"]
)
def test_a_name_that_would_change_the_request_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        header_lines({name: "1"})


@pytest.mark.parametrize("method", ["", "CONNECT", "GET /x", "P\r\n"])
def test_a_method_that_cannot_be_sent_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        RequestHead(method, HttpTarget.of("http://shop.example/"), {})
