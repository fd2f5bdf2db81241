"""Tokens encrypted at rest, in any store."""

import base64
import json
import re
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import attrs

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.kinds import checked
from oauthkit.protocol.secret import SecretStr
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore, WatchedStore
from oauthkit.stores.keys import check_key, check_saved
from oauthkit.stores.leasing import delete_leased
from oauthkit.stores.records import decode_token, encode_token

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = "v2"
_FIRST_VERSION: Final = "v1"
"""Of rows that are bound to their key alone; they are read, and written no more."""
_TYPE: Final = "sealed"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = (16, 24, 32)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SealedStore(WatchedStore):
    """Encrypt the tokens of another store with AES-GCM.

    The first key writes and all keys read: to change keys put the new one first, and drop the old
    one once every token has been renewed since. A key is good for 2^32 writes.

    The other store keeps a `Token` of type "sealed", whose `access_token` is the encrypted token.
    In the clear stay the two moments of expiry and whether there is a refresh token, so that a
    store which forgets what has ended still can. Each text is bound to its store and its key: moved
    under another key, or to another store that has the same AES keys, it cannot be read. Whoever
    can write to the store can still put back what was stored under the same key before, or delete
    it.

    What the store is called decides there. By itself a `RedisStore` is called by its prefix and an
    `SQLiteStore` by the name of its file, without the directory, so that both can be moved to
    another machine. Where several are called alike, or one is to be renamed, say `name=`. Texts of
    the first version are bound to their key alone, until the token is renewed.

    A token that cannot be read is kept: `load` and `lease` raise, so that nothing is renewed over
    it; a login (`save`) replaces it, and a logout (`delete`) forgets it.

    Example:
        >>> import secrets
        >>> from oauthkit.stores.memory import MemoryStore
        >>> store = SealedStore(MemoryStore(), {"2026-11": secrets.token_bytes(32)})

    Args:
        store: Where the encrypted tokens are kept. The caller closes it, or has `async with` over
            this one do so.
        keys: AES keys of 16, 24 or 32 bytes, by key id: 1 to 64 letters, digits, "-" and "_".
        name: What the store is called, the same in all processes that share it, for example
            "production"; None is what it is called by itself.
    """

    @checked
    def __init__(
        self, store: TokenStore, keys: Mapping[str, bytes], *, name: str | None = None
    ) -> None:
        """Take the keys; they are not kept in a form that can be printed.

        Raises:
            ConfigurationError: There is no key, or one that AES cannot use, the name is empty or no
                text, `cryptography` is not installed, or the store does not say how long its leases
                live.
        """
        super().__init__()
        self.lease_seconds: Final = _lease_seconds(store)
        self._store = store
        self._keyring = _Keyring(keys, _name(store) if name is None else _checked_name(name))

    async def __aenter__(self) -> Self:
        """Open the store within, where it is one to be opened."""
        if isinstance(self._store, AbstractAsyncContextManager):
            await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        if isinstance(self._store, AbstractAsyncContextManager):
            await self._store.__aexit__(exc_type, exc, traceback)

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none.

        Raises:
            StoreError: The store failed, or the token cannot be read with these keys.
        """
        check_key(key)
        return self._keyring.open(key, await self._store.load(key))

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be stored.
        """
        check_saved(key, token)
        await self._store.save(key, self._keyring.seal(key, token))
        self._changed(key)

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be forgotten.
        """
        check_key(key)
        await self._store.delete(key)
        self._changed(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        """Wait for the right to renew the token of a key.

        Raises:
            StoreError: The store failed, or the token cannot be read with these keys.
        """
        check_key(key)
        async with self._store.lease(key) as lease:
            found = self._keyring.open(key, await lease.load())
            yield _SealedLease(self, self._keyring, key, lease, (found,))

    async def delete_leased(self, key: str, lease: Lease) -> None:
        """Forget a token under a lease of the other store."""
        await delete_leased(self._store, key, lease)
        self._changed(key)


class _Keyring:
    """The keys, in a form that cannot be printed."""

    def __init__(self, keys: Mapping[str, bytes], store_name: str) -> None:
        self._store_name = store_name
        self._ciphers = _ciphers(keys)
        self._writes_with = next(iter(keys))

    def seal(self, key: str, token: Token) -> Token:
        """Return a token that keeps another one, encrypted, for a store key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        encrypted = self._ciphers[self._writes_with].encrypt(
            nonce,
            encode_token(token).encode(),
            self._bound_to(_VERSION, self._writes_with, key),
        )
        content = base64.urlsafe_b64encode(nonce + encrypted).decode()
        return Token(
            f"{_VERSION}.{self._writes_with}.{content}",
            token_type=_TYPE,
            expires_at=token.expires_at,
            refresh_token=None if token.refresh_token is None else _TYPE,
            refresh_expires_at=token.refresh_expires_at,
        )

    def open(self, key: str, kept: Token | None) -> Token | None:
        """Return the token that `seal` keeps for a store key.

        Raises:
            StoreError: It cannot be read with these keys.
        """
        if kept is None:
            return None
        version, _, rest = kept.access_token.partition(".")
        key_id, _, content = rest.partition(".")
        if kept.token_type != _TYPE or version not in {_FIRST_VERSION, _VERSION}:
            reason = "it is not encrypted, or by a newer oauthkit"
            raise _unreadable(reason)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            reason = "the key it was encrypted with is not among the keys of this store"
            raise _unreadable(reason)
        return decode_token(_decrypted(cipher, content, self._bound_to(version, key_id, key)))

    def _bound_to(self, version: str, key_id: str, key: str) -> bytes:
        """Return what the encryption vouches for without hiding it; no two cases give the same."""
        bound = ["oauthkit", version, key_id, key]
        if version != _FIRST_VERSION:
            bound.append(self._store_name)
        return json.dumps(bound).encode()


@attrs.define
class _SealedLease:
    """The first `load` gives what was there when the lease was had; later ones look again."""

    _store: SealedStore
    _keyring: _Keyring
    _key: str
    _lease: Lease
    _found: tuple[Token | None, ...]

    @property
    def held(self) -> bool:
        return self._lease.held

    async def load(self) -> Token | None:
        found, self._found = self._found, ()
        return found[0] if found else self._keyring.open(self._key, await self._lease.load())

    async def save(self, token: Token) -> None:
        check_saved(self._key, token)
        await self._lease.save(self._keyring.seal(self._key, token))

    async def delete(self) -> None:
        await self._store.delete_leased(self._key, self._lease)


def _lease_seconds(store: TokenStore) -> float:
    # Asked of what a user wrote, perhaps before a store had to say so.
    try:
        return store.lease_seconds
    except AttributeError as error:
        message = (
            f"{type(store).__name__} has no lease_seconds, which every TokenStore must have: "
            "how many seconds a lease of it lives"
        )
        raise ConfigurationError(message) from error


def _name(store: TokenStore) -> str:
    """Return what a store is called by itself; nothing, where it does not say."""
    name = getattr(store, "place", "")
    return name if isinstance(name, str) else ""


def _checked_name(name: str) -> str:
    if not name:
        message = "name= is empty; say what the store is called, for example production"
        raise ConfigurationError(message)
    return name


def _ciphers(keys: Mapping[str, bytes]) -> "dict[str, AESGCM]":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
            AESGCM,
        )
    except ImportError as error:
        message = (
            "SealedStore needs cryptography, which is not installed: pip install 'oauthkit[sealed]'"
        )
        raise ConfigurationError(message) from error
    if not keys:
        message = "SealedStore needs at least one key"
        raise ConfigurationError(message)
    for key_id, key in keys.items():
        if not _KEY_ID.fullmatch(key_id):
            message = 'a key id is 1 to 64 letters, digits, "-" and "_"'
            raise ConfigurationError(message)
        if len(key) not in _KEY_BYTES:
            message = f"the key {key_id} has {len(key)} bytes; AES takes 16, 24 or 32"
            raise ConfigurationError(message)
    return {key_id: AESGCM(key) for key_id, key in keys.items()}


def _decrypted(cipher: "AESGCM", content: str, bound_to: bytes) -> str:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    try:
        sealed = base64.b64decode(content, altchars=b"-_", validate=True)
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return SecretStr(cipher.decrypt(nonce, encrypted, bound_to).decode())
    except (InvalidTag, ValueError):
        reason = (
            "the AES key is another one, or the text was changed, or moved here from another key "
            "or store, or the store was called otherwise then (name=)"
        )
    # Raised out here, so that nothing leads to an error that carries what was decrypted.
    raise _unreadable(reason)


def _unreadable(reason: str) -> StoreError:
    message = f"the stored token cannot be read: {reason}; a new login takes its place"
    return StoreError(message, recovery=Recovery.CHANGE_REQUEST)
