"""From the callback to the token and to who it is."""

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import attrs
import httpx
import httpx2
import pytest

from oauthkit import (
    AccessDenied,
    AuthorizationRequest,
    AuthorizationServer,
    CallbackError,
    ClientAuth,
    ClientMetadata,
    ClientSecretBasic,
    ConfigurationError,
    Discovered,
    InvalidGrant,
    InvalidJWT,
    LoggedIn,
    MemorySingleUseStore,
    PublicClient,
    Recovery,
    RegisteredClient,
    ResponseError,
    StoreError,
    TransportError,
    complete_login,
    verify_id_token,
)
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft
from tests.tokens import shown

CALLBACK = "https://app.example/callback"


def new_fake(algorithm: str = "ES256", **settings: Any) -> FakeAuthorizationServer:
    fake = FakeAuthorizationServer(**settings)
    fake.keys.algorithm = algorithm
    return fake


@attrs.define
class World:
    """A fake server and a client of it, with what a login of them needs."""

    fake: FakeAuthorizationServer
    http: Any
    server: AuthorizationServer | Discovered

    async def begun(self, scope: str = "openid read", **wishes: Any) -> AuthorizationRequest:
        known = self.server
        if isinstance(known, Discovered):
            known = await known.server(self.http)
        return AuthorizationRequest.new(
            known, self.fake.client_id, redirect_uri=CALLBACK, scope=scope, **wishes
        )

    async def complete(
        self,
        login: AuthorizationRequest,
        callback: str | None = None,
        client_auth: ClientAuth | None = None,
        **more: Any,
    ) -> LoggedIn:
        return await complete_login(
            self.http,
            self.server,
            client_auth or self.fake.client_auth,
            login,
            callback or self.fake.authorize(login.url),
            clock=self.fake.clock,
            **more,
        )

    async def log_in(self, scope: str = "openid read", **more: Any) -> LoggedIn:
        return await self.complete(await self.begun(scope), **more)

    @property
    def fetched(self) -> int:
        return len(self.fake.endpoint_requests["jwks"])


@asynccontextmanager
async def world_of(fake: FakeAuthorizationServer, **settings: Any) -> AsyncGenerator[World]:
    server = attrs.evolve(fake.server, **settings)
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield World(fake, http, server)


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with world_of(new_fake()) as made:
        yield made


@pytest.mark.parametrize("make", [httpx.AsyncClient, httpx2.AsyncClient], ids=["httpx", "httpx2"])
async def test_a_person_logs_in_over_a_real_socket(make: Any) -> None:
    fake = new_fake("RS256", claims={"email": "ada@example.com"})
    async with fake.serve() as url, make() as http:
        world = World(fake, http, Discovered(url))
        result = await world.log_in()

    assert result.identity is not None
    assert (result.identity.issuer, result.identity.subject) == (url, "ada")
    assert result.identity.claims["email"] == "ada@example.com"
    assert result.token.access_token == "access-token-2"
    assert result.not_verified is None


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "ES512", "EdDSA", "Ed25519"])
async def test_every_algorithm_that_the_metadata_names_is_looked_at(algorithm: str) -> None:
    """JO-18, OC-10: also where the two names of Ed25519 differ."""
    async with world_of(new_fake(algorithm)) as world:
        assert (await world.log_in()).identity is not None
    other = {"EdDSA": "Ed25519", "Ed25519": "EdDSA"}.get(algorithm, algorithm)
    async with world_of(
        new_fake(algorithm), id_token_signing_alg_values_supported=(other,)
    ) as world:
        assert (await world.log_in()).verified().subject == "ada"


async def test_without_the_scope_openid_nobody_is_told(world: World) -> None:
    result = await world.log_in("read")

    assert (result.identity, result.not_verified) == (None, None)
    with pytest.raises(ConfigurationError, match="add openid to scope="):
        result.verified()
    assert result.token.access_token == "access-token-2"
    assert world.fetched == 0


async def test_an_id_token_that_is_missing_ends_the_login(world: World) -> None:
    """OC-04."""
    world.fake.extra = {"id_token": None}

    with pytest.raises(InvalidJWT, match="the answer has no id_token, though the scope openid"):
        await world.log_in()


async def test_an_id_token_that_is_wrong_ends_the_login_and_is_not_shown(world: World) -> None:
    """OC-16, AT-10, AT-70: nor is the code, the token, or the secret of the client."""
    sent: list[str] = []

    def of_another_login(draft: Draft) -> str:
        draft.claims["nonce"] = "nonce-of-another-login"
        sent.append(draft.signed())
        return sent[0]

    world.fake.edit_id_token = of_another_login
    login = await world.begun()
    callback = world.fake.authorize(login.url)

    with pytest.raises(InvalidJWT, match="its nonce is another") as caught:
        await world.complete(login, callback)

    told = shown(caught.value)
    for secret in (*sent, callback, login.nonce, login.code_verifier, "access-token-2", "code-1"):
        assert str(secret) not in told
    assert len(world.fake.token_requests) == world.fetched == 1


async def test_the_hash_of_the_access_token_is_compared(world: World) -> None:
    """OC-20."""
    world.fake.extra = {"access_token": "an-access-token-that-was-put-in"}

    with pytest.raises(InvalidJWT, match="its at_hash"):
        await world.log_in()


async def test_who_authenticated_too_long_ago_is_refused(world: World) -> None:
    """OC-19."""
    await world.log_in()
    world.fake.advance(600)
    login = await world.begun(max_age=300)
    assert (await world.complete(login)).identity is not None  # asked for again by the server

    world.fake.claims = {"auth_time": world.fake.clock.time() - 400}
    with pytest.raises(InvalidJWT, match="the person authenticated 400 s ago, and max_age was 300"):
        await world.complete(await world.begun(max_age=300))


async def test_an_acr_that_is_essential_has_to_be_there(world: World) -> None:
    """OC-18."""
    claims = {"id_token": {"acr": {"essential": True, "values": ["silver"]}}}
    world.fake.claims = {"acr": "bronze"}
    with pytest.raises(InvalidJWT, match="its acr is missing, or none"):
        await world.complete(await world.begun(claims=claims))

    world.fake.claims = {"acr": "silver"}
    result = await world.complete(await world.begun(claims=claims))
    assert result.identity is not None
    assert result.identity.acr == "silver"


# The callback


async def test_a_forged_callback_sends_nothing_and_does_not_use_the_login_up(world: World) -> None:
    """AT-11, O2-43."""
    login = await world.begun()

    with pytest.raises(CallbackError) as caught:
        await world.complete(login, f"{CALLBACK}?code=stolen-code&state=another")
    assert "stolen-code" not in shown(caught.value)
    assert world.fake.token_requests == []

    assert (await world.complete(login)).identity is not None


async def test_a_refusal_of_the_resource_owner_is_raised(world: World) -> None:
    login = await world.begun()

    with pytest.raises(AccessDenied):
        await world.complete(login, world.fake.authorize(login.url, error="access_denied"))


async def test_a_code_that_the_server_refuses_is_an_error(world: World) -> None:
    login = await world.begun()
    callback = world.fake.authorize(login.url)
    world.fake.advance(61)

    with pytest.raises(InvalidGrant):
        await world.complete(login, callback)
    assert world.fetched == 0


async def test_a_login_that_has_ended_is_not_completed(world: World) -> None:
    login = attrs.evolve(await world.begun(), expires_at=world.fake.clock.time() - 1)

    with pytest.raises(CallbackError):
        await world.complete(login)


async def test_a_posted_callback_is_taken_as_a_form(world: World) -> None:
    login = await world.begun(response_mode="form_post")
    callback = world.fake.authorize(login.url)
    with pytest.raises(CallbackError):
        await world.complete(login, callback, method="GET")

    form = "application/x-www-form-urlencoded"
    result = await world.complete(login, callback, method="POST", content_type=form)
    assert result.identity is not None


# What cannot be verified is said while the code is good


async def unspent(world: World, login: AuthorizationRequest, match: str, **more: Any) -> None:
    with pytest.raises(ConfigurationError, match=match):
        await world.complete(login, **more)
    assert world.fake.token_requests == []
    assert (await world.complete(login)).identity is not None


async def test_without_joserfc_a_login_is_refused_before_the_code_is_spent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await world.begun()
    callback = world.fake.authorize(login.url)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "joserfc", None)
        with pytest.raises(ConfigurationError, match=r"scope openid needs joserfc.*oauthkit\[jose"):
            await world.complete(login, callback)

    assert world.fake.token_requests == []
    assert (await world.complete(login, callback)).identity is not None


async def test_a_login_that_asks_for_nobody_needs_neither_joserfc_nor_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    world.server = attrs.evolve(
        world.fake.server,
        issuer=None,
        jwks_uri=None,
        authorization_response_iss_parameter_supported=False,
    )

    result = await world.complete(await world.begun("read"))

    assert (result.token.scope, result.identity) == ("read", None)


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"issuer": None}, "an ID Token is believed of one issuer alone"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"id_token_signing_alg_values_supported": ("HS256",)}, "no algorithm is left"),
    ],
)
async def test_a_server_that_cannot_be_believed_is_refused_before_the_code_is_spent(
    world: World, settings: dict[str, Any], match: str
) -> None:
    """OC-10."""
    login, server = await world.begun(), world.server
    assert isinstance(server, AuthorizationServer)
    if "issuer" in settings:
        settings = {**settings, "authorization_response_iss_parameter_supported": False}
    world.server = attrs.evolve(server, **settings)
    with pytest.raises(ConfigurationError, match=match):
        await world.complete(login)
    world.server = server

    assert world.fake.token_requests == []
    assert (await world.complete(login)).identity is not None


@pytest.mark.parametrize(
    "metadata, match",
    [
        (ClientMetadata(id_token_signed_response_alg="none"), "no algorithm is left"),
        (ClientMetadata(id_token_signed_response_alg="HS256"), "HS256 needs a client secret of 32"),
        (ClientMetadata(id_token_encrypted_response_alg="RSA1_5"), "RSA1_5 with A128CBC-HS256 is"),
        (ClientMetadata(id_token_encrypted_response_alg="ECDH-ES"), "needs a private EC key"),
    ],
    ids=["none", "HS256", "RSA1_5", "no key"],
)
async def test_a_registration_that_cannot_be_kept_to_is_refused_before_the_code_is_spent(
    world: World, metadata: ClientMetadata, match: str
) -> None:
    """OC-11, OC-12, OC-35."""
    await unspent(world, await world.begun(), match, client_metadata=metadata)


async def test_the_clocks_may_differ_by_as_much_as_is_said(world: World) -> None:
    """OC-14, AT-79."""
    world.fake.claims = {"iat": world.fake.clock.time() + 59}

    assert (await world.log_in(leeway=60)).identity is not None
    with pytest.raises(InvalidJWT, match="ahead"):
        await world.log_in()


@pytest.mark.parametrize("leeway", [-1, 601])
async def test_a_leeway_that_is_none_is_refused_before_the_code_is_spent(
    world: World, leeway: float
) -> None:
    """OC-13."""
    await unspent(world, await world.begun(), "leeway= must be from 0 to 600", leeway=leeway)


async def test_a_public_client_has_no_secret_for_a_mac(world: World) -> None:
    """OC-11."""
    metadata = ClientMetadata(id_token_signed_response_alg="HS256")
    public = PublicClient(world.fake.client_id)

    await unspent(
        world,
        await world.begun(),
        "this client has none such",
        client_auth=public,
        client_metadata=metadata,
    )


@pytest.mark.parametrize(
    "argument", ["server", "client_auth", "login", "client_metadata", "timeout", "leeway"]
)
async def test_an_argument_of_another_kind_is_told_by_its_name(world: World, argument: str) -> None:
    login = await world.begun()
    given: dict[str, Any] = {
        "server": world.server,
        "client_auth": world.fake.client_auth,
        "login": login,
        "callback": world.fake.authorize(login.url),
        argument: "text",
    }
    with pytest.raises(ConfigurationError, match=f"{argument}=? takes"):
        await complete_login(world.http, **given)


# Keys


async def test_many_logins_over_one_server_fetch_its_keys_once() -> None:
    """JO-11."""
    fake = new_fake()
    async with world_of(fake) as world:
        await many(world, 50)
        assert world.fetched == 1


async def test_many_logins_over_an_issuer_fetch_metadata_and_keys_once() -> None:
    """JO-11."""
    fake = new_fake()
    async with world_of(fake) as world:
        world.server = Discovered(fake.issuer, clock=fake.clock)
        await many(world, 50)
        assert (world.fetched, len(fake.metadata_requests)) == (1, 1)


async def many(world: World, tasks: int) -> None:
    done: list[LoggedIn] = []

    async def one() -> None:
        done.append(await world.log_in())

    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(one)
    assert all(result.identity is not None for result in done)
    assert len(done) == tasks


async def test_keys_that_were_fetched_outlive_the_metadata_that_named_them() -> None:
    fake = new_fake()
    async with world_of(fake) as world:
        world.server = Discovered(fake.issuer, life=60, clock=fake.clock)
        await world.log_in()
        fake.advance(61)
        await world.log_in()
        assert (len(fake.metadata_requests), world.fetched) == (2, 1)


@pytest.mark.parametrize("keep_old", [True, False])
async def test_a_rotation_between_the_fetch_of_the_keys_and_a_login_is_found(
    world: World, *, keep_old: bool
) -> None:
    """OC-34."""
    await world.log_in()
    world.fake.keys.rotate(keep_old=keep_old)
    world.fake.advance(1)

    assert (await world.log_in()).identity is not None
    assert world.fetched == 2


async def test_a_login_is_good_though_the_keys_cannot_be_had(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """OC-09: the token is not lost, nobody is believed, and it can be told later."""
    world.fake.fail_next(503, headers={"retry-after": "5"}, endpoint="jwks")
    login = await world.begun()

    with caplog.at_level(logging.DEBUG, logger="oauthkit"):
        result = await world.complete(login)

    assert result.identity is None
    assert isinstance(result.not_verified, ResponseError)
    assert result.not_verified.retry_after == 5
    with pytest.raises(ResponseError) as caught:
        result.verified()
    assert (caught.value.retry_after, str(caught.value)) == (5, str(result.not_verified))
    assert caught.value is not result.not_verified, "it would collect tracebacks"
    assert result.token.access_token == "access-token-2"
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (warning,) = warnings
    assert warning.getMessage().startswith("who has logged in could not be verified: ")
    told = vars(warning)
    assert (told["oauth_event"], told["oauth_outcome"]) == ("IdentityNotVerified", "failed")
    assert told["oauth_server"] == "https://auth.example"
    for secret in ("access-token-2", str(result.token.id_token), str(login.nonce)):
        assert secret not in f"{caplog.text}{result}{shown(result.not_verified)}"

    verify = partial(
        verify_id_token,
        world.http,
        world.server,
        world.fake.client_auth,
        str(result.token.id_token),
        nonce=login.nonce,
        access_token=result.token.access_token,
        clock=world.fake.clock,
    )
    with pytest.raises(ResponseError):
        await verify()
    world.fake.advance(5)
    assert (await verify()).subject == "ada"
    assert len(world.fake.token_requests) == 1


async def test_a_lost_answer_with_the_keys_does_not_lose_the_token(world: World) -> None:
    world.fake.lose_next_answer(endpoint="jwks")

    result = await world.log_in()

    assert isinstance(result.not_verified, TransportError)
    assert result.token.refresh_token is not None


async def test_an_issuer_that_is_away_is_told_before_the_code_is_spent() -> None:
    fake = new_fake()
    async with world_of(fake) as world:
        login = await world.begun()
        world.server = Discovered(fake.issuer, clock=fake.clock)
        fake.fail_next(503, endpoint="metadata")
        with pytest.raises(TransportError):
            await world.complete(login)
        assert fake.token_requests == []
        fake.advance(60)
        assert (await world.complete(login)).identity is not None


async def test_a_secret_that_is_long_enough_is_the_key_of_a_mac_where_one_is_registered() -> None:
    """OC-11: in UTF-8; keys of the server are not needed then."""
    fake = new_fake("HS256", client_secret="é" * 16)
    metadata = ClientMetadata(id_token_signed_response_alg="HS256")
    async with world_of(fake) as world:
        world.server = attrs.evolve(fake.server, jwks_uri=None)
        result = await world.complete(await world.begun(), client_metadata=metadata)
        assert result.identity is not None
        assert world.fetched == 0

        stranger = ClientSecretBasic(fake.client_id, "e" * 32)
        with pytest.raises(InvalidJWT, match="the signature of the ID Token is not good"):
            await verify_id_token(
                world.http,
                world.server,
                stranger,
                str(result.token.id_token),
                client_metadata=metadata,
                clock=fake.clock,
            )


# Accepted once, in all processes


class Unreachable:
    """A store of what was used that is away."""

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        message = "the store is away"
        raise StoreError(message)

    async def release(self, name: str, /) -> None:
        message = "the store is away"
        raise StoreError(message)


@attrs.frozen
class UsedElsewhere:
    """A store in which another process has noted everything already."""

    asked: list[tuple[str, float]] = attrs.field(factory=list[tuple[str, float]])

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        self.asked.append((name, expires_at))
        return False

    async def release(self, name: str, /) -> None:
        raise AssertionError


@pytest.mark.parametrize("now", [None, 0.0])
async def test_a_login_that_another_process_has_accepted_is_refused_and_nothing_sent(
    world: World, now: float | None
) -> None:
    """AT-12."""
    used = UsedElsewhere()
    wishes: Any = {} if now is None else {"now": world.fake.clock.time()}
    login = await world.begun(**wishes)

    with pytest.raises(CallbackError, match="accepted before"):
        await world.complete(login, used=used)

    ends = world.fake.clock.time() + 86_400 if now is None else login.expires_at
    assert used.asked == [(login.once_id, ends)]
    assert world.fake.token_requests == []


async def test_a_login_is_noted_before_its_code_is_sent(world: World) -> None:
    used = MemorySingleUseStore(clock=world.fake.clock.time)
    login = await world.begun()

    result = await world.complete(login, used=used)

    assert result.identity is not None
    assert not await used.claim(login.once_id, expires_at=world.fake.clock.time() + 60)


async def test_a_forged_callback_does_not_use_a_login_up_elsewhere(world: World) -> None:
    used, login = UsedElsewhere(), await world.begun()

    with pytest.raises(CallbackError, match="state"):
        await world.complete(login, "?code=stolen&state=forged", used=used)

    assert used.asked == []


async def test_what_cannot_be_noted_is_not_used_and_leads_to_a_new_login(world: World) -> None:
    with pytest.raises(StoreError, match="away") as caught:
        await world.complete(await world.begun(), used=Unreachable())

    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert world.fake.token_requests == []


class Forgetful(MemorySingleUseStore):
    """A store that is away after the claim."""

    async def release(self, name: str, /) -> None:
        message = "the store is away"
        raise StoreError(message)


async def failed(world: World, login: AuthorizationRequest, callback: str, **more: Any) -> Any:
    """Return why a login could not be completed by a client whose connections are refused."""

    def refuse(request: httpx.Request) -> httpx.Response:
        message = "refused"
        raise httpx.ConnectError(message)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(TransportError) as caught:
            await attrs.evolve(world, http=http).complete(login, callback, **more)
    return caught.value


@pytest.mark.parametrize("shared", [True, False])
async def test_a_code_that_has_not_left_can_be_brought_again(world: World, *, shared: bool) -> None:
    """AT-12: the connection was refused, so that nothing is spent here or elsewhere."""
    used = MemorySingleUseStore(clock=world.fake.clock.time) if shared else None
    login = await world.begun()
    callback = world.fake.authorize(login.url)

    error = await failed(world, login, callback, used=used)
    assert (error.sent, error.recovery) == (False, Recovery.RETRY_LATER)
    assert (await world.complete(login, callback, used=used)).identity is not None

    with pytest.raises(CallbackError, match="accepted before"):
        await world.complete(login, callback, used=used)


class Sealed(ClientSecretBasic):
    """A client whose secret is out of reach."""

    async def authenticate(self, *_: Any, **__: Any) -> Any:
        message = "the vault is sealed"
        raise RuntimeError(message)


async def test_a_client_authentication_that_fails_costs_no_login(world: World) -> None:
    login = await world.begun()
    callback = world.fake.authorize(login.url)
    with pytest.raises(RuntimeError, match="sealed"):
        await world.complete(login, callback, Sealed("client", "s3cret"))

    assert (await world.complete(login, callback)).identity is not None


async def test_a_claim_that_cannot_be_taken_back_leads_to_a_new_login(world: World) -> None:
    used = Forgetful(clock=world.fake.clock.time)
    login = await world.begun()

    error = await failed(world, login, world.fake.authorize(login.url), used=used)
    assert error.recovery is Recovery.REAUTHORIZE

    login = await world.begun()
    callback = world.fake.authorize(login.url)
    with pytest.raises(RuntimeError, match="sealed"):
        await world.complete(login, callback, Sealed("client", "s3cret"), used=used)
    with pytest.raises(CallbackError, match="accepted before"):
        await world.complete(login, callback, used=used)


async def test_a_code_that_may_have_left_is_not_brought_again(world: World) -> None:
    """AT-12."""
    login = await world.begun()
    callback = world.fake.authorize(login.url)
    world.fake.fail_next(503)
    with pytest.raises(ResponseError) as caught:
        await world.complete(login, callback)

    assert caught.value.recovery is Recovery.REAUTHORIZE
    with pytest.raises(CallbackError, match="accepted before"):
        await world.complete(login, callback)


# A server that moves


@pytest.mark.parametrize("gone", [True, False])
async def test_keys_that_have_moved_are_found_where_the_metadata_has_them_by_now(
    *, gone: bool
) -> None:
    """The old place has nothing any more, or still the old keys."""
    fake, elsewhere = new_fake(), new_fake(issuer="https://keys.example")
    elsewhere.keys = fake.keys
    old = fake.keys.jwks()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "keys.example":
            return await elsewhere.transport().handle_async_request(request)
        if request.url.path == "/jwks" and fake.keys.number > 1:
            return httpx.Response(404) if gone else httpx.Response(200, json=old)
        return await fake.transport().handle_async_request(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        world = World(fake, http, Discovered(fake.issuer, clock=fake.clock))
        await world.log_in()
        fake.keys.rotate()
        fake.metadata = {"jwks_uri": "https://keys.example/jwks"}
        fake.advance(31)  # it was not looked at a moment ago

        assert (await world.log_in()).identity is not None
        assert len(fake.metadata_requests) == 2


async def test_a_key_that_is_nowhere_is_refused_wherever_the_metadata_points() -> None:
    fake = new_fake()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        world = World(fake, http, Discovered(fake.issuer, clock=fake.clock))
        await world.log_in()
        fake.advance(31)

        def edit(draft: Draft) -> None:
            draft.header["kid"] = "nowhere"

        fake.edit_id_token = edit
        for _ in range(3):
            with pytest.raises(InvalidJWT, match="not good for any key"):
                await world.log_in()
        assert (len(fake.metadata_requests), world.fetched) == (2, 2)


async def test_a_function_of_the_callers_that_fails_costs_no_token() -> None:
    fake = new_fake()

    def accept(issuer: str) -> bool:
        message = "a fault of the caller's"
        raise LookupError(message)

    async with httpx.AsyncClient(transport=fake.transport()) as http:
        issuer = Discovered(fake.issuer, accept_issuer=accept, clock=fake.clock)
        world = World(fake, http, issuer)
        fake.claims = {"iss": f"{fake.issuer}/tenant"}
        result = await world.log_in()

    assert result.identity is None
    assert isinstance(result.not_verified, ConfigurationError)
    assert "LookupError" in str(result.not_verified)


async def test_a_registered_secret_that_has_an_end_is_the_key_of_a_mac_too() -> None:
    secret = "s" * 32
    fake = new_fake("HS256", client_secret=secret)
    client = RegisteredClient(
        client_id="client",
        client_secret=secret,
        client_secret_expires_at=int(fake.clock.time()) + 600,
        metadata={"token_endpoint_auth_method": "client_secret_basic"},
    )
    async with world_of(fake) as world:
        result = await world.complete(
            await world.begun(),
            client_auth=client.client_auth(),
            client_metadata=ClientMetadata(id_token_signed_response_alg="HS256"),
        )

    assert result.identity is not None
