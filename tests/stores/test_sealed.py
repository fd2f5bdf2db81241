import builtins
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.memory import MemoryStore
from oauthkit.stores.sealed import SealedStore

OLD, NEW = b"secret-canary-16", b"secret-canary-of-32-bytes-in-all"
TOKEN = Token(
    "secret-canary",
    expires_at=1_700_000_000.0,
    refresh_token="secret-canary-too",
    refresh_expires_at=1_800_000_000.0,
    scope="read",
)


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


async def unreadable(store: SealedStore, inner: MemoryStore, reason: str) -> None:
    """Require that a token is neither read nor lost."""
    before = await inner.load("ada")
    with pytest.raises(StoreError, match=reason) as caught:
        await store.load("ada")
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert "canary" not in str(caught.value)
    with pytest.raises(StoreError, match=reason):
        async with store.lease("ada"):
            pytest.fail("a renewal would replace what cannot be read")
    assert await inner.load("ada") == before


async def test_nothing_secret_is_in_the_store(inner: MemoryStore) -> None:
    """AT-72: in the clear are the moments of expiry and that there is a refresh token."""
    await SealedStore(inner, {"new": NEW}).save("ada", TOKEN)
    kept = await inner.load("ada")
    assert kept is not None
    assert kept.access_token.startswith("v1.new.")
    assert "canary" not in str(kept.to_dict())
    assert kept.token_type == "sealed"
    assert kept.scope is None
    assert (kept.expires_at, kept.refresh_expires_at) == (1_700_000_000.0, 1_800_000_000.0)
    assert kept.refresh_token == "sealed"


async def test_no_refresh_token_stays_none(inner: MemoryStore) -> None:
    await SealedStore(inner, {"new": NEW}).save("ada", Token("one"))
    kept = await inner.load("ada")
    assert kept is not None
    assert kept.refresh_token is None


async def test_the_same_token_is_never_sealed_alike(inner: MemoryStore) -> None:
    store = SealedStore(inner, {"new": NEW})
    await store.save("ada", TOKEN)
    first = await inner.load("ada")
    await store.save("ada", TOKEN)
    assert await inner.load("ada") != first


async def test_old_keys_read_and_the_first_writes(inner: MemoryStore) -> None:
    await SealedStore(inner, {"old": OLD}).save("ada", TOKEN)
    both = SealedStore(inner, {"new": NEW, "old": OLD})
    assert await both.load("ada") == TOKEN
    async with both.lease("ada") as lease:
        await lease.save(TOKEN)
        assert await lease.load() == TOKEN
        assert await lease.load() == TOKEN
    assert await SealedStore(inner, {"new": NEW}).load("ada") == TOKEN


async def test_a_missing_key_is_said_and_the_token_kept(inner: MemoryStore) -> None:
    await SealedStore(inner, {"old": OLD}).save("ada", TOKEN)
    await unreadable(SealedStore(inner, {"new": NEW}), inner, "not among the keys")
    assert await SealedStore(inner, {"old": OLD}).load("ada") == TOKEN


async def test_a_wrong_key_is_said_and_the_token_kept(inner: MemoryStore) -> None:
    await SealedStore(inner, {"k": OLD}).save("ada", TOKEN)
    await unreadable(SealedStore(inner, {"k": NEW}), inner, "key is another one")
    assert await SealedStore(inner, {"k": OLD}).load("ada") == TOKEN


async def test_a_login_replaces_and_a_logout_forgets_what_cannot_be_read(
    inner: MemoryStore,
) -> None:
    await SealedStore(inner, {"k": OLD}).save("ada", Token("before"))
    store = SealedStore(inner, {"k": NEW})
    await store.save("ada", TOKEN)
    assert await store.load("ada") == TOKEN
    await SealedStore(inner, {"k": OLD}).save("ada", Token("before"))
    await store.delete("ada")
    assert await store.load("ada") is None


async def test_tokens_cannot_be_swapped(inner: MemoryStore) -> None:
    """The store key is bound to the encrypted text."""
    store = SealedStore(inner, {"new": NEW})
    await store.save("mallory", TOKEN)
    moved = await inner.load("mallory")
    assert moved is not None
    await inner.save("ada", moved)
    await unreadable(store, inner, "moved here")


@pytest.mark.parametrize(
    "alter",
    [
        ("v1.new.", "v1.old."),
        ("[A-Za-z0-9_-]{4}$|[A-Za-z0-9_-]{4}(?==)", "AAAA"),
        (r"v1\.new\..*", "v1.new."),
        (r"v1\.new\..*", "v1.new.AAAA"),
        (r"v1\.new\..*", "v1.new.not base64"),
    ],
    ids=["key id", "content", "nothing", "short", "no base64"],
)
async def test_altered_text_is_refused(inner: MemoryStore, alter: tuple[str, str]) -> None:
    store = SealedStore(inner, {"new": NEW, "old": NEW})
    await store.save("ada", TOKEN)
    kept = await inner.load("ada")
    assert kept is not None
    altered = re.sub(*alter, kept.access_token)
    assert altered != kept.access_token
    await inner.save("ada", Token(altered, token_type="sealed"))
    await unreadable(store, inner, "was changed")


@pytest.mark.parametrize(
    "kept",
    [Token("plain"), Token("v1.new.x"), Token("v2.new.x", token_type="sealed")],
    ids=["plain", "looks sealed", "newer"],
)
async def test_a_token_that_is_not_sealed_is_refused(inner: MemoryStore, kept: Token) -> None:
    """Or whoever can write to the store could plant one."""
    await inner.save("ada", kept)
    await unreadable(SealedStore(inner, {"new": NEW}), inner, "not encrypted")


@pytest.mark.parametrize(
    "keys, reason",
    [
        ({}, "at least one"),
        ({"short": b"canary"}, "short has 6 bytes"),
        ({"a.b": NEW}, "key id"),
        ({"": NEW}, "key id"),
        ({"a" * 65: NEW}, "key id"),
    ],
)
def test_keys_that_cannot_work_are_refused(
    inner: MemoryStore, keys: Mapping[str, bytes], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        SealedStore(inner, keys)
    assert "canary" not in str(caught.value)


def test_keys_are_never_printed(inner: MemoryStore) -> None:
    store = SealedStore(inner, {"new": NEW, "old": OLD})
    inside: list[Any] = [store, vars(store), *vars(store).values(), vars(vars(store)["_keyring"])]
    assert "canary" not in "".join(map(repr, inside))


def test_without_cryptography_the_extra_is_named(
    inner: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **keywords: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match=r"oauthkit\[jose\]"):
        SealedStore(inner, {"new": NEW})


def test_leases_live_as_long_as_the_stores(inner: MemoryStore) -> None:
    class Other:
        """A store that does not say."""

    assert SealedStore(inner, {"new": NEW}).lease_seconds == inner.lease_seconds
    other: Any = Other()
    assert SealedStore(other, {"new": NEW}).lease_seconds == math.inf
