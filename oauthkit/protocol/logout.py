"""Where a browser is sent to log out at the server, too (OpenID RP-Initiated Logout 1.0)."""

import hmac
from collections.abc import Iterable, Mapping
from secrets import token_urlsafe
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import attrs

from oauthkit.errors import CallbackError, ConfigurationError, printable
from oauthkit.kinds import checked
from oauthkit.protocol.callback import Callback, parameters_of
from oauthkit.protocol.formats import FORM
from oauthkit.protocol.record import check_version, recorded, unknown_members
from oauthkit.protocol.redirects import is_absolute
from oauthkit.protocol.secret import (
    NoPickle,
    SecretStr,
    Unprintable,
    check_given,
    secret,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer

ENDPOINT: Final = "end_session_endpoint"

_RECORD: Final = ("url", "state")


@checked
def end_session_url(
    server: AuthorizationServer,
    *,
    id_token: str | None = None,
    client_id: str | None = None,
    post_logout_redirect_uri: str | None = None,
    state: str | None = None,
    logout_hint: str | None = None,
    ui_locales: str | Iterable[str] | None = None,
) -> str:
    """Return where to send a browser, so that the server ends its own session (RP-Initiated §2).

    Log out here before: whoever is sent there may never come back.

    Example:
        >>> server = AuthorizationServer(
        ...     "https://auth.example/token",
        ...     end_session_endpoint="https://auth.example/logout",
        ... )
        >>> end_session_url(server, client_id="reader")
        'https://auth.example/logout?client_id=reader'

    Args:
        server: Who is asked; a `Discovered` has it by `await auth.server(http)`.
        id_token: The ID Token of the login, also one that has expired (`id_token_hint`): by it the
            server knows whom to log out. It stands in the URL then.
        client_id: Who asks; needed for a `post_logout_redirect_uri` without an ID Token.
        post_logout_redirect_uri: Where the browser comes back to, as it is registered.
        state: Comes back with it; `LogoutRequest` makes one, and compares it.
        logout_hint: Whom to log out, where no ID Token says so.
        ui_locales: In which languages the server may ask, best first.

    Raises:
        ConfigurationError: The server has no `end_session_endpoint`, or it may not be one; a text
            is empty; or a `post_logout_redirect_uri` is no absolute URI, or nobody's.
    """
    locales = ui_locales if isinstance(ui_locales, str | None) else " ".join(ui_locales)
    parameters = Unprintable(
        id_token_hint=id_token,
        client_id=client_id,
        post_logout_redirect_uri=post_logout_redirect_uri,
        state=state,
        logout_hint=logout_hint,
        ui_locales=locales,
    )
    given = Unprintable((name, text) for name, text in parameters.items() if text is not None)
    check_given(**given)
    _check_return(post_logout_redirect_uri, known=bool(id_token or client_id))
    return _with_query(server.endpoint(ENDPOINT), given)


@attrs.frozen(kw_only=True)
class LogoutRequest(NoPickle):
    """Be one logout on its way: where the browser is sent, and what its return must fit.

    Example:
        >>> server = AuthorizationServer(
        ...     "https://auth.example/token",
        ...     end_session_endpoint="https://auth.example/logout",
        ... )
        >>> logout = LogoutRequest.new(
        ...     server, client_id="reader", post_logout_redirect_uri="https://app.example/bye"
        ... )
        >>> waiting = logout.to_dict()  # into an encrypted cookie; redirect to logout.url
        >>> LogoutRequest.from_dict(waiting).accept({"state": logout.state})

    Attributes:
        url: Where to redirect the browser.
        state: Ties its return to this logout.
        unknown: Members of its record that a later oauthkit has put there; they are kept.
    """

    url: str = secret()
    state: str = secret()
    unknown: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=False
    )

    @classmethod
    @checked
    def new(
        cls,
        server: AuthorizationServer,
        *,
        post_logout_redirect_uri: str,
        id_token: str | None = None,
        client_id: str | None = None,
        logout_hint: str | None = None,
        ui_locales: str | Iterable[str] | None = None,
    ) -> Self:
        """Start a logout from which the browser comes back; see `end_session_url`.

        Args:
            server: Who is asked.
            post_logout_redirect_uri: Where the browser comes back to, as it is registered.
            id_token: The ID Token of the login.
            client_id: Who asks; needed without an ID Token.
            logout_hint: Whom to log out, where no ID Token says so.
            ui_locales: In which languages the server may ask, best first.

        Raises:
            ConfigurationError: As for `end_session_url`.
        """
        state = SecretStr(token_urlsafe(32))
        url = end_session_url(
            server,
            id_token=id_token,
            client_id=client_id,
            post_logout_redirect_uri=post_logout_redirect_uri,
            state=state,
            logout_hint=logout_hint,
            ui_locales=ui_locales,
        )
        return cls(url=url, state=state)

    def accept(self, callback: Callback) -> None:
        """Check that a browser comes back from this logout (RP-Initiated §3).

        The visitor is logged out here already, whatever comes. Go on to a page of the application
        itself, and to no address that stands in the callback.

        Args:
            callback: The parameters of the return, as for `AuthorizationRequest.accept`.

        Raises:
            CallbackError: Its state is missing, or not that of this logout.
        """
        parameters = parameters_of(callback)
        del callback  # a traceback that shows local values would show the state in it
        came = "" if parameters is None else parameters.get("state", "")
        ours = self.state.encode(errors="replace")
        if not ours or not hmac.compare_digest(came.encode(errors="replace"), ours):
            message = (
                "the state is missing, or not that of this logout (RP-Initiated Logout §3); it may "
                "be forged, or belong to another tab; the visitor is logged out here all the same"
            )
            raise CallbackError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return the logout as a plain dict of JSON values, **secrets included**, for keeping."""
        return recorded({name: str(getattr(self, name)) for name in _RECORD}, self.unknown)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the logout that `to_dict` gave, this version's or an earlier one's.

        Raises:
            ConfigurationError: This is not such a dict, or a newer oauthkit's.
        """
        try:
            check_version(data)
            known = Unprintable((name, data[name]) for name in _RECORD)
            check_given(**known)
            return cls(**known, unknown=unknown_members(data, _RECORD))
        except (AttributeError, KeyError, TypeError):
            reason = "it is no such dict"
        except ValueError as error:
            reason = str(error)
        del data  # a traceback that shows local values would show the ID Token in it
        message = f"a kept logout must be what LogoutRequest.to_dict() gives: {reason}"
        raise ConfigurationError(message)


def _check_return(uri: str | None, *, known: bool) -> None:
    if uri is None:
        return
    if not is_absolute(uri):
        message = "post_logout_redirect_uri must be an absolute URI without a fragment"
        raise ConfigurationError(message)
    if not known:
        message = (
            "a post_logout_redirect_uri needs id_token= or client_id=, by which the server knows "
            "whose it is (RP-Initiated Logout §2)"
        )
        raise ConfigurationError(message)


def _with_query(endpoint: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(endpoint)
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    for name in sorted(there & parameters.keys()):
        message = f"{printable(name)} stands in the query of the {ENDPOINT} already; leave it out"
        raise ConfigurationError(message)
    query = "&".join(filter(None, [parts.query, FORM.encode(parameters)[1].decode("ascii")]))
    return urlunsplit(parts._replace(query=query))
