"""Five providers, as far as they differ from each other; docs/providers.md is run against them.

What they do is what their own documents say, and what was seen of them.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import attrs
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from .internet import ASGI, Internet

CLIENT_ID: Final = "reporter"
CLIENT_SECRET: Final = "s3cret"
_numbers: Final = count(1)


@attrs.define(eq=False)
class Login:
    """What one resource owner agreed to."""

    asked: Mapping[str, str]
    refresh_token: str = ""
    alive: bool = True


@attrs.define(eq=False)
class Provider:
    """Be an authorization server and the API behind it, in the provider's own way.

    Attributes:
        authorize: Where the browser goes, as `host/path`.
        token: Where tokens are asked for.
        api: What answers with a live access token, and what it says.
        refreshes: How many refresh tokens were taken.
    """

    authorize: str = ""
    token: str = ""
    api: Mapping[str, Mapping[str, object]] = {}
    refreshes: int = 0
    logins: dict[str, Login] = attrs.field(factory=dict[str, Login])
    codes: dict[str, Login] = attrs.field(factory=dict[str, Login])
    access: dict[str, Login] = attrs.field(factory=dict[str, Login])
    requests: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])

    def mount(self, internet: Internet) -> None:
        """Answer under the provider's own names."""
        for place in (self.authorize, self.token, *self.api):
            internet.sites[place.partition("/")[0]] = self._site()

    @property
    def host(self) -> str:
        """The host of the token endpoint."""
        return self.token.partition("/")[0]

    def forget(self) -> None:
        """Let every refresh token be dead from now on."""
        for login in self.logins.values():
            login.alive = False

    def first(self, login: Login) -> dict[str, Any]:
        """Return what the answer to a code has beyond an access token."""
        return {"refresh_token": self.minted(login)}

    def refreshed(self, login: Login, presented: str) -> dict[str, Any]:
        """Return what the answer to a refresh has beyond an access token."""
        return {}

    def dead(self) -> Response:
        """Refuse a refresh token."""
        return JSONResponse({"error": "invalid_grant"}, 400)

    def unknown(self, fields: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the answer to another grant; None where there is none."""
        return None

    def answered(self, request: Request, fields: Mapping[str, Any]) -> Response:
        """Write an answer down."""
        return JSONResponse(dict(fields))

    def unauthorized(self) -> Response:
        """Refuse an access token."""
        return Response(status_code=401, headers={"www-authenticate": "Bearer"})

    def minted(self, login: Login) -> str:
        """Return a new refresh token."""
        token = f"refresh-{token_urlsafe(6)}"
        login.refresh_token = token
        self.logins[token] = login
        return token

    def _site(self) -> ASGI:
        async def site(scope: Any, receive: Any, send: Any) -> None:
            request = Request(scope, receive)
            place = f"{request.url.hostname}{request.url.path}"
            await (await self._answer(request, place))(scope, receive, send)

        return site

    async def _answer(self, request: Request, place: str) -> Response:
        if place == self.authorize:
            return self._agreed(dict(request.query_params))
        if place == self.token:
            return self._token(request, await read_form(request))
        login = self.access.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if login is None or place not in self.api:
            return self.unauthorized()
        return JSONResponse(dict(self.api[place]))

    def _agreed(self, asked: dict[str, str]) -> Response:
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{next(_numbers)}-{token_urlsafe(6)}"
        self.codes[code] = Login(asked)
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    def _token(self, request: Request, fields: dict[str, str]) -> Response:
        self.requests.append(fields)
        if not self._authenticated(request, fields):
            return JSONResponse({"error": "invalid_client"}, 401)
        match fields["grant_type"]:
            case "authorization_code":
                login = self.codes.pop(fields["code"])
                assert fields["redirect_uri"] == login.asked["redirect_uri"]
                assert _challenge(fields["code_verifier"]) == login.asked["code_challenge"]
                more: dict[str, Any] | None = self.first(login)
            case "refresh_token":
                found = self.logins.get(fields["refresh_token"])
                if found is None or not found.alive:
                    return self.dead()
                login, self.refreshes = found, self.refreshes + 1
                more = self.refreshed(login, fields["refresh_token"])
            case _:
                login, more = Login(fields), self.unknown(fields)
        if more is None:
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        access_token = f"access-{token_urlsafe(6)}"
        self.access[access_token] = login
        fixed = {"access_token": access_token, "token_type": "Bearer", "expires_in": 3600}
        present = {name: value for name, value in (fixed | more).items() if value is not None}
        return self.answered(request, present)

    def _authenticated(self, request: Request, fields: Mapping[str, str]) -> bool:
        assert "authorization" not in request.headers
        return (fields.get("client_id"), fields.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)


class Google(Provider):
    """Gives a refresh token only where offline access and a new consent were asked for."""

    def __init__(self) -> None:
        super().__init__(
            "accounts.google.com/o/oauth2/v2/auth",
            "oauth2.googleapis.com/token",
            {"openidconnect.googleapis.com/v1/userinfo": {"sub": "1", "name": "Ada"}},
        )

    def first(self, login: Login) -> dict[str, Any]:
        """Return the fields, a refresh token among them if it was asked for."""
        offline = (login.asked.get("access_type"), login.asked.get("prompt"))
        refresh_token = self.minted(login) if offline == ("offline", "consent") else None
        return {"expires_in": 3599, "id_token": "e30.e30.", "refresh_token": refresh_token}

    def dead(self) -> Response:
        """Refuse as Google does."""
        description = "Token has been expired or revoked."
        return JSONResponse({"error": "invalid_grant", "error_description": description}, 400)


class Microsoft(Provider):
    """Replaces the refresh token at each use, and lets the old one live."""

    def __init__(self) -> None:
        tenant = "login.microsoftonline.com/contoso.example/oauth2/v2.0"
        super().__init__(
            f"{tenant}/authorize",
            f"{tenant}/token",
            {"graph.microsoft.com/v1.0/me": {"displayName": "Ada"}},
        )

    def first(self, login: Login) -> dict[str, Any]:
        """Return the fields, a refresh token among them if `offline_access` was asked for."""
        wanted = login.asked["scope"].split()
        refresh_token = self.minted(login) if "offline_access" in wanted else None
        scope = " ".join(name for name in wanted if name != "offline_access")
        return {"scope": scope, "ext_expires_in": 3600, "refresh_token": refresh_token}

    def refreshed(self, login: Login, presented: str) -> dict[str, Any]:
        """Return the fields, with a new refresh token."""
        return self.first(login)

    def dead(self) -> Response:
        """Refuse as Entra does."""
        fields = {
            "error": "invalid_grant",
            "error_description": "AADSTS700082: The refresh token has expired due to inactivity.",
            "error_codes": [700082],
        }
        return JSONResponse(fields, 400)


class GitHub(Provider):
    """Writes answers as forms unless JSON is asked for, and errors with status 200."""

    def __init__(self) -> None:
        super().__init__(
            "github.com/login/oauth/authorize",
            "github.com/login/oauth/access_token",
            {"api.github.com/user": {"login": "ada"}},
        )

    def first(self, login: Login) -> dict[str, Any]:
        """Return the fields; a GitHub App's tokens live eight hours."""
        return {
            "scope": login.asked.get("scope", "").replace(" ", ","),
            "expires_in": 28_800,
            "refresh_token": self.minted(login),
            "refresh_token_expires_in": 15_811_200,
        }

    def refreshed(self, login: Login, presented: str) -> dict[str, Any]:
        """Return the fields; both old tokens are dead at once."""
        del self.logins[presented]
        self.access = {token: one for token, one in self.access.items() if one is not login}
        return self.first(login)

    def answered(self, request: Request, fields: Mapping[str, Any]) -> Response:
        """Write a form, or JSON where that was asked for."""
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(dict(fields))
        return Response(urlencode(fields), media_type="application/x-www-form-urlencoded")

    def dead(self) -> Response:
        """Refuse as GitHub does, with status 200."""
        return JSONResponse({"error": "bad_refresh_token"})

    def unauthorized(self) -> Response:
        """Refuse without a challenge."""
        return JSONResponse({"message": "Bad credentials"}, 401)


class Auth0(Provider):
    """Rotates refresh tokens, kills a login at a reuse, and says 403 to a dead one."""

    def __init__(self) -> None:
        super().__init__(
            "acme.eu.auth0.com/authorize",
            "acme.eu.auth0.com/oauth/token",
            {"api.acme.example/orders": {"orders": ["a book for Ada"]}},
        )

    def first(self, login: Login) -> dict[str, Any]:
        """Return the fields; without an audience the token is for no API of one's own."""
        assert login.asked["audience"] == "https://api.acme.example/"
        offline = "offline_access" in login.asked["scope"].split()
        refresh_token = self.minted(login) if offline else None
        return {"expires_in": 86_400, "scope": login.asked["scope"], "refresh_token": refresh_token}

    def refreshed(self, login: Login, presented: str) -> dict[str, Any]:
        """Return the fields; a spent refresh token kills the login."""
        if presented != login.refresh_token:
            login.alive = False
        return self.first(login)

    def unknown(self, fields: Mapping[str, str]) -> dict[str, Any] | None:
        """Know client credentials, for an API that is named."""
        known = fields["grant_type"] == "client_credentials"
        return {} if known and fields["audience"] == "https://api.acme.example/" else None

    def dead(self) -> Response:
        """Refuse as Auth0 does."""
        description = "Unknown or invalid refresh token."
        return JSONResponse({"error": "invalid_grant", "error_description": description}, 403)


class Keycloak(Provider):
    """Says how long a refresh token lives, 0 for one without an end."""

    def __init__(self) -> None:
        realm = "sso.acme.example/realms/staff/protocol/openid-connect"
        super().__init__(
            f"{realm}/auth",
            f"{realm}/token",
            {"api.acme.example/orders": {"orders": ["a book for Ada"]}},
        )

    def first(self, login: Login) -> dict[str, Any]:
        """Return the fields."""
        offline = "offline_access" in login.asked["scope"].split()
        return {
            "expires_in": 300,
            "refresh_expires_in": 0 if offline else 1800,
            "refresh_token": self.minted(login),
            "not-before-policy": 0,
            "session_state": "a-session",
            "scope": login.asked["scope"],
        }

    def refreshed(self, login: Login, presented: str) -> dict[str, Any]:
        """Return the fields, with a new refresh token; the old one lives until the session ends."""
        return self.first(login)

    def unknown(self, fields: Mapping[str, str]) -> dict[str, Any] | None:
        """Know client credentials; a service account gets no refresh token."""
        known = fields["grant_type"] == "client_credentials"
        return {"refresh_expires_in": 0, "not-before-policy": 0} if known else None

    def dead(self) -> Response:
        """Refuse as Keycloak does."""
        description = "Token is not active"
        return JSONResponse({"error": "invalid_grant", "error_description": description}, 400)


PROVIDERS: Final = (Google, Microsoft, GitHub, Auth0, Keycloak)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form."""
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl((await request.body()).decode(), strict_parsing=True))


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
