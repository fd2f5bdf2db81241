"""Every documented way to get a token: which system, by which grant, in which format."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx

from oauthkit.operations import fetch_token
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.client_auth import ClientAuth, ClientSecretBasic, ClientSecretPost
from oauthkit.protocol.formats import FORM, JSON, XML, RequestFormat
from oauthkit.protocol.grants import (
    ClientCredentials,
    GrantStrategy,
    RefreshToken,
    ResourceOwnerPassword,
)
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.services import ads, auth_v1, hello, id_secret, put_auth
from oauthkit.testing.documented import DocumentedSystems, System

CLIENT_ID: Final = "demo client"
"""The space shows whether Basic credentials are encoded as documented."""
CLIENT_SECRET: Final = "it's a: s3cret+"
USERNAME: Final = "ada"
PASSWORD: Final = "love & lace"

_BASIC: Final = ClientSecretBasic(CLIENT_ID, CLIENT_SECRET)
_POST: Final = ClientSecretPost(CLIENT_ID, CLIENT_SECRET)
_REDIRECT_URI: Final = "https://app.example/callback"

Begin = Callable[
    [DocumentedSystems, AuthorizationServer, httpx.AsyncClient], Awaitable[GrantStrategy]
]
"""Gets the right to a first token, as a user would."""


@attrs.frozen(kw_only=True)
class Way:
    """One documented way to get a token.

    Attributes:
        format: What the request format is called in the document.
        server: Makes the profile of the token endpoint from the URL the system is served at.
        begin: Gets the right to a first token.
    """

    system: System
    grant_type: str
    format: str
    server: Callable[[str], AuthorizationServer]
    client_auth: ClientAuth
    begin: Begin


def documented_ways() -> list[Way]:
    """Return every documented way, in the order of the documents."""
    form, multipart = "form", "multipart"
    return [
        Way(
            system="ads",
            grant_type="password",
            format=form,
            server=lambda url: ads.authorization_server(ads.Environment("demo", url)),
            client_auth=_BASIC,
            begin=_password,
        ),
        Way(
            system="hello",
            grant_type="authorization_code",
            format=form,
            server=lambda url: hello.authorization_server(
                f"{url}/SayHello/", authorization_endpoint=f"{url}/authorize"
            ),
            client_auth=_BASIC,
            begin=partial(_login, "hello"),
        ),
        Way(
            system="id_secret",
            grant_type="client_credentials",
            format=form,
            server=_id_secret,
            client_auth=_POST,
            begin=_client_credentials,
        ),
        Way(
            system="id_secret",
            grant_type="authorization_code",
            format=form,
            server=_id_secret,
            client_auth=_POST,
            begin=partial(_login, "id_secret"),
        ),
        *(
            Way(
                system="auth_v1",
                grant_type=grant_type,
                format=name,
                server=partial(auth_v1.authorization_server, request_format=request_format),
                client_auth=_POST,
                begin=begin,
            )
            for grant_type, begin in _AUTH_V1_GRANTS.items()
            for name, request_format in _AUTH_V1_FORMATS.items()
        ),
        *(
            Way(
                system="put_auth",
                grant_type=grant_type,
                format=multipart,
                server=lambda url: put_auth.authorization_server(
                    url, authorization_endpoint=f"{url}/authorize"
                ),
                client_auth=_POST,
                begin=begin,
            )
            for grant_type, begin in _PUT_AUTH_GRANTS.items()
        ),
    ]


def _id_secret(url: str) -> AuthorizationServer:
    return id_secret.authorization_server(
        f"{url}/oauth2/token", authorization_endpoint=f"{url}/authorize"
    )


async def _password(
    systems: DocumentedSystems, server: AuthorizationServer, http: httpx.AsyncClient
) -> GrantStrategy:
    return ResourceOwnerPassword(username=systems.username, password=systems.password)


async def _auth_v1_password(
    systems: DocumentedSystems, server: AuthorizationServer, http: httpx.AsyncClient
) -> GrantStrategy:
    grant = ResourceOwnerPassword(username=systems.username, password=systems.password)
    return auth_v1.with_windows_authentication(grant, enabled=False)


async def _client_credentials(
    systems: DocumentedSystems, server: AuthorizationServer, http: httpx.AsyncClient
) -> GrantStrategy:
    return ClientCredentials(scope=systems.scope)


async def _login(
    system: Literal["hello", "id_secret", "put_auth"],
    systems: DocumentedSystems,
    server: AuthorizationServer,
    http: httpx.AsyncClient,
) -> GrantStrategy:
    """Log in; the resource owner's browser is played here."""
    login = AuthorizationRequest.new(server, systems.client_id, redirect_uri=_REDIRECT_URI)
    asked = parse_qs(urlsplit(login.url).query)
    code = systems.issue_code(
        system, redirect_uri=asked["redirect_uri"][0], code_challenge=asked["code_challenge"][0]
    )
    return login.accept({"code": code, "state": asked["state"][0]})


async def _earlier_login(
    systems: DocumentedSystems, server: AuthorizationServer, http: httpx.AsyncClient
) -> GrantStrategy:
    """Return the refresh token that an earlier login left behind."""
    token = await fetch_token(http, server, _POST, await _password(systems, server, http))
    return RefreshToken(refresh_token=token.refresh_token or "")


_AUTH_V1_GRANTS: Final[Mapping[str, Begin]] = {
    "password": _auth_v1_password,
    "client_credentials": _client_credentials,
}
_AUTH_V1_FORMATS: Final[Mapping[str, RequestFormat]] = {
    "JSON": JSON,
    "text/json": auth_v1.TEXT_JSON,
    "XML": XML,
    "text/xml": auth_v1.TEXT_XML,
    "form": FORM,
}
_PUT_AUTH_GRANTS: Final[Mapping[str, Begin]] = {
    "refresh_token": _earlier_login,
    "authorization_code": partial(_login, "put_auth"),
    "password": _password,
}
