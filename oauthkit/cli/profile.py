"""A profile: the server, the client and the settings of a login, under a name."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import attrs

from oauthkit.cli.loopback_uri import checked_loopback
from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.secret import secret

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_METHODS: Final = ("client_secret_basic", "client_secret_post")
_GRANTS: Final = ("authorization_code", "client_credentials")
_SECRETS: Final = ("client_secret", "client_secret_env", "client_secret_keyring")
_KINDS: Final[Mapping[Any, tuple[type, str]]] = {
    str: (str, "a text"),
    str | None: (str, "a text"),
    bool: (bool, "true or false"),
    tuple[str, ...]: (list, "a list of texts"),
}


def _several(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class Profile:
    """Say at which server a login is, as which client, and for what; names are those of the RFCs.

    Attributes:
        name: What it is called.
        issuer: Whose metadata names the endpoints; without it they are named here.
        client_id: Who asks.
        client_secret: Its secret, in the file itself.
        client_secret_env: The environment variable that has it.
        client_secret_keyring: Whether the system's keyring has it.
        token_endpoint_auth_method: How it is shown.
        grant_type: `authorization_code` for logins, or `client_credentials` for a client's own.
        scope: What is asked for.
        resource: What the token is for (RFC 8707).
        audience: The same, where a server calls it so.
        redirect_uri: Where the browser comes back to on this machine, as it is registered.
        origins: Where requests may carry the token.
    """

    name: str
    client_id: str
    issuer: str | None = None
    token_endpoint: str | None = None
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    client_secret: str | None = secret(default=None)
    client_secret_env: str | None = None
    client_secret_keyring: bool = False
    token_endpoint_auth_method: str = "client_secret_basic"
    grant_type: str = "authorization_code"
    scope: str | None = None
    resource: str | None = None
    audience: str | None = None
    redirect_uri: str | None = None
    origins: tuple[str, ...] = attrs.field(default=(), converter=_several)

    def __attrs_post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigurationError: It cannot work.
        """
        problem = self._problem()
        if problem is not None:
            message = f"the profile {printable(self.name)!r} cannot be used: {problem}"
            raise ConfigurationError(message)
        if self.redirect_uri is not None:
            checked_loopback(self.redirect_uri)
        for url in self.origins:
            Origin.of(url)

    def _problem(self) -> str | None:
        given = [name for name in _SECRETS if getattr(self, name)]
        problems = {
            "a name is up to 64 letters, digits, - and _": not _NAME.fullmatch(self.name),
            "client_id is empty": not self.client_id,
            "it has neither an issuer nor a token_endpoint": not (
                self.issuer or self.token_endpoint
            ),
            "an issuer's metadata names the token_endpoint; give one of the two": bool(
                self.issuer and self.token_endpoint
            ),
            f"{' and '.join(given)} are two places for one secret": len(given) > 1,
            f"token_endpoint_auth_method is one of {', '.join(_METHODS)}": (
                self.token_endpoint_auth_method not in _METHODS
            ),
            f"grant_type is one of {', '.join(_GRANTS)}": self.grant_type not in _GRANTS,
        }
        return next((problem for problem, there in problems.items() if there), None)

    @classmethod
    def read(cls, name: str, members: Mapping[str, Any]) -> Self:
        """Return the profile that a table of the file describes.

        Args:
            name: What it is called.
            members: The table.

        Raises:
            ConfigurationError: It cannot work.
        """
        fields = {f.name: f.type for f in attrs.fields(cls) if f.name != "name"}
        for member, value in members.items():
            if member not in fields:
                message = (
                    f"the profile {printable(name)!r} has a member {printable(member)!r}, which "
                    f"means nothing; there are {', '.join(sorted(fields))}"
                )
                raise ConfigurationError(message)
            kind, words = _KINDS[fields[member]]
            if not isinstance(value, kind):
                message = f"{member} of the profile {printable(name)!r} must be {words}"
                raise ConfigurationError(message)
        given: dict[str, Any] = {"client_id": "", **members}
        return cls(name=name, **given)

    def members(self) -> dict[str, Any]:
        """Return the table of the file that describes it: what differs from the defaults."""
        given = {
            f.name: getattr(self, f.name)
            for f in attrs.fields(type(self))
            if f.name != "name" and getattr(self, f.name) != f.default
        }
        return given | ({"origins": [*self.origins]} if self.origins else {})

    @property
    def key(self) -> str:
        """Under which key its token is kept: another server or client is another login."""
        return f"{self.name} {self.issuer or self.token_endpoint} {self.client_id}"

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """Where the browser may come back to, the first one first.

        Where nothing is registered, each profile has a path of its own: so the callback of one
        server is not taken for another's (RFC 8252 §8.10).
        """
        if self.redirect_uri is not None:
            return (self.redirect_uri,)
        path = f"/callback/{self.name}"
        return (f"http://127.0.0.1{path}", f"http://[::1]{path}")
