"""A logout that the server announces: whose tokens go, here and there."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import (
    ConfigurationError,
    InvalidJWT,
    LoggedOut,
    MemoryLogoutIndex,
    MemorySingleUseStore,
    MemoryStore,
    StoreError,
    Token,
    complete_logout,
    verify_logout_token,
)
from oauthkit.testing import FakeAuthorizationServer


@attrs.define
class World:
    """A server at which two people have logged in, one of them twice."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    store: MemoryStore
    index: MemoryLogoutIndex

    async def visit(self, key: str, subject: str, session_id: str, scope: str = "read") -> Token:
        token = self.fake.issue(scope)
        await self.store.save(key, token)
        await self.index.add(
            key,
            issuer=self.fake.issuer,
            subject=subject,
            session_id=session_id,
            expires_at=self.fake.clock.time() + 600,
        )
        return token

    async def log_out(self, text: str, **more: Any) -> LoggedOut:
        settings: dict[str, Any] = {"store": self.store, "index": self.index, **more}
        return await complete_logout(
            *(self.http, self.fake.server, self.fake.client_auth, text),
            clock=self.fake.clock,
            **settings,
        )

    async def left(self) -> list[str]:
        keys = ("phone", "laptop", "grace")
        return [key for key in keys if await self.store.load(key) is not None]


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    fake = FakeAuthorizationServer()
    fake.keys.algorithm = "ES256"
    clock = fake.clock
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        world = World(
            fake, http, MemoryStore(clock=clock.time), MemoryLogoutIndex(clock=clock.time)
        )
        await world.visit("phone", "ada", "session-1")
        await world.visit("laptop", "ada", "session-2")
        await world.visit("grace", "grace", "session-3")
        yield world


@pytest.mark.parametrize(
    "subject, session_id, left",
    [
        ("ada", None, ["grace"]),
        ("ada", "session-1", ["laptop", "grace"]),
        (None, "session-2", ["phone", "grace"]),
        ("nobody", None, ["phone", "laptop", "grace"]),
    ],
)
async def test_the_tokens_of_whom_it_is_about_are_gone_and_no_others(
    world: World, subject: str | None, session_id: str | None, left: list[str]
) -> None:
    """BL-02, BL-10."""
    done = await world.log_out(world.fake.logout_token(subject, session_id))

    assert await world.left() == left
    assert sorted({*done.keys, *left}) == ["grace", "laptop", "phone"]
    assert done.not_revoked == ()
    assert world.fake.families_alive == len(left)
    assert done.said.subject == subject


async def test_a_refresh_token_that_is_to_outlive_the_visit_is_not_revoked(world: World) -> None:
    """BL-10."""
    await world.visit("phone", "ada", "session-1", "openid offline_access")
    await world.store.save("laptop", Token("no refresh token"))
    asked = len(world.fake.endpoint_requests["revoke"])

    done = await world.log_out(world.fake.logout_token("ada"))

    assert (done.keys, done.not_revoked) == (("laptop", "phone"), ())
    assert await world.left() == ["grace"]
    assert len(world.fake.endpoint_requests["revoke"]) == asked


async def test_tokens_are_gone_though_the_server_does_not_revoke_them(world: World) -> None:
    world.fake.fail_next(503, endpoint="revoke")

    done = await world.log_out(world.fake.logout_token(None, "session-1"))

    assert await world.left() == ["laptop", "grace"]
    (failure,) = done.not_revoked
    assert "503" in str(failure)


async def test_a_key_whose_token_is_gone_or_cannot_be_read_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.store.delete("laptop")

    async def damaged(_: object, key: str, /) -> Token | None:
        message = "a damaged row"
        raise StoreError(message)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "load", damaged)
        done = await world.log_out(world.fake.logout_token("ada"))

    assert done.keys == ("laptop", "phone")
    assert await world.left() == ["grace"]
    assert (await world.log_out(world.fake.logout_token("ada"))).keys == ()


async def test_a_logout_token_that_comes_again_logs_nobody_out(world: World) -> None:
    """BL-08."""
    used = MemorySingleUseStore(clock=world.fake.clock.time)
    text = world.fake.logout_token("ada")
    await world.log_out(text, used=used)
    await world.visit("phone", "ada", "session-4")

    with pytest.raises(InvalidJWT, match="came before"):
        await world.log_out(text, used=used)
    with pytest.raises(InvalidJWT, match="came before"):
        await verify_logout_token(
            *(world.http, world.fake.server, "client", text), used=used, clock=world.fake.clock
        )
    assert await world.left() == ["phone", "grace"]


@pytest.mark.parametrize("fails", ["store", "index"])
async def test_a_logout_that_fails_half_way_can_be_announced_again(
    world: World, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AT-84, BL-08: who can be logged out is, and the others at the next try."""
    used, text = MemorySingleUseStore(clock=world.fake.clock.time), world.fake.logout_token("ada")
    place: Any = world.store if fails == "store" else world.index
    name = "delete" if fails == "store" else "remove"
    works = getattr(place, name)

    async def fail(key: str) -> None:
        if key == "laptop":
            message = "away"
            raise StoreError(message)
        await works(key)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, fail)
        with pytest.raises(StoreError, match="away"):
            await world.log_out(text, used=used)
    assert await world.left() == (["laptop", "grace"] if fails == "store" else ["grace"])
    revoked = len(world.fake.endpoint_requests["revoke"])
    assert revoked == (1 if fails == "store" else 2)

    assert (await world.log_out(text, used=used)).keys == ("laptop",)
    assert await world.left() == ["grace"]
    assert len(world.fake.endpoint_requests["revoke"]) == 2
    with pytest.raises(InvalidJWT, match="came before"):
        await world.log_out(text, used=used)


async def test_a_logout_whose_caller_is_gone_can_be_announced_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BL-08: a server waits for its answer for seconds."""
    used, text = MemorySingleUseStore(clock=world.fake.clock.time), world.fake.logout_token("ada")

    with anyio.CancelScope() as scope, monkeypatch.context() as patch:

        async def cancelled(key: str) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        patch.setattr(world.store, "delete", cancelled)
        await world.log_out(text, used=used)
    assert scope.cancelled_caught
    assert (await world.log_out(text, used=used)).keys == ("laptop", "phone")


async def test_what_cannot_be_taken_back_is_told_by_the_first_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = MemorySingleUseStore(clock=world.fake.clock.time)

    async def fail(name: str) -> None:
        raise StoreError(name)

    monkeypatch.setattr(world.store, "delete", fail)
    monkeypatch.setattr(used, "release", fail)
    with pytest.raises(StoreError, match="laptop"):
        await world.log_out(world.fake.logout_token("ada"), used=used)


async def test_a_forged_logout_token_logs_nobody_out_and_is_not_noted(world: World) -> None:
    """AT-84."""
    used, forged = MemorySingleUseStore(), world.fake.logout_draft("ada")
    forged.claims["aud"] = "another"

    with pytest.raises(InvalidJWT, match="audience"):
        await world.log_out(forged.signed(), used=used)

    assert await world.left() == ["phone", "laptop", "grace"]


@pytest.mark.parametrize("name", ["store", "index", "used"])
async def test_an_argument_of_another_kind_is_told_by_its_name(world: World, name: str) -> None:
    wrong: Any = {name: object()}

    with pytest.raises(ConfigurationError, match=f"complete_logout: {name}= takes"):
        await world.log_out(world.fake.logout_token("ada"), **wrong)
