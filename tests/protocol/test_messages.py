from typing import Any

import attrs
import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import (
    Headers,
    HTTPRequest,
    HTTPResponse,
    Origin,
    check_endpoint,
)


def test_a_header_is_found_in_any_case() -> None:
    headers = Headers({"Content-Type": "text/plain"})

    assert headers["content-TYPE"] == "text/plain"
    assert headers.get("accept") is None
    assert "CONTENT-type" in headers


def test_a_repeated_header_is_joined_and_kept_apart() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])

    assert headers["a"] == "1, 3"
    assert headers.get_all("A") == ("1", "3")
    assert headers.get_all("c") == ()
    assert (list(headers), len(headers)) == (["a", "b"], 2)


def test_an_absent_header_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="accept"):
        Headers()["accept"]


def test_headers_show_their_names_only() -> None:
    assert repr(Headers({"Authorization": "Basic abc"})) == "Headers(authorization)"


def test_messages_take_plain_mappings_and_bytes() -> None:
    request = HTTPRequest("POST", "https://auth.example/token", {"A": "1"}, b"x")
    response = HTTPResponse(200, {"A": "1"}, b"xy")

    assert request.headers == response.headers == Headers({"a": "1"})
    assert (request.content, response.content) == (b"x", b"xy")
    assert "content=<1 bytes>" in repr(request)
    assert "content=<2 bytes>" in repr(response)
    assert attrs.evolve(response, status_code=201).content == b"xy"


@pytest.mark.parametrize(
    "url, origin",
    [
        ("https://auth.example/token?a=b", "https://auth.example"),
        ("HTTPS://Auth.Example:443", "https://auth.example"),
        ("https://auth.example.:443/", "https://auth.example"),
        ("https://auth.example:/", "https://auth.example"),
        ("http://auth.example:80/", "http://auth.example"),
        ("https://auth.example:80/", "https://auth.example:80"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://user@auth.example/", "https://auth.example"),
        ("https://under_score.example/", "https://under_score.example"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example"),
        ("https://good.example@evil.example/", "https://evil.example"),
    ],
)
def test_the_origin_of_a_url_is_scheme_host_and_port(url: str, origin: str) -> None:
    """BC-11: RFC 6454."""
    assert str(Origin.of(url)) == origin
    assert Origin.of(url) == Origin.of(origin)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "auth.example",
        "//auth.example/",
        "/token",
        "ftp://auth.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:auth.example",
        "https:///token",
        "https://",
        "https://./",
        "https://a..b/",
        "https://auth.example:0/",
        "https://auth.example:65536/",
        "https://auth.example:x/",
        "https://auth.example:4\u0664/",
        "https://[::1/",
        "https://[::1]evil.example/",
        "https://[nonsense]/",
        "https://exa%6dple.com/",
        "https://good.example\\@evil.example/",
        "https://evil.example\\.good.example/",
        "https://auth.example/ token",
        " https://auth.example/",
        "https://auth.example/\n",
        "https://auth.example/\x00",
        "https://auth.example/\x7f",
        "https://fa\u00df.example/",
        "https://\uff47ood.example/",
        "https://good\u3002example/",
        "https://\u2488.example/",
        "https://\ud800.example/",
        f"https://{'ü' * 64}.example/",
    ],
    ids=ascii,
)
def test_what_is_read_differently_by_different_readers_has_no_origin(url: str) -> None:
    """AT-05, AT-34: an error that names the fault, whatever came."""
    with pytest.raises(ConfigurationError):
        Origin.of(url)


@pytest.mark.parametrize(
    "url, loopback",
    [
        ("http://localhost/", True),
        ("http://LOCALHOST:8080/", True),
        ("http://app.localhost/", False),
        ("http://localhost./", True),
        ("http://localhost.localdomain/", False),
        ("http://127.0.0.1/", True),
        ("http://127.255.255.254/", True),
        ("http://[::1]/", True),
        ("http://localhost.evil.example/", False),
        ("http://notlocalhost/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://127.1/", False),
        ("http://2130706433/", False),
        ("http://0.0.0.0/", False),
        ("http://10.0.0.1/", False),
        ("http://[fe80::1%25eth0]/", False),
    ],
)
def test_loopback_is_this_machine_alone(url: str, *, loopback: bool) -> None:
    """BT-11: RFC 8252 §8.3."""
    assert Origin.of(url).loopback is loopback
    assert Origin.of(url).confidential is loopback
    assert Origin.of(url.replace("http:", "https:")).confidential


@pytest.mark.parametrize(
    "url", ["https://auth.example/token?tenant=x", "http://127.0.0.1:8080/token"]
)
def test_an_endpoint_over_https_or_on_this_machine_is_taken_as_it_is(url: str) -> None:
    """O2-11, O2-12."""
    assert check_endpoint(url, name="token_endpoint") == url


def test_plain_http_needs_to_be_asked_for_by_name() -> None:
    """O2-12."""
    with pytest.raises(ConfigurationError, match="allow_plain_http=True"):
        check_endpoint("http://auth.example/token", name="token_endpoint")

    url = check_endpoint("http://auth.example/token", name="x", allow_plain_http=True)
    assert url == "http://auth.example/token"


@pytest.mark.parametrize("url", ["https://auth.example/a#b", "https://auth.example/#"])
def test_an_endpoint_with_a_fragment_is_refused(url: str) -> None:
    """O2-05: RFC 6749 §3.1."""
    with pytest.raises(ConfigurationError, match="authorization_endpoint has a fragment"):
        check_endpoint(url, name="authorization_endpoint")


@pytest.mark.parametrize(
    "url",
    [
        "https://me:canary-pw@auth.example/",
        "https://canary-pw@auth.example/",
        "https://me:canary-pw@[auth.example/",
        "https://me:canary-pw@auth.example:x/",
        "https://me:canary-pw @auth.example/",
        "ftp://me:canary-pw@auth.example/",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    """AT-70."""
    with pytest.raises(ConfigurationError) as caught:
        check_endpoint(url, name="token_endpoint")

    assert "canary-pw" not in f"{caught.value!r}{caught.value.__cause__!r}"
    assert caught.value.__context__ is None


def test_headers_made_of_headers_keep_repeated_fields_apart() -> None:
    repeated = Headers([("WWW-Authenticate", "Basic"), ("www-authenticate", "Bearer")])

    assert Headers(repeated).get_all("www-authenticate") == ("Basic", "Bearer")


@pytest.mark.parametrize("url", [None, 17, b"https://a.example"])
def test_an_origin_of_no_text_is_refused_by_its_kind(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"as a text, not {type(url).__name__}"):
        Origin.of(url)
