"""What may be a key, and what may be saved, in every store."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest

from oauthkit import ConfigurationError, MemoryStore, SealedStore, Token
from oauthkit.stores.base import TokenStore
from oauthkit.stores.keys import check_owner
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

from .conftest import FakeCoredis, FakeRedisServer, close

STORES: Final[Mapping[str, Callable[[Path], TokenStore]]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda path: SQLiteStore(path / "tokens.db"),
    "redis": lambda _: RedisStore(cast("Any", FakeCoredis(FakeRedisServer()))),
    "sealed": lambda _: SealedStore(MemoryStore(), {"k": b"0" * 32}),
}
NO_KEYS: Final = {
    "empty": ("", "the key is empty"),
    "none": (None, "not None"),
    "number": (17, "not an int; write str"),
    "bytes": (b"ada", "not a bytes"),
}
ALL: Final = pytest.mark.parametrize("store_name", STORES)


@ALL
@pytest.mark.parametrize("key, reason", NO_KEYS.values(), ids=NO_KEYS.keys())
async def test_what_is_no_key_is_refused(
    store_name: str, key: Any, reason: str, tmp_path: Path
) -> None:
    store = STORES[store_name](tmp_path)
    with pytest.raises(ConfigurationError, match=reason):
        await store.load(key)
    with pytest.raises(ConfigurationError, match=reason):
        await store.save(key, Token("a"))
    with pytest.raises(ConfigurationError, match=reason):
        await store.delete(key)
    with pytest.raises(ConfigurationError, match=reason):
        async with store.lease(key):
            pytest.fail("nobody may renew the token of nobody")
    await close(store)


@ALL
@pytest.mark.parametrize("token", [None, "canary", {"access_token": "canary"}], ids=type)
async def test_what_is_no_token_is_refused(store_name: str, token: Any, tmp_path: Path) -> None:
    store = STORES[store_name](tmp_path)
    expected = "takes a Token, not"
    with pytest.raises(ConfigurationError, match=expected) as caught:
        await store.save("ada", token)
    assert "canary" not in str(caught.value)
    async with store.lease("ada") as lease:
        with pytest.raises(ConfigurationError, match=expected):
            await lease.save(token)
        await lease.save(Token("a"))
    assert await store.load("ada") == Token("a")
    await close(store)


@pytest.mark.parametrize("key", [" ", "\t", "mine"])
def test_nobody_is_called_nothing_or_as_a_session_calls_itself(key: str) -> None:
    with pytest.raises(ConfigurationError, match="nobody may be called"):
        check_owner(key, private="mine")


def test_any_other_text_names_somebody() -> None:
    for key in ("ada", "None", "0", "mine "):
        check_owner(key, private="mine")
