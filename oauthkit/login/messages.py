"""What a browser asks and what it is answered, as plain values, for any framework."""

import html
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from string import punctuation
from typing import Final
from urllib.parse import parse_qsl, quote

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.login.cookies import Cookie
from oauthkit.protocol.callback import Callback
from oauthkit.protocol.messages import Headers, Origin, shown_url
from oauthkit.protocol.secret import NoPickle, SecretBytes, unprintable

LONGEST_BODY: Final = 65_536
"""Bytes of a posted form that are read; a callback and a Logout Token are far shorter."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_MOST_FIELDS: Final = 100
_RETRY_AFTER: Final = (1, 120)
_OURS: Final = frozenset({"same-origin", "none"})
_WEBSOCKET: Final = "WEBSOCKET"
_SITE: Final = re.compile(r"[^:/?#]*://[^/?#]*")
_OF_PATHS: Final = "/%:@!$&'()*+,;="
_HTML: Final = re.compile(r"\btext/html\b", re.IGNORECASE)

_PRIVATE: Final = (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
_CHALLENGE: Final = ("WWW-Authenticate", "Cookie")
"""A 401 must have one (RFC 9110 §15.5.2), and a browser asks nobody for a scheme unknown to it."""

_PAGE: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)


def _rooted(path: str) -> str:
    """Return the path of an application as URLs begin with, whoever has chosen it."""
    inner = quote(path.strip("/"), safe=_OF_PATHS)
    return f"/{inner}" if inner else ""


@attrs.frozen(kw_only=True)
class LoginRequest(NoPickle):
    """Be a request of a browser, as a framework has it.

    Attributes:
        method: The HTTP method; `WEBSOCKET` where one is opened, which a browser lets any site do.
        url: The whole URL as the framework sees it, with its query. Forwarded headers are in it
            only where the framework, or the server it runs in, was told to trust them.
        headers: Its header fields, `Cookie` among them.
        body: What was posted.
        root: The path that the application is mounted at; empty as a rule. What leads to another
            site than the URL, such as `//there`, is taken for a path of this one.
    """

    method: str
    url: str = attrs.field(repr=shown_url)
    headers: Headers = attrs.field(factory=Headers, converter=Headers)
    body: bytes = attrs.field(default=b"", converter=SecretBytes)
    root: str = attrs.field(default="", converter=_rooted)

    @property
    def site(self) -> str:
        """Scheme, host and port, whatever stands there: it is looked at where it is used."""
        found = _SITE.match(self.url)
        return "" if found is None else found.group()

    @property
    def path(self) -> str:
        """Path and query, byte for byte."""
        return self.url[len(self.site) :].partition("#")[0] or "/"

    @property
    def cookies(self) -> Mapping[str, str]:
        """Its cookies by name, as a browser writes them (RFC 6265bis §5.8.3).

        Frameworks read more into the field: white space of other kinds, quotes, a cookie within
        another's value. By that a neighbouring subdomain could plant one that is called `__Host-…`.
        What comes twice is none of a browser's, and none of ours.
        """
        fields = self.headers.get_all("cookie")
        pairs = [pair.strip(" ").partition("=") for field in fields for pair in field.split(";")]
        times = Counter(name for name, _, _ in pairs)
        return unprintable({name: value for name, _, value in pairs if times[name] == 1})

    @property
    def query(self) -> str:
        """The query, with its question mark."""
        return f"?{self.url.partition('?')[2]}"

    @property
    def posted(self) -> bool:
        """Whether it was posted."""
        return self.method.upper() == "POST"

    @property
    def content_type(self) -> str | None:
        """What kind of body it has."""
        return self.headers.get("content-type")

    @property
    def parameters(self) -> Callback:
        """The query; of what was posted, the form. Nothing where that is no form."""
        if not self.posted:
            return self.query
        try:
            text = self.body[:LONGEST_BODY].decode()
            return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return ()

    @property
    def wants_page(self) -> bool:
        """Whether somebody is looking at what comes, and not a program."""
        return self.method != _WEBSOCKET and bool(_HTML.search(self.headers.get("accept", "")))

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, by its method."""
        return self.method.upper() in _SAFE_METHODS

    def from_elsewhere(self, sites: Iterable[str]) -> bool:
        """Tell whether a page of another site has sent it.

        A browser says so by `Sec-Fetch-Site`, and by `Origin`. What says neither comes from no
        browser that has a say over somebody's cookies.

        Args:
            sites: The sites that are ours.
        """
        origin = self.headers.get("origin")
        if origin is not None and _same_origin(origin, sites):
            return False
        fetched = self.headers.get("sec-fetch-site")
        return origin is not None if fetched is None else fetched not in _OURS


@attrs.frozen(kw_only=True)
class LoginReply(NoPickle):
    """Be what a browser is answered.

    Attributes:
        status: The HTTP status.
        headers: Its header fields, but for its cookies.
        cookies: What is to be set or cleared.
        body: What is shown, or read by a program.
    """

    status: int
    headers: Headers = attrs.field(factory=Headers, converter=Headers)
    cookies: tuple[Cookie, ...] = ()
    body: bytes = b""

    @property
    def location(self) -> str | None:
        """Where the browser is sent."""
        return self.headers.get("location")

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """All header fields, `Set-Cookie` among them, to be handed on one by one."""
        own = ((name, value) for name in self.headers for value in self.headers.get_all(name))
        return (*own, *(("set-cookie", cookie.header) for cookie in self.cookies))


@attrs.frozen(kw_only=True)
class Notice:
    """Be what a page of ours says; nothing in it came from outside.

    Attributes:
        status: The HTTP status.
        text: A sentence or two.
        link: Where to log in, a path; None where there is nothing to go on with.
    """

    status: int
    text: str
    link: str | None = None


def redirect(location: str, cookies: Iterable[Cookie] = ()) -> LoginReply:
    """Return an answer that sends the browser on, by GET whatever the request was."""
    # A path may have been read out of a query, and no two servers write other characters alike.
    sent = quote(location, safe=punctuation, errors="replace")
    return LoginReply(
        status=303, headers=Headers([("Location", sent), *_PRIVATE]), cookies=tuple(cookies)
    )


def page(
    notice: Notice, text: str, cookies: Iterable[Cookie] = (), *, retry_after: float | None = None
) -> LoginReply:
    """Return an answer that shows a page.

    Args:
        notice: What it says.
        text: Its HTML.
        cookies: What is set or cleared.
        retry_after: Seconds after which to try again.
    """
    return LoginReply(
        status=notice.status,
        headers=Headers([*_PAGE, *_PRIVATE, *_later(retry_after)]),
        cookies=tuple(cookies),
        body=text.encode(),
    )


def problem(
    status: int, title: str, detail: str, *, retry_after: float | None = None
) -> LoginReply:
    """Return an answer that a program reads (RFC 9457).

    Args:
        status: The HTTP status.
        title: What its reason phrase is.
        detail: What to do about it.
        retry_after: Seconds after which to try again.
    """
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    fields = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    if status == HTTPStatus.UNAUTHORIZED:
        fields.append(_CHALLENGE)
    return LoginReply(
        status=status,
        headers=Headers([*fields, *_later(retry_after)]),
        body=json.dumps(members).encode(),
    )


def plain_page(notice: Notice) -> str:
    """Return the HTML of a notice, as plain as can be."""
    link = "" if notice.link is None else f' <a href="{html.escape(notice.link)}">Log in</a>'
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{notice.status}</title><p>{html.escape(notice.text)}{link}</p></html>"
    )


def _later(seconds: float | None) -> tuple[tuple[str, str], ...]:
    if seconds is None:
        return ()
    least, most = _RETRY_AFTER
    return (("Retry-After", str(min(max(math.ceil(seconds), least), most))),)


def _same_origin(origin: str, sites: Iterable[str]) -> bool:
    try:
        theirs = Origin.of(origin)
        return any(theirs == Origin.of(site) for site in sites)
    except ConfigurationError:  # "null", which sandboxed pages have, or nonsense
        return False
