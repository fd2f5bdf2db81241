"""Two sessions of two servers, or of two clients, over one store and one key."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientSecretBasic,
    ConfigurationError,
    MemoryStore,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    ResponseError,
    SealedStore,
    StoreError,
    Token,
    fetch_token,
)
from oauthkit.stores.base import TokenStore
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import (
    PASSWORD,
    STEADY,
    Elsewhere,
    ShakyStore,
    crowd,
    fail,
    quiet,
    shared_of,
    stored,
)

OTHER: Final = "https://other.example"

Use = Callable[[AsyncTokenSession[Any]], Awaitable[object]]
USES: Final[dict[str, Use]] = {
    "request": lambda session: session.get("/report"),
    "token": lambda session: session.token(),
    "renew": lambda session: session.renew(),
}


def elsewhere(fake: FakeAuthorizationServer) -> Token:
    """Return a token of another server, as its session would keep it."""
    return attrs.evolve(
        fake.issue(), issuer=OTHER, token_endpoint=f"{OTHER}/token", client_id=fake.client_id
    )


async def refused(fake: FakeAuthorizationServer, what: Awaitable[object]) -> ConfigurationError:
    """Return the error, after nothing was sent to anybody."""
    sent = len(fake.token_requests), len(fake.api_requests)
    error = await fail(what)
    assert isinstance(error, ConfigurationError)
    assert error.recovery is Recovery.CHANGE_REQUEST
    assert (len(fake.token_requests), len(fake.api_requests)) == sent
    return error


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
async def test_another_servers_token_is_neither_shown_nor_spent(
    use: Use, *, sealed: bool, expired: bool
) -> None:
    """AT-08: whoever turned the settings to another server."""
    fake, memory = FakeAuthorizationServer(), MemoryStore()
    store: TokenStore = SealedStore(memory, {"k": b"0" * 32}) if sealed else memory
    theirs = elsewhere(fake)
    await store.save("k", theirs)
    fake.advance(61 if expired else 0)
    async with crowd(fake, store, policy=STEADY, grant=PASSWORD) as session:
        for _ in range(3):
            error = await refused(fake, use(session))
            assert OTHER in str(error)
            assert str(fake.server.issuer) in str(error)
            assert "'k'" in str(error)
            assert theirs.access_token not in str(error)
            assert str(theirs.refresh_token) not in str(error)
        assert await store.load("k") == theirs
        await store.save("k", fake.issue())
        assert (await session.get("/report")).status_code == 200


async def test_another_clients_token_is_neither_shown_nor_spent() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    theirs = attrs.evolve(
        fake.issue(), token_endpoint=fake.server.token_endpoint, client_id="other"
    )
    await store.save("k", theirs)
    async with crowd(fake, store) as session:
        error = await refused(fake, session.get("/report"))
        assert "client 'other'" in str(error)
        assert f"client {fake.client_id!r}" in str(error)
    assert await store.load("k") == theirs


async def test_two_servers_in_one_process_share_no_token_under_one_key() -> None:
    """What is at hand is handed out with no look at the store."""
    a, b = FakeAuthorizationServer(), FakeAuthorizationServer()
    store, settings = MemoryStore(), {"key": "k", "policy": STEADY}
    other = AuthorizationServer(f"{OTHER}/token")
    async with (
        a.session(grant=PASSWORD, store=store, **settings) as ours,  # type: ignore[arg-type]
        b.session(grant=PASSWORD, store=store, server=other, **settings) as theirs,  # type: ignore[arg-type]
    ):
        token = await ours.token()
        assert token.token_endpoint == a.server.token_endpoint
        await refused(b, theirs.token())
        await refused(b, theirs.get("/report"))
        await refused(b, theirs.for_key("k", grant=PASSWORD).token())
        assert await ours.token() == token
        assert shared_of(ours) is not shared_of(theirs)
        assert shared_of(ours) is shared_of(ours.for_key("k"))


async def test_what_one_session_has_spent_no_other_presents_that_names_the_server_otherwise() -> (
    None
):
    """While the store takes no saves, it still has the refresh token that was rotated."""
    fake, store = FakeAuthorizationServer(), ShakyStore(lease_seconds=0.5)
    await stored(fake, store)
    unnamed = AuthorizationServer(fake.server.token_endpoint)
    policy = RenewalPolicy(timeout=0.4, save_timeout=0.1)
    async with (
        crowd(fake, store, policy=policy) as ours,
        crowd(fake, store, policy=policy, server=unnamed) as theirs,
    ):
        store.broken = {"save"}
        assert isinstance(await fail(ours.token()), StoreError)
        await anyio.sleep(0.5)  # the lease is over
        assert isinstance(await fail(theirs.token()), ReauthorizationRequired)
        store.broken = set()
        fake.advance(1.5)
        token = await ours.token()
        await quiet(ours)
        fake.advance(1.5)
        assert await theirs.token() == token == await store.load("k")
    assert (len(fake.token_requests), fake.presented_twice) == (1, 0)


async def test_a_login_at_another_server_ends_what_this_one_had_in_memory() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        await session.token()
        await store.save("k", elsewhere(fake))
        await refused(fake, session.token())
        await store.delete("k")
        await store.save("k", fake.issue())
        await session.token()


async def test_a_login_at_another_server_by_another_process_is_seen_at_the_next_look() -> None:
    fake, store = FakeAuthorizationServer(expires_in=600), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, Elsewhere(store), policy=RenewalPolicy(recheck=5.0)) as session:
        await session.token()
        await store.save("k", elsewhere(fake))
        fake.advance(6)
        await refused(fake, session.token())


async def test_the_truth_is_told_in_a_pause_after_a_failure_too() -> None:
    """No pause will mend it."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, Elsewhere(store), policy=STEADY) as session:
        fake.fail_next(503, headers={"retry-after": "50"})
        assert isinstance(await fail(session.token()), ResponseError)
        assert isinstance(await fail(session.token()), ResponseError)
        await store.save("k", elsewhere(fake))
        await refused(fake, session.token())


async def test_a_token_to_begin_with_of_another_server_is_refused() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store, token=elsewhere(fake), grant=PASSWORD) as session:
        await refused(fake, session.get("/report"))
    assert await store.load("k") is None
    async with fake.session(token=elsewhere(fake)) as session:
        await refused(fake, session.get("/report"))


async def test_what_a_session_gets_is_bound() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    bound = {"token_endpoint": fake.server.token_endpoint, "client_id": fake.client_id}
    async with crowd(fake, store, grant=PASSWORD) as session:
        for get in (session.token, session.renew):
            token = await get()
            assert token.issuer == fake.server.issuer
            assert {name: getattr(token, name) for name in bound} == bound
            assert await store.load("k") == token


async def test_what_is_fetched_is_bound() -> None:
    fake = FakeAuthorizationServer()
    server = AuthorizationServer(f"{fake.server.token_endpoint}?tenant=5", issuer=OTHER)
    auth = ClientSecretBasic(fake.client_id, str(fake.client_secret))
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = await fetch_token(http, server, auth, PASSWORD)
    assert (token.issuer, token.client_id) == (OTHER, fake.client_id)
    assert token.token_endpoint == fake.server.token_endpoint
    assert token.to_dict()["issuer"] == OTHER


async def test_a_record_of_the_first_version_is_used_and_bound_by_its_renewal() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    old = {"access_token", "expires_at", "refresh_token", "extra"}
    record = {n: v for n, v in fake.issue().to_dict().items() if n in old}
    await store.save("k", Token.from_dict(record))
    async with crowd(fake, store) as session:
        assert (await session.get("/report")).status_code == 200
        await session.renew()
    renewed = await store.load("k")
    assert renewed is not None
    assert renewed.client_id == fake.client_id


async def test_to_name_the_issuer_later_breaks_nothing() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    unnamed, named = (
        AuthorizationServer(fake.server.token_endpoint, issuer=issuer) for issuer in (None, OTHER)
    )
    for server, issuer in ((unnamed, None), (named, OTHER), (unnamed, OTHER), (named, OTHER)):
        async with crowd(fake, store, server=server, grant=PASSWORD) as session:
            assert (await session.get("/report")).status_code == 200
            assert (await session.renew()).issuer == issuer
    granted = [request.parameters["grant_type"] for request in fake.token_requests]
    assert granted.count("password") == 1
    assert (fake.families_killed, fake.presented_twice) == (0, 0)
