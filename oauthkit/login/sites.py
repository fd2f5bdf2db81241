"""Where an application is: its paths, and the name by which browsers know it."""

import re
from collections.abc import Iterable
from contextlib import suppress
from string import punctuation
from typing import Final
from urllib.parse import quote, urlsplit

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.login.messages import LoginRequest
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.redirects import checked_return_to

_LONGEST_RETURN: Final = 1_000
"""Characters of a path that a cookie has room for, as they stand in a URL."""

_LOGIN: Final = "login"
_LOGOUT: Final = "logout"
_BACKCHANNEL: Final = "backchannel-logout"
_BESIDE: Final = (_LOGIN, _LOGOUT, _BACKCHANNEL)
"""Names of the paths beside the callback."""

_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
"""What stands in a URL as it stands in a route, and is no pattern there."""


@attrs.frozen(kw_only=True)
class Site:
    """Be where an application is.

    Attributes:
        redirect_path: The path of the callback; the other paths of the login are beside it.
        home: The path to go to where nothing else is asked for.
        post_logout_redirect_path: The path that the server sends a browser back to after a logout.
        public_url: Scheme, host and port by which browsers know it; None is what a request says.
        trusted: Further sites whose pages may act for a visitor.
    """

    redirect_path: str
    home: str = "/"
    post_logout_redirect_path: str | None = None
    public_url: str | None = None
    trusted: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        redirect_path: str,
        home: str,
        post_logout_redirect_path: str | None,
        public_url: str | None,
        trusted: Iterable[str],
    ) -> "Site":
        """Return a site, once its paths and names are checked.

        Raises:
            ConfigurationError: A path leads outside, or a site is none.
        """
        checked_return_to(redirect_path, name="redirect_path=")
        checked_return_to(home, name="home=")
        checked_return_to(post_logout_redirect_path, name="post_logout_redirect_path=")
        if not _PATH.fullmatch(redirect_path) or redirect_path.rpartition("/")[2] in _BESIDE:
            message = (
                f"redirect_path= is a path such as /auth/callback, not {redirect_path!r}: of "
                f"characters that all write alike, and not one of {', '.join(_BESIDE)}"
            )
            raise ConfigurationError(message)
        if isinstance(trusted, str):
            message = "trusted_sites= is a list of sites, not one text; write trusted_sites=[…]"
            raise ConfigurationError(message)
        return cls(
            redirect_path=redirect_path,
            home=home,
            post_logout_redirect_path=post_logout_redirect_path,
            public_url=None if public_url is None else _checked(public_url),
            trusted=tuple(map(_checked, trusted)),
        )

    @property
    def login_path(self) -> str:
        """Where a login begins."""
        return self._beside(_LOGIN)

    @property
    def logout_path(self) -> str:
        """Where a visitor logs out."""
        return self._beside(_LOGOUT)

    @property
    def backchannel_logout_path(self) -> str:
        """Where the server announces logouts (`backchannel_logout_uri`)."""
        return self._beside(_BACKCHANNEL)

    def url(self, request: LoginRequest, path: str) -> str:
        """Return the URL of a path, as browsers know it."""
        return f"{self.public_url or request.site}{request.root}{path}"

    def redirect_uri(self, request: LoginRequest) -> str:
        """Return where the server sends browsers back to with a code.

        Raises:
            ConfigurationError: A code would come by plain http.
        """
        url = self.url(request, self.redirect_path)
        if not Origin.of(url).confidential:
            message = (
                f"the login was asked for by plain http ({request.site}), where a code can be read "
                "on the way; where a proxy before this application takes the TLS off, say "
                'public_url="https://…" (RFC 9700 §4.13)'
            )
            raise ConfigurationError(message)
        return url

    def home_of(self, request: LoginRequest) -> str:
        """Return the path to go to where nothing else is asked for."""
        return f"{request.root}{self.home}"

    def login_of(self, request: LoginRequest) -> str:
        """Return the path where a login begins, within what the application is mounted at."""
        return f"{request.root}{self.login_path}"

    def sends(self, request: LoginRequest) -> bool:
        """Tell whether a page of ours has sent a request, as far as another one could have."""
        return not request.from_elsewhere((self.public_url or request.site, *self.trusted))

    def is_for(self, request: LoginRequest) -> bool:
        """Tell whether a request is for our host, where that is known, and for one at all."""
        try:
            asked = Origin.of(request.site)
        except ConfigurationError:
            return False
        if self.public_url is None:
            return True
        ours = Origin.of(self.public_url)  # its scheme is what a proxy before it takes off
        return (asked.host, _port(asked)) == (ours.host, _port(ours))

    def _beside(self, name: str) -> str:
        return f"{self.redirect_path.rpartition('/')[0]}/{name}"


def return_path(path: str) -> str | None:
    """Return where to go on after a login; None where that would not be safe, or is too long."""
    for candidate in (path, path.partition("?")[0]):
        with suppress(ConfigurationError):
            if len(quote(candidate, safe=punctuation, errors="replace")) <= _LONGEST_RETURN:
                return checked_return_to(candidate)
    return None


def _port(origin: Origin) -> int | None:
    return None if origin.default_port else origin.port


def _checked(url: str) -> str:
    """Return a site, if it is one that browsers are sent to safely."""
    origin = Origin.of(url)
    if not origin.confidential or urlsplit(url).path.strip("/"):
        message = (
            f"{url!r} is no site: https (http for this machine) and host, without a path, such as "
            "https://app.example"
        )
        raise ConfigurationError(message)
    return str(origin)
