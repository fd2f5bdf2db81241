"""A second opinion: a server by other people, on another library."""

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AccessDenied,
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    CallbackError,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    Discovered,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
    PublicClient,
    ReauthorizationRequired,
    RefreshToken,
    Rejection,
    ResourceOwnerPassword,
    Token,
    delete_registration,
    fetch_token,
    introspect,
    read_registration,
    register_client,
    revoke,
)
from tests.interop.human import Human

from .applications import ADA, CALLBACK, RESERVED, SECRET
from .conftest import Toolkit

WEB = ClientSecretBasic("web", SECRET)
FORBIDDEN = Rejection(status=403)
"""How this server's API says that a token is dead."""


async def logged_in(
    http: httpx.AsyncClient,
    server: AuthorizationServer,
    human: Human,
    client_auth: ClientAuth = WEB,
) -> Token:
    login = AuthorizationRequest.new(
        server, client_auth.client_id, redirect_uri=CALLBACK, scope="read"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    return await fetch_token(http, server, client_auth, login.accept(callback))


async def test_its_metadata_is_found_between_host_and_path(
    server: AuthorizationServer, oauth: Toolkit
) -> None:
    """Discovery: where RFC 8414 has it, for there is no OpenID Connect."""
    assert server.issuer == oauth.issuer
    assert server.endpoint("revocation_endpoint") == f"{oauth.issuer}/revoke_token/"
    assert "authorization_code" in (server.grant_types_supported or ())


async def test_its_metadata_is_found_behind_the_path(
    http: httpx.AsyncClient, openid: Toolkit
) -> None:
    """Discovery: where OpenID Connect has it."""
    server = await Discovered(openid.issuer).server(http)

    assert server.endpoint("userinfo_endpoint") == f"{openid.issuer}/userinfo/"


@pytest.mark.parametrize(
    "client_auth", [WEB, ClientSecretPost("web", SECRET), PublicClient("app")], ids=str
)
async def test_a_person_logs_in_and_the_token_opens_the_api(
    http: httpx.AsyncClient,
    server: AuthorizationServer,
    oauth: Toolkit,
    human: Human,
    client_auth: ClientAuth,
) -> None:
    """Code with PKCE."""
    token = await logged_in(http, server, human, client_auth)

    session = AsyncTokenSession(http, server=server, client_auth=client_auth, token=token)
    assert (await session.get(oauth.api)).json() == {"user": "ada"}


async def test_a_refusal_without_iss_is_believed_where_the_application_says_so(
    server: AuthorizationServer,
) -> None:
    """`iss` in the callback: this server promises it, and leaves it out where somebody says no."""
    lenient = attrs.evolve(server, authorization_response_iss_parameter_supported=False)
    for known, kind in ((server, CallbackError), (lenient, AccessDenied)):
        login = AuthorizationRequest.new(known, "web", redirect_uri=CALLBACK, scope="read")
        async with Human(ADA, refuse="Cancel") as human:
            callback = await human.visit(login.url, until=CALLBACK)
        with pytest.raises(kind):
            login.accept(callback)


async def test_a_callback_without_its_issuer_is_refused(
    server: AuthorizationServer, human: Human
) -> None:
    """`iss` in the callback."""
    login = AuthorizationRequest.new(server, "web", redirect_uri=CALLBACK, scope="read")
    callback = await human.visit(login.url, until=CALLBACK)

    with pytest.raises(CallbackError, match="RFC 9207"):
        login.accept(callback.replace("iss=", "was="))
    assert login.accept(callback).code in callback


async def test_a_crowd_that_finds_a_token_dead_renews_it_once(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit, human: Human
) -> None:
    """Refresh with rotation: a crowd, by an API that says 403 and no more."""
    token = await logged_in(http, server, human)
    store = MemoryStore()
    await store.save("ada", Token.from_dict(token.to_dict() | {"access_token": "dead"}))
    session = AsyncTokenSession(
        http, server=server, client_auth=WEB, store=store, key="ada", renew_on=FORBIDDEN
    )
    users: list[str] = []

    async def work() -> None:
        users.append((await session.get(oauth.api)).json()["user"])

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(work)

    assert users == ["ada"] * 10
    assert (await session.token()).refresh_token not in {None, token.refresh_token}


async def test_a_refresh_token_that_comes_again_ends_the_login(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Reuse of a refresh token ends the family."""
    token = await logged_in(http, server, human)
    assert token.refresh_token
    session = AsyncTokenSession(http, server=server, client_auth=WEB, token=token)
    await session.renew()

    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, WEB, RefreshToken(refresh_token=token.refresh_token))

    with pytest.raises(ReauthorizationRequired):
        await session.renew()


async def test_a_clients_own_token_opens_the_api(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit
) -> None:
    """Client credentials."""
    session = AsyncTokenSession(
        http,
        server=server,
        client_auth=ClientSecretBasic("service", SECRET),
        grant=ClientCredentials(scope="read"),
    )
    assert (await session.get(oauth.api)).json() == {"user": None}


async def test_a_password_is_traded_for_a_token_that_refreshes(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Resource owner password."""
    client_auth = ClientSecretBasic("legacy", SECRET)
    right = ResourceOwnerPassword(username="ada", password="lovelace")
    token = await fetch_token(http, server, client_auth, right)
    session = AsyncTokenSession(http, server=server, client_auth=client_auth, token=token)

    assert (await session.renew()).access_token != token.access_token
    wrong = ResourceOwnerPassword(username="ada", password="wrong")
    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, client_auth, wrong)


async def test_reserved_characters_of_a_secret_are_encoded_as_the_server_decodes_them(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Basic credentials with reserved characters."""
    client_auth = ClientSecretBasic("reserved characters", RESERVED)

    token = await fetch_token(http, server, client_auth, ClientCredentials(scope="read"))
    assert token.scope == "read"


async def test_who_is_not_known_is_told_so(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Refusals: of a client."""
    for client_auth in (ClientSecretBasic("service", "wrong"), ClientSecretPost("nobody", SECRET)):
        with pytest.raises(InvalidClient):
            await fetch_token(http, server, client_auth, ClientCredentials())


async def test_a_session_ends_its_token_here_and_there(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit, human: Human
) -> None:
    """Revocation: by the session, and of what is not known."""
    token = await logged_in(http, server, human)
    session = AsyncTokenSession(http, server=server, client_auth=WEB, token=token)
    assert (await session.get(oauth.api)).json() == {"user": "ada"}

    await session.revoke()
    await revoke(http, server, WEB, "unknown")

    with pytest.raises(ReauthorizationRequired):
        await session.token()
    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, WEB, RefreshToken(refresh_token=str(token.refresh_token)))
    bearer = {"authorization": f"Bearer {token.access_token}"}
    assert (await http.get(oauth.api, headers=bearer)).status_code == 403


async def test_an_api_is_told_what_a_token_is_good_for(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Introspection: of a live token, and of one that nobody knows."""
    token = await logged_in(http, server, human)
    api = ClientSecretBasic("service", SECRET)

    said = await introspect(http, server, api, token.access_token)

    assert (said.active, said.scope, said.client_id) == (True, "read", "web")
    assert said.username == "ada"
    assert not (await introspect(http, server, api, "unknown")).active


async def test_a_client_lives_as_it_is_registered(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Registration: from its beginning to its end."""
    itself = {"grant_types": ["client_credentials"], "client_name": "Reporter"}
    client = await register_client(http, server, itself)
    grant = ClientCredentials(scope="read")
    assert (await fetch_token(http, server, client.client_auth(), grant)).scope == "read"

    client = await read_registration(http, server, client)
    assert client.metadata["client_name"] == "Reporter"

    await delete_registration(http, server, client)
    with pytest.raises(InvalidClient):
        await fetch_token(http, server, client.client_auth(), grant)
