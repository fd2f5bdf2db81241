"""Pages at which a person logs in at the fake server, for browsers: who they are, and whether.

There is no password: whoever comes may be anybody whom the server knows.
"""

from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.authorization_endpoint import AuthorizationEndpoint, AuthorizationResponse
from oauthkit.testing.state import AuthorizationServerState

_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 32rem; margin: 12vh auto }}
button, input, select {{ font: inherit; padding: .2rem .6rem }}
</style>
<h1>{title}</h1>
<p>{text}</p>
{form}
</html>
"""
_FORM: Final = """<form method="post">
{code}<p><label>You are <select name="person">{people}</select></label></p>
<p><button name="decision" value="agree">Agree</button>
<button name="decision" value="refuse">Refuse</button></p>
</form>"""
_CODE: Final = (
    '<p><label>The code <input name="user_code" value="{value}" required autofocus></label></p>\n'
)


def login_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return the answer to a browser that comes to log in: a page, or the way back.

    Args:
        state: The server's.
        request: What the browser sent.

    Raises:
        ValueError: The authorization request sends nobody back (RFC 6749 §4.1.2.1).
    """
    endpoint = AuthorizationEndpoint(state)
    asked = endpoint.parameters(request.url)
    if request.method != "POST":
        if "none" in asked.get("prompt", "").split():
            return endpoint.respond(request.url).page()
        return _login_page(state, asked)
    said = _fields(request)
    person = said.get("person", "")
    if person not in known(state):
        return _page(HTTPStatus.BAD_REQUEST, "Log in", "Nobody of this name is known here.")
    error = None if said.get("decision") == "agree" else "access_denied"
    return _way_back(endpoint.respond(request.url, error=error, person=person))


def activation_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return the answer to a browser that comes with the code of a device (RFC 8628 §3.3)."""
    if request.method != "POST":
        code = dict(parse_qsl(urlsplit(request.url).query)).get("user_code", "")
        return _page(
            HTTPStatus.OK,
            "A device",
            "Enter the code that it shows. Agree only if you have begun this yourself.",
            _form(state, code=_CODE.format(value=escape(code))),
        )
    said = _fields(request)
    if said.get("person", "") not in known(state):
        return _page(HTTPStatus.BAD_REQUEST, "A device", "Nobody of this name is known here.")
    agreed = said.get("decision") == "agree"
    try:
        state.device_codes.decide(
            said.get("user_code", "").strip().upper(), agreed=agreed, username=said["person"]
        )
    except ValueError:
        return _page(HTTPStatus.BAD_REQUEST, "A device", "No login with this code waits for you.")
    done = "You have agreed." if agreed else "You have refused."
    return _page(HTTPStatus.OK, "A device", f"{done} You can close this page.")


def known(state: AuthorizationServerState) -> Sequence[str]:
    """Return who can log in."""
    return tuple(state.people) or (state.username,)


def _login_page(state: AuthorizationServerState, asked: Mapping[str, str]) -> HTTPResponse:
    scope = asked.get("scope") or state.scope
    text = f"{state.client_id} asks for: {scope}. This server is for tests."
    form = _form(state, selected=asked.get("login_hint", ""))
    return _page(HTTPStatus.OK, "Log in", text, form)


def _form(state: AuthorizationServerState, *, code: str = "", selected: str = "") -> str:
    options = "".join(
        f"<option{' selected' if name == selected else ''}>{escape(name)}</option>"
        for name in known(state)
    )
    return _FORM.format(code=code, people=options)


def _way_back(response: AuthorizationResponse) -> HTTPResponse:
    """Return what sends a browser back that has posted a form: by a GET (RFC 9700 §4.12)."""
    page = response.page()
    return (
        attrs.evolve(page, status_code=HTTPStatus.SEE_OTHER)
        if page.headers.get("location")
        else page
    )


def _fields(request: HTTPRequest) -> Mapping[str, str]:
    return dict(parse_qsl(request.content.decode("utf-8", "replace")))


def _page(status: HTTPStatus, title: str, text: str, form: str = "") -> HTTPResponse:
    content = _PAGE.format(title=escape(title), text=escape(text), form=form)
    return HTTPResponse(status, _HEADERS, content.encode())
