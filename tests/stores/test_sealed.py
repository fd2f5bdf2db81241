import base64
import builtins
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.base import TokenStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sealed import SealedStore
from oauthkit.stores.sqlite import SQLiteStore

from .conftest import FakeCoredis, FakeRedisServer, close
from .traces import told

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
    assert kept.access_token.startswith("v2.new.")
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
        ("v2.new.", "v2.old."),
        ("v2.new.", "v1.new."),
        ("[A-Za-z0-9_-]{4}$|[A-Za-z0-9_-]{4}(?==)", "AAAA"),
        (r"v2\.new\..*", "v2.new."),
        (r"v2\.new\..*", "v2.new.AAAA"),
        (r"v2\.new\..*", "v2.new.not base64"),
    ],
    ids=["key id", "version", "content", "nothing", "short", "no base64"],
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
    [Token("plain"), Token("v2.new.x"), Token("v3.new.x", token_type="sealed")],
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
    with pytest.raises(ConfigurationError, match=r"oauthkit\[sealed\]"):
        SealedStore(inner, {"new": NEW})


def test_leases_live_as_long_as_those_of_the_store_inside(inner: MemoryStore) -> None:
    assert SealedStore(inner, {"new": NEW}).lease_seconds == inner.lease_seconds
    assert SealedStore(MemoryStore(lease_seconds=17), {"new": NEW}).lease_seconds == 17


def test_a_store_that_does_not_say_how_long_its_leases_live_is_refused() -> None:
    class Silent:
        """A store from before it had to say."""

        load = save = delete = lease = print

    silent: Any = Silent()
    with pytest.raises(ConfigurationError, match="Silent has no lease_seconds"):
        SealedStore(silent, {"new": NEW})


# Bound to store, key and version


def row_of_the_first_version(key: str) -> Token:
    """Return what the first version of oauthkit sealed with the old key, written out here."""
    record = {"access_token": "secret-canary", "refresh_token": "r", "extra": {"tenant": 5}}
    nonce = b"twelve bytes"
    bound_to = json.dumps(["oauthkit", "v1", "old", key]).encode()
    encrypted = AESGCM(OLD).encrypt(nonce, json.dumps(record).encode(), bound_to)
    content = base64.urlsafe_b64encode(nonce + encrypted).decode()
    return Token(f"v1.old.{content}", token_type="sealed", refresh_token="sealed")


async def test_rows_of_the_first_version_are_read_and_written_anew(inner: MemoryStore) -> None:
    await inner.save("ada", row_of_the_first_version("ada"))
    store = SealedStore(inner, {"old": OLD}, name="production")
    first = await store.load("ada")
    assert first == Token("secret-canary", refresh_token="r", extra={"tenant": 5})
    async with store.lease("ada") as lease:
        await lease.save(TOKEN)
    kept = await inner.load("ada")
    assert kept is not None
    assert kept.access_token.startswith("v2.")
    assert await store.load("ada") == TOKEN


async def test_rows_of_the_first_version_are_bound_to_their_key(inner: MemoryStore) -> None:
    await inner.save("ada", row_of_the_first_version("mallory"))
    await unreadable(SealedStore(inner, {"old": OLD}), inner, "moved here from another key")


STORES: Final[Mapping[str, Callable[[Path], tuple[TokenStore, TokenStore]]]] = {
    "memory": lambda _: (MemoryStore(), MemoryStore()),
    "files": lambda path: (SQLiteStore(path / "a.db"), SQLiteStore(path / "b.db")),
    "prefixes": lambda _: (
        RedisStore(cast("Any", FakeCoredis(FakeRedisServer())), prefix="a:"),
        RedisStore(cast("Any", FakeCoredis(FakeRedisServer())), prefix="b:"),
    ),
}


@pytest.mark.parametrize("name", STORES)
async def test_a_row_is_bound_to_its_store(name: str, tmp_path: Path) -> None:
    """Both stores have the same AES keys."""
    theirs, ours = STORES[name](tmp_path)
    await SealedStore(theirs, {"new": NEW}).save("ada", TOKEN)
    moved = await theirs.load("ada")
    assert moved is not None
    await ours.save("ada", moved)
    with pytest.raises(StoreError, match=r"or store, or the store was called otherwise") as caught:
        await SealedStore(ours, {"new": NEW}).load("ada")
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert await SealedStore(theirs, {"new": NEW}).load("ada") == TOKEN
    await close(theirs)
    await close(ours)


async def test_a_file_that_was_moved_to_another_directory_is_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with SQLiteStore(tmp_path / "tokens.db") as before:
        await SealedStore(before, {"new": NEW}).save("ada", TOKEN)
    (tmp_path / "tokens.db").rename(tmp_path / "elsewhere" / "tokens.db")
    async with SQLiteStore(tmp_path / "elsewhere" / "tokens.db") as after:
        assert await SealedStore(after, {"new": NEW}).load("ada") == TOKEN


async def test_the_name_that_is_given_decides(inner: MemoryStore) -> None:
    await SealedStore(inner, {"new": NEW}, name="production").save("ada", TOKEN)
    assert await SealedStore(inner, {"new": NEW}, name="production").load("ada") == TOKEN
    await unreadable(SealedStore(inner, {"new": NEW}, name="staging"), inner, "called otherwise")
    await unreadable(SealedStore(inner, {"new": NEW}), inner, "called otherwise")


@pytest.mark.parametrize("place", [None, 5])
async def test_a_store_that_is_not_called_anything_is_sealed_all_the_same(place: object) -> None:
    store: Any = MemoryStore()
    store.place = place
    sealed = SealedStore(store, {"new": NEW})
    await sealed.save("ada", TOKEN)
    assert await sealed.load("ada") == TOKEN


@pytest.mark.parametrize("name, reason", [("", "name= is empty"), (5, "not an int")])
def test_a_name_that_is_none_is_refused(inner: MemoryStore, name: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SealedStore(inner, {"new": NEW}, name=name)


async def test_what_was_decrypted_and_is_no_record_is_not_shown(inner: MemoryStore) -> None:
    """Whoever has the AES key may have sealed anything."""
    store = SealedStore(inner, {"old": OLD}, name="production")
    nonce, bound_to = b"twelve bytes", ["oauthkit", "v2", "old", "ada", "production"]
    for content in (b"secret-canary, and no JSON", b"\xffsecret-canary"):
        encrypted = AESGCM(OLD).encrypt(nonce, content, json.dumps(bound_to).encode())
        sealed = base64.urlsafe_b64encode(nonce + encrypted).decode()
        await inner.save("ada", Token(f"v2.old.{sealed}", token_type="sealed"))
        with pytest.raises(StoreError) as caught:
            await store.load("ada")
        assert "canary" not in told(caught.value)


async def test_it_opens_and_closes_the_store_within(inner: MemoryStore, tmp_path: Path) -> None:
    async with SealedStore(inner, {"new": NEW}) as store:  # which is none to be opened
        await store.save("ada", TOKEN)
    assert await store.load("ada") == TOKEN

    async with SealedStore(SQLiteStore(tmp_path / "tokens.db"), {"new": NEW}) as store:
        await store.save("ada", TOKEN)
    with pytest.raises(StoreError, match="closed"):
        await store.load("ada")
