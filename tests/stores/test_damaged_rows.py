"""What is stored and cannot be read is shown to nobody, in no store and by no way to look at it."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest

from oauthkit import ConfigurationError, Recovery, SealedStore, StoreError, Token
from oauthkit.stores.base import TokenStore
from oauthkit.stores.records import decode_token, encode_token
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

from .conftest import FakeCoredis, FakeRedisServer, close
from .traces import told

DAMAGED: Final = {
    "cut off": b'{"access_token": "secret-canary',
    "no record": b'["secret-canary"]',
    "of another type": b'{"access_token": "secret-canary", "expires_at": "secret-canary"}',
    "of a newer version": b'{"access_token": "secret-canary", "version": 3}',
    "another library's": b'{"access_token": "secret-canary", "expires_in": 3600}',
    "no text": b'{"access_token": "secret-canary\xff"}',
}
"""The last one is a text for SQLite and for drivers that decode, until they read it."""


class _Raw:
    """Text of a fake server that is none."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def encode(self) -> bytes:
        """Return what goes over the wire."""
        return self._content


Damaged = Callable[[bytes], Awaitable[TokenStore]]


def _sealed(store: TokenStore) -> TokenStore:
    return SealedStore(store, {"k": b"0" * 32})


@pytest.fixture(
    params=["sqlite", "sqlite bytes", "redis", "redis decodes", "sealed sqlite", "sealed redis"]
)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Damaged:
    """Return what makes a store with a damaged row under the key `ada`."""
    kind: str = request.param

    async def sqlite(content: bytes) -> TokenStore:
        path = tmp_path / "tokens.db"
        async with SQLiteStore(path) as store:
            await store.save("ada", Token("before"))
        with sqlite3.connect(path) as connection:
            value = "?" if "bytes" in kind else "CAST(? AS TEXT)"
            connection.execute(f"UPDATE token SET token = {value}", (content,))  # noqa: S608 - a constant
        connection.close()
        return SQLiteStore(path)

    async def redis(content: bytes) -> TokenStore:
        server = FakeRedisServer()
        store = RedisStore(cast("Any", FakeCoredis(server, decode="decodes" in kind)))
        await store.save("ada", Token("before"))
        (record,) = server.hashes.values()
        record["token"] = cast("str", _Raw(content))
        return store

    make = sqlite if "sqlite" in kind else redis

    async def made(content: bytes) -> TokenStore:
        store = await make(content)
        return _sealed(store) if "sealed" in kind else store

    return made


@pytest.mark.parametrize("row", DAMAGED)
async def test_a_damaged_row_is_shown_by_no_error_and_replaced_by_a_login(
    damaged: Damaged, row: str
) -> None:
    """Not by its text, its chain, or a traceback with local values."""
    store = await damaged(DAMAGED[row])
    with pytest.raises(StoreError, match="token") as loaded:
        await store.load("ada")
    with pytest.raises(StoreError, match="token") as leased:
        async with store.lease("ada") as lease:
            await lease.load()
    for caught in (loaded, leased):
        assert caught.value.recovery is Recovery.CHANGE_REQUEST
        assert "canary" not in told(caught.value)
    await store.save("ada", Token("after"))
    assert await store.load("ada") == Token("after")
    await close(store)


@pytest.mark.parametrize(
    "row, reason",
    [
        ("of a newer version", "by a newer oauthkit .* update oauthkit"),
        ("another library's", r"it has expires_in, .* Token\.from_response"),
        ("of another type", "its expires_at is of another type"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(row: str, reason: str) -> None:
    with pytest.raises(StoreError, match=f"{reason}.*it is kept"):
        decode_token(DAMAGED[row].decode())


def test_what_cannot_be_kept_is_shown_by_no_error() -> None:
    """The encoder's frames hold the whole record."""
    token = Token("secret-canary", extra={"of no type that JSON knows": {1, 2}})
    with pytest.raises(StoreError, match="set is not JSON serializable") as caught:
        encode_token(token)
    assert "canary" not in told(caught.value)


async def test_the_canary_would_be_seen() -> None:
    """What the other tests rely on."""
    with pytest.raises(ConfigurationError) as caught:
        _fail_with("secret-canary")
    assert "canary" in told(caught.value)


def _fail_with(text: str) -> None:
    error = ConfigurationError("")
    error.doc = text  # type: ignore[attr-defined]
    raise error
