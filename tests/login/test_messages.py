"""What a browser asks and what it is answered, as plain values."""

import pytest

from oauthkit.login import LoginReply, LoginRequest, Notice
from oauthkit.login.messages import LONGEST_BODY, plain_page


@pytest.mark.parametrize(
    "url, site, path, query",
    [
        ("https://app.example/a%2Fb?c=d", "https://app.example", "/a%2Fb?c=d", "?c=d"),
        ("https://app.example:8443", "https://app.example:8443", "/", "?"),
        ("http://[::1]:80/a#b", "http://[::1]:80", "/a", "?"),
    ],
)
def test_a_url_is_taken_apart_byte_for_byte(url: str, site: str, path: str, query: str) -> None:
    request = LoginRequest(method="GET", url=url)

    assert (request.site, request.path, request.query) == (site, path, query)


def test_a_form_is_read_as_far_as_forms_of_logins_go() -> None:
    def read(body: bytes) -> object:
        return LoginRequest(method="post", url="https://app.example/", body=body).parameters

    assert read(b"a=b&c=") == [("a", "b"), ("c", "")]
    assert read(b"a=" + b"x" * LONGEST_BODY) == [("a", "x" * (LONGEST_BODY - 2))]
    assert read(b"&".join([b"a=b"] * 101)) == ()
    assert read(b"\xff") == ()


def test_nothing_secret_of_a_request_or_an_answer_is_printed() -> None:
    request = LoginRequest(
        method="POST",
        url="https://app.example/auth/callback?code=s3cret",
        headers={"cookie": "visitor=s3cret"},
        body=b"code=s3cret",
    )

    assert "s3cret" not in repr(request)
    assert "s3cret" not in repr(request.cookies)
    assert request.cookies == {"visitor": "s3cret"}
    assert "/auth/callback" in repr(request)
    assert LoginReply(status=200).location is None


def test_a_notice_is_escaped() -> None:
    """AT-66."""
    html = plain_page(Notice(status=400, text="a <b>", link='/"><script>'))

    assert "a &lt;b&gt;" in html
    assert "<script>" not in html
    assert "<a " not in plain_page(Notice(status=400, text="a"))


@pytest.mark.parametrize(
    "header, found",
    [
        ("a=b; __Host-visitor=x=; c=", {"a": "b", "__Host-visitor": "x=", "c": ""}),
        ('a="1; __Host-visitor=x; b=2"', {"a": '"1', "__Host-visitor": "x", "b": '2"'}),
        ("a=b __Host-visitor=x", {"a": "b __Host-visitor=x"}),
        ("a=b\u2003__Host-visitor=x", {"a": "b\u2003__Host-visitor=x"}),
        ("\xa0__Host-visitor=x", {"\xa0__Host-visitor": "x"}),
        ("__Host-visitor =x", {"__Host-visitor ": "x"}),
        ("__Host-visitor=x; a=b; __Host-visitor=y", {"a": "b"}),
        ("", {"": ""}),
    ],
)
def test_a_cookie_is_one_that_a_browser_has_written(header: str, found: object) -> None:
    """AT-13: and none that a neighbouring subdomain has put into another one's name or value."""
    headers = {"cookie": header}

    assert LoginRequest(method="GET", url="https://app.example/", headers=headers).cookies == found


def test_cookies_come_in_one_field_or_in_several() -> None:
    headers = [("cookie", "a=b"), ("Cookie", "c=d")]

    request = LoginRequest(method="GET", url="https://app.example/", headers=headers)

    assert request.cookies == {"a": "b", "c": "d"}
