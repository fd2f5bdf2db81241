"""Where secrets of the command line are: in environment variables, the keyring, one store."""

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

from oauthkit.cli.directories import users_own
from oauthkit.cli.profile import Profile
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.secret import SecretBytes, SecretStr
from oauthkit.stores.base import TokenStore
from oauthkit.stores.sqlite import SQLiteStore

SERVICE: Final = "oauthkit"
"""What the keyring calls us; a client secret is kept there under the name of its profile."""
STORE_KEY: Final = "store key"
"""A name that no profile can have."""

_KEY_VARIABLE: Final = "OAUTHKIT_KEY"
_DATA_VARIABLE: Final = "OAUTHKIT_DATA"
_KEY_BYTES: Final = 32
_OWNER_ONLY: Final = 0o700


def client_secret(profile: Profile) -> str | None:
    """Return the secret of a profile's client, from where the profile says; None for none.

    Raises:
        ConfigurationError: It is not there.
    """
    if profile.client_secret_keyring:
        found = _from_keyring(profile.name)
        if not found:
            message = (
                f"the keyring has no client secret of {profile.name!r}; put it there by: keyring "
                f"set {SERVICE} {profile.name}"
            )
            raise ConfigurationError(message)
        return SecretStr(found)
    if profile.client_secret_env is not None:
        found = os.environ.get(profile.client_secret_env)
        if not found:
            message = (
                f"the environment variable {profile.client_secret_env!r}, which has the client "
                "secret by the profile, is empty or not set"
            )
            raise ConfigurationError(message)
        return SecretStr(found)
    return profile.client_secret


def sqlite_store() -> SQLiteStore:
    """Return the file of tokens of this user, in a directory for its owner alone.

    Raises:
        ConfigurationError: The directory cannot be made.
    """
    named = os.environ.get(_DATA_VARIABLE)
    path = Path(named) if named else users_own(platformdirs.user_data_path, variable=_DATA_VARIABLE)
    try:
        path.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    except OSError as error:
        message = f"the directory of the token store, {path}, cannot be made: {error.strerror}"
        raise ConfigurationError(message) from None
    return SQLiteStore(path / "tokens.db")


def sealed(store: SQLiteStore, *, by_keyring: bool) -> TokenStore:
    """Return a store sealed where there is a key for it, and as it is where there is none.

    Args:
        store: The store.
        by_keyring: Whether the key is in the keyring, where it is made at the first use.

    Raises:
        ConfigurationError: The key is none, or cannot be had.
    """
    text = os.environ.get(_KEY_VARIABLE)
    if text is None and not by_keyring:
        return store
    from oauthkit.stores.sealed import SealedStore  # noqa: PLC0415 - loads cryptography

    return SealedStore(store, {"cli": _decoded(_kept_key() if text is None else text)})


def _decoded(text: str) -> bytes:
    key = b""
    with suppress(ValueError):
        key = base64.b64decode(text.strip().translate(str.maketrans("-_", "+/")), validate=True)
    if len(key) != _KEY_BYTES:
        message = (
            f"the key of the store, {_KEY_VARIABLE} or the keyring's, must be {_KEY_BYTES} random "
            "bytes in Base64, such as: openssl rand -base64 32"
        )
        raise ConfigurationError(message)
    return SecretBytes(key)


def _kept_key() -> str:
    """Return the key in the keyring, made where there is none yet."""
    return _from_keyring(STORE_KEY) or _from_keyring(STORE_KEY, new=_new_key()) or ""


def _new_key() -> str:
    return SecretStr(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())


def _from_keyring(name: str, *, new: str | None = None) -> str | None:
    """Return what the system's keyring has under a name, or what is put there now.

    Raises:
        ConfigurationError: The package is not installed, finds no keyring, or may not use it.
    """
    try:
        import keyring  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = "the system's keyring is asked by an extra: pip install 'oauthkit[keyring]'"
        raise ConfigurationError(message) from error
    try:
        if new is not None:
            keyring.set_password(SERVICE, name, new)
        return keyring.get_password(SERVICE, name)
    except Exception as error:
        message = (
            f"the system's keyring cannot be used ({type(error).__name__}); give secrets by "
            f"environment variables: client_secret_env in the profile, {_KEY_VARIABLE}"
        )
        raise ConfigurationError(message) from error
