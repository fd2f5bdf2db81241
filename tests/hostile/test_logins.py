"""Callbacks, tokens and ways to be known, of a provider that misbehaves or is particular."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from oauthkit import (
    AsyncTokenSession,
    CallbackError,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    InteractionRequired,
    InvalidJWT,
    MemoryStore,
    PrivateKeyJWT,
    ReauthorizationRequired,
    TLSClientAuth,
    register_client,
    third_party_login,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.id_tokens import Edit
from oauthkit.testing.sockets import LoopbackServer
from tests.hostile.modules import FAPI1, FAPI2, OLD, RP, module
from tests.hostile.world import CALLBACK, Party, more_of, party, says

SECRET = "s" * 32
KEY = ECKey.generate_key("P-256", {"kid": "client-1"})


def changed(callback: str, **fields: str | None) -> str:
    """Return a callback with other parameters; None leaves one out."""
    url, _, query = callback.partition("?")
    merged = {**dict(parse_qsl(query)), **fields}
    return f"{url}?{urlencode({name: v for name, v in merged.items() if v is not None})}"


async def refused(rp: Party, **fields: str | None) -> None:
    """See a changed callback refused, and nothing sent for it."""
    login = await rp.begun()
    callback = changed(await rp.visit(login), **fields)
    with pytest.raises(CallbackError):
        await rp.log_in(login, callback=callback)
    await rp.is_silent(metadata=1)


# Callbacks


@module(f"{FAPI2}-invalid-authorization-response-iss", server="another `iss`", client="stops")
async def test_a_callback_of_another_issuer_is_refused(rp: Party) -> None:
    """IS-02, AT-01."""
    await refused(rp, iss=f"{rp.server.issuer}1")


@module(f"{FAPI2}-remove-authorization-response-iss", server="no `iss`", client="stops")
async def test_a_callback_without_the_issuer_is_refused(rp: Party) -> None:
    """IS-03."""
    await refused(rp, iss=None)


@module(
    f"{FAPI2}-ensure-authorization-response-with-invalid-state-fails",
    server="another `state`",
    client="stops",
)
async def test_a_callback_with_another_state_is_refused(rp: Party) -> None:
    """O2-43, AT-11."""
    await refused(rp, state="another")


@module(
    f"{FAPI2}-ensure-authorization-response-with-invalid-missing-state-fails",
    server="no `state`",
    client="stops",
)
async def test_a_callback_without_a_state_is_refused(rp: Party) -> None:
    """O2-43, AT-11."""
    await refused(rp, state=None)


@module(
    f"{RP}-form-post-error",
    server="posts an error, for `prompt=none` and `max_age=0`",
    client="reads the form, and raises the error as what it is",
)
async def test_an_error_that_is_posted_is_told(rp: Party) -> None:
    """OC-36, OC-38."""
    login = await rp.begun(response_mode="form_post", prompt="none", max_age=0)
    page = await rp.browser.get(login.url)
    assert 'method="post"' in page.text

    form = rp.fake.authorize(login.url)
    with pytest.raises(InteractionRequired) as caught:
        await rp.log_in(
            login,
            callback=form,
            method="POST",
            content_type="application/x-www-form-urlencoded",
        )
    assert caught.value.error == "login_required"
    await rp.is_silent(metadata=1)


@module(f"{OLD}-response_mode-form_post", server="posts the code", client="reads the form")
async def test_a_code_that_is_posted_is_exchanged(rp: Party) -> None:
    """OC-36."""
    login = await rp.begun(response_mode="form_post")
    form = "application/x-www-form-urlencoded"

    result = await rp.log_in(
        login, callback=rp.fake.authorize(login.url), method="POST", content_type=form
    )

    assert result.identity is not None


@module(
    f"{RP}-3rd-party-init-login",
    server="sends the browser to the client, with `iss`",
    client="begins a login of its own at that issuer",
)
async def test_a_login_that_the_provider_begins_is_one_of_ours(rp: Party) -> None:
    """OC-31."""
    query = urlencode({"iss": rp.server.issuer, "login_hint": "ada"})
    asked = third_party_login(query, issuers=[rp.server.issuer], site="https://app.example")
    login = await rp.begun(login_hint=asked.login_hint)

    assert (await rp.log_in(login)).identity is not None
    assert dict(parse_qsl(urlsplit(login.url).query))["login_hint"] == "ada"
    with pytest.raises(CallbackError):
        third_party_login("iss=https://evil.example", issuers=[rp.server.issuer], site=CALLBACK)


@module(
    f"{OLD}-claims_request-id_token",
    server="puts claims into the ID Token that were asked for",
    client="asks for them, and shows them",
)
async def test_claims_are_asked_for_and_shown(rp: Party) -> None:
    """OC-03."""
    rp.fake.claims = {"name": "Ada Lovelace"}
    login = await rp.begun(claims={"id_token": {"name": {"essential": True}}})
    result = await rp.log_in(login)

    assert result.identity is not None
    assert result.identity.claims["name"] == "Ada Lovelace"
    assert "claims=" in login.url


@module(
    f"{RP}-aggregated-claims",
    server="claims with a signature of somebody else's in the ID Token",
    client="shows them as they came, and asks nobody",
)
async def test_aggregated_claims_are_shown_as_they_came(rp: Party) -> None:
    """AT-35."""
    named = {"address": "src1"}
    sources = {"src1": {"JWT": "eyJhbGciOiJub25lIn0.e30."}}
    rp.fake.claims = {"_claim_names": named, "_claim_sources": sources}
    result = await rp.log_in()

    assert result.identity is not None
    assert result.identity.claims["_claim_names"] == named
    assert "address" not in result.identity.claims
    await rp.is_silent(metadata=1, token=1, jwks=1)


# Tokens


@module(f"{FAPI2}-token-type-case-insensitivity", server="`token_type` bEARER", client="accepts it")
async def test_the_case_of_a_token_type_does_not_matter(rp: Party) -> None:
    """O2-28."""
    rp.fake.token_type = "bEARER"

    assert (await rp.log_in()).identity is not None


@module(
    f"{FAPI2}-token-endpoint-response-without-expires_in",
    server="no `expires_in`",
    client="accepts it",
)
async def test_a_token_that_does_not_say_how_long_it_lives_is_accepted(rp: Party) -> None:
    """O2-30."""
    rp.fake.expires_in = None
    result = await rp.log_in()

    assert result.identity is not None
    assert result.token.expires_at is None


@module(
    f"{FAPI1}-no-scope-in-token-endpoint-response",
    server="neither `scope` nor `expires_in`",
    client="accepts it, with the scope that was asked for",
)
async def test_a_token_that_does_not_say_its_scope_has_that_of_the_login(rp: Party) -> None:
    """O2-15."""
    rp.fake.expires_in, rp.fake.extra = None, {"scope": None}

    assert (await rp.log_in()).token.scope == "openid read"


# Refreshes


async def renewed(rp: Party, edit: Edit | None) -> AsyncTokenSession[httpx.Response]:
    """Return a session whose token has ended, at a provider that edits ID Tokens from here on."""
    store = MemoryStore()
    result = await rp.log_in()
    await store.save("ada", result.token)
    rp.fake.edit_id_token = edit
    rp.fake.advance(61)
    return AsyncTokenSession(
        rp.http,
        server=rp.server,
        client_auth=rp.fake.client_auth,
        store=store,
        key="ada",
        base_url=rp.server.issuer,
        clock=rp.fake.clock,
    )


@module(
    f"{RP}-refresh-token",
    server="wants a new token after a while",
    client="refreshes, and goes on with the new one",
)
async def test_a_token_is_refreshed_and_used(rp: Party) -> None:
    """OC-29."""
    async with await renewed(rp, None) as session:
        answer = await session.get("/report")

    assert answer.status_code == httpx.codes.OK
    await rp.is_silent(metadata=1, token=2, jwks=1, api=1)


@module(
    f"{RP}-refresh-token-invalid-issuer",
    server="a refreshed ID Token with another issuer",
    client="rejects it, and uses nothing that came with it",
)
async def test_a_refreshed_id_token_of_another_issuer_is_rejected(rp: Party) -> None:
    """OC-29."""
    await not_renewed(rp, more_of("iss"))


@module(
    f"{RP}-refresh-token-invalid-sub",
    server="a refreshed ID Token of somebody else",
    client="rejects it, and uses nothing that came with it",
)
async def test_a_refreshed_id_token_of_somebody_else_is_rejected(rp: Party) -> None:
    """OC-29."""
    await not_renewed(rp, says(sub="grace"))


async def not_renewed(rp: Party, edit: Edit) -> None:
    async with await renewed(rp, edit) as session:
        with pytest.raises(ReauthorizationRequired) as caught:
            await session.get("/report")
        assert isinstance(caught.value.__cause__, InvalidJWT)
        await rp.is_silent(metadata=1, token=2, jwks=1)


@module(
    f"{FAPI1}-refresh-token",
    server="an API that says 401 first, and refresh tokens that are good once",
    client="refreshes each time, with the newest one",
)
async def test_a_refused_token_is_refreshed_with_the_newest_refresh_token(rp: Party) -> None:
    """BT-08, O2-36."""
    async with await renewed(rp, None) as session:
        for _ in range(2):
            rp.fake.revoke_access_tokens()
            assert (await session.get("/report")).status_code == httpx.codes.OK
    presented = [request.parameters.get("refresh_token") for request in rp.fake.token_requests]

    assert len(presented) == len(set(presented)) == len(rp.fake.token_requests)
    assert rp.fake.presented_twice == 0


# Ways to be known


@module(
    f"{RP}-dynamic-registration",
    server="knows the client only once that has registered itself",
    client="registers itself, and logs in as who it is then",
)
async def test_a_client_registers_itself_and_logs_in(rp: Party) -> None:
    """DC-01."""
    metadata = {"redirect_uris": [CALLBACK], "grant_types": ["authorization_code"]}
    made = await register_client(rp.http, rp.server, metadata, clock=rp.fake.clock)
    rp.fake.client_id, rp.fake.client_secret = made.client_id, made.client_secret

    result = await rp.log_in(client_auth=made.client_auth())

    assert result.identity is not None
    assert result.token.client_id == made.client_id != "client"
    await rp.is_silent(metadata=1, register=1, token=1, jwks=1)


async def known_by(client_auth: ClientAuth, method: str) -> None:
    """Log in at a provider that takes one way alone."""
    keys = {"keys": [KEY.as_dict(private=False)]}
    async with party(client_secret=SECRET, client_jwks=keys, auth_method=method) as rp:
        assert (await rp.log_in(client_auth=client_auth)).identity is not None
        (request,) = rp.fake.token_requests
        basic = request.headers.get("authorization", "").startswith("Basic ")
        assert basic is (method == "client_secret_basic")
        assert ("client_secret" in request.parameters) is (method == "client_secret_post")
        assert ("client_assertion" in request.parameters) is method.endswith("_jwt")


@module(f"{RP}-client-secret-basic", server="takes Basic alone", client="is known by it")
async def test_basic_is_enough() -> None:
    """O2-02, OC-33."""
    await known_by(ClientSecretBasic("client", SECRET), "client_secret_basic")


@module(
    f"{OLD}-token_endpoint-client_secret_post",
    server="takes the secret in the body alone",
    client="is known by it",
)
async def test_a_secret_in_the_body_is_enough() -> None:
    """O2-04, OC-33."""
    await known_by(ClientSecretPost("client", SECRET), "client_secret_post")


@module(
    f"{OLD}-token_endpoint-client_secret_jwt",
    server="takes an assertion by the secret alone",
    client="is known by it",
)
async def test_an_assertion_by_the_secret_is_enough() -> None:
    """OC-33."""
    await known_by(ClientSecretJWT("client", SECRET), "client_secret_jwt")


@module(
    f"{OLD}-token_endpoint-private_key_jwt",
    server="takes an assertion by the client's key alone",
    client="is known by it",
)
async def test_an_assertion_by_a_key_is_enough() -> None:
    """OC-33."""
    await known_by(PrivateKeyJWT("client", KEY.as_dict(private=True)), "private_key_jwt")


@module(
    f"{RP}-mtls-endpoint-aliases",
    server="a token endpoint of its own for clients with a certificate",
    client="asks that one",
)
async def test_a_client_with_a_certificate_asks_the_endpoint_for_such() -> None:
    """MT-05."""
    async with party(auth_method="tls_client_auth") as rp:

        async def answer(request: HTTPRequest) -> HTTPResponse:
            path = urlsplit(request.url).path
            moved = HTTPRequest(
                request.method, f"{rp.server.issuer}{path}", request.headers, request.content
            )
            return rp.fake.answer(moved)

        async with LoopbackServer(answer) as alias:
            rp.fake.metadata = {"mtls_endpoint_aliases": {"token_endpoint": f"{alias.url}/token"}}
            result = await rp.log_in(client_auth=TLSClientAuth("client"))

        assert result.identity is not None
        assert alias.connections == 1
        assert len(rp.fake.token_requests) == 1
