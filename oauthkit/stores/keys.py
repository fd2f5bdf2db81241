"""What may be the key of a token, and what is no token."""

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import check_kind, given
from oauthkit.protocol.token import Token


def check_key(key: object) -> None:
    """Refuse what is no store key: a key is a text, and not an empty one.

    A key that is missing somewhere else would be one for everybody here.

    Raises:
        ConfigurationError: It is none.
    """
    if not isinstance(key, str):
        message = (
            "a key is a text that says whose token it is, such as a user's id, not "
            f"{given(key)}; write str(…) where the id is a number"
        )
        raise ConfigurationError(message)
    if not key:
        message = "the key is empty; give the name of whose token it is, such as a user's id"
        raise ConfigurationError(message)


def check_owner(key: object, *, private: str) -> None:
    """Refuse what cannot be the name of whose token a session uses.

    Args:
        key: What was given.
        private: The key that sessions without one have in a store of their own.

    Raises:
        ConfigurationError: It is no key, blank, or that private one.
    """
    check_key(key)
    if not str(key).strip() or key == private:
        message = (
            f"nobody may be called {key!r} here; give a name of its own to each whose token it is"
        )
        raise ConfigurationError(message)


def check_saved(key: object, token: object) -> None:
    """Refuse what cannot be saved.

    Raises:
        ConfigurationError: The key is none, or the token is no `Token`.
    """
    check_key(key)
    check_kind("the token to save", token, Token)
