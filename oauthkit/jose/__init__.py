"""Signatures, keys and encryption: the one room that knows joserfc, which the extra `jose` brings.

Nothing here is loaded before it is needed. Who needs it calls `require_joserfc` and imports the
module after that, within a function: so a program without the extra gets an error that names it,
and one that needs no JOSE pays for none.
"""

from importlib import import_module

from oauthkit.errors import ConfigurationError


def require_joserfc(what: str) -> None:
    """Load joserfc.

    Args:
        what: What needs it, as the error says it, such as `PrivateKeyJWT`.

    Raises:
        ConfigurationError: It is not installed; the message names the extra.
    """
    try:
        import_module("joserfc")
    except ModuleNotFoundError as error:
        message = f"{what} needs joserfc, which is not installed: pip install 'oauthkit[jose]'"
        raise ConfigurationError(message) from error
