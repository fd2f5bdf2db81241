"""Opening the resource owner's own browser (RFC 8252 §6, §8.12)."""

import webbrowser
from contextlib import suppress
from threading import Thread
from typing import Final
from urllib.parse import quote

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin

_PLAIN: Final = ":/?#[]@&=+,%*~"
"""What a URL needs beside letters, digits and `-._`. The other characters that it may have are
escaped, for they mean something to shells, which the user's own `BROWSER` may be a script of."""


def openable(url: str) -> str:
    """Return a URL as a browser is given it, as one argument.

    Raises:
        ConfigurationError: It is neither https nor http to this machine: a `file:` or
            `javascript:` URL, or one that begins with a dash, would be something else to open.
    """
    if not Origin.of(url).confidential:
        message = "only https URLs, and http ones of this machine, are opened in a browser"
        raise ConfigurationError(message)
    return quote(url, safe=_PLAIN)


def open_browser(url: str) -> Thread:
    """Begin to open a URL in the resource owner's browser.

    The standard library finds the browser, and starts it with a list of arguments and no shell. It
    may wait until the browser ends, so it has a thread of its own, which nobody has to wait for.

    Raises:
        ConfigurationError: The URL may not be opened.
    """
    thread = Thread(target=_open, args=(openable(url),), daemon=True)
    thread.start()
    return thread


def _open(url: str) -> None:
    with suppress(webbrowser.Error, OSError):  # the URL is printed for who has none
        webbrowser.open(url)
