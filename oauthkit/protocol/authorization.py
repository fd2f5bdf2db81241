"""The login: an authorization request out, a callback in (RFC 6749 §4.1.1, §4.1.2).

Nothing here does I/O. `AuthorizationRequest.new` gives a value with the URL to redirect the
resource owner to; the value waits in the web session or an authenticated cookie, as a dict, and
`accept` turns the callback into an `AuthorizationCode`.
"""

import hmac
from collections.abc import Iterable, Mapping
from secrets import token_urlsafe
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import attrs

from oauthkit.errors import AccessDenied, CallbackError, ConfigurationError, ErrorResponse
from oauthkit.protocol.grants import AuthorizationCode, scope_text
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.pkce import check_verifier, new_verifier, s256_challenge
from oauthkit.protocol.secret import NoPickle, Unprintable, secret
from oauthkit.protocol.server import AuthorizationServer

Callback = str | Mapping[str, Any] | Iterable[tuple[str, str]]
"""A callback's parameters: its URL or query, a mapping as frameworks give, or pairs."""

_LONGEST_CALLBACK: Final = 65_536
_MOST_PARAMETERS: Final = 100
_OURS: Final = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    }
)
_ANSWERS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})


@attrs.frozen(kw_only=True)
class AuthorizationRequest(NoPickle):
    """Be one login on its way: what was asked for, and what the callback must fit.

    Every one has its own `state`, PKCE verifier (S256) and, for OpenID Connect, `nonce`.

    Example:
        >>> server = AuthorizationServer(
        ...     "https://auth.example/token",
        ...     issuer="https://auth.example",
        ...     authorization_endpoint="https://auth.example/authorize",
        ... )
        >>> request = AuthorizationRequest.new(
        ...     server, "reader", redirect_uri="https://app.example/callback", scope="read"
        ... )
        >>> waiting = request.to_dict()  # into the web session; redirect to request.url
        >>> request.url.startswith("https://auth.example/authorize?response_type=code&client_id=")
        True

    Attributes:
        url: Where to redirect the resource owner's browser.
        state: Ties the callback to this login (RFC 6749 §10.12).
        nonce: Ties an ID Token to this login; only with the scope `openid`.
        code_verifier: Proves that the code is exchanged by who asked for it.
        token_endpoint: Where alone the code may be exchanged.
        issuer: What `iss` of the callback must be (RFC 9207).
        issuer_required: Whether a callback without `iss` is refused.
        return_to: A path of the application to go on at afterwards.
    """

    url: str = secret()
    state: str = secret()
    code_verifier: str = secret()
    redirect_uri: str
    token_endpoint: str
    nonce: str | None = secret(default=None)
    issuer: str | None = None
    issuer_required: bool = False
    return_to: str | None = None
    _accepted: list[bool] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @classmethod
    def new(
        cls,
        server: AuthorizationServer,
        client_id: str,
        *,
        redirect_uri: str,
        scope: str | Iterable[str] | None = None,
        additional: Mapping[str, str] | None = None,
        return_to: str | None = None,
    ) -> Self:
        """Start a login.

        Args:
            server: Who is asked; it needs an `authorization_endpoint`.
            client_id: Who asks.
            redirect_uri: Where the callback goes: absolute, without fragment (RFC 6749 §3.1.2).
            scope: What is asked for.
            additional: Further parameters, such as `prompt` or `login_hint`.
            return_to: A path of the application, such as `/inbox`; kept here for afterwards.

        Raises:
            ConfigurationError: The server has no authorization endpoint or no S256, the
                redirect_uri is not absolute, a parameter is given twice, or return_to leads
                outside.
        """
        if server.authorization_endpoint is None:
            message = "a login needs AuthorizationServer(…, authorization_endpoint=…)"
            raise ConfigurationError(message)
        methods = server.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            message = f"the server knows PKCE only by {methods}, and S256 is required (RFC 7636)"
            raise ConfigurationError(message)
        state, code_verifier = token_urlsafe(32), new_verifier()
        scope = scope_text(scope)
        nonce = token_urlsafe(32) if "openid" in (scope or "").split() else None
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": _checked_redirect_uri(redirect_uri),
            "scope": scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": s256_challenge(code_verifier),
            "code_challenge_method": "S256",
        }
        return cls(
            url=_with_query(server.authorization_endpoint, parameters, additional or {}),
            state=state,
            code_verifier=code_verifier,
            redirect_uri=redirect_uri,
            token_endpoint=server.token_endpoint,
            nonce=nonce,
            issuer=server.issuer,
            issuer_required=server.authorization_response_iss_parameter_supported,
            return_to=_checked_return_to(return_to),
        )

    def accept(self, callback: Callback) -> AuthorizationCode:
        """Check a callback and return the grant it carries; a login is accepted once.

        Args:
            callback: The callback's parameters.

        Raises:
            CallbackError: It does not belong to this login, or is malformed; nothing in it is
                to be believed.
            ErrorResponse: The server, or the resource owner (`AccessDenied`), said no.
        """
        parameters = _parameters(callback)
        state = parameters.get("state", "")
        if not hmac.compare_digest(state.encode(errors="replace"), self.state.encode()):
            message = (
                "the callback's state is not that of this login (RFC 6749 §10.12); it may be "
                "forged, or belong to another tab; start the login again"
            )
            raise CallbackError(message)
        self._check_issuer(parameters.get("iss"))
        if self._accepted:
            message = "this login was accepted before; start a new one (RFC 6749 §4.1.2)"
            raise CallbackError(message)
        self._accepted.append(True)
        if "error" in parameters:
            kind = AccessDenied if parameters["error"] == "access_denied" else ErrorResponse
            raise kind(
                parameters["error"],
                parameters.get("error_description"),
                parameters.get("error_uri"),
            )
        if not parameters.get("code"):
            message = "the callback has neither code nor error (RFC 6749 §4.1.2)"
            raise CallbackError(message)
        return AuthorizationCode(
            code=parameters["code"],
            redirect_uri=self.redirect_uri,
            code_verifier=self.code_verifier,
            token_endpoint=self.token_endpoint,
            extra={name: text for name, text in parameters.items() if name not in _ANSWERS},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the login as a plain dict of JSON values, **secrets included**, for keeping.

        Keep it on the server or in an encrypted cookie, one per login, and forget it at the
        callback.
        """
        fields = attrs.asdict(self, filter=lambda field, _: field.init)
        return {name: str(v) if isinstance(v, str) else v for name, v in fields.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the login that `to_dict` gave.

        Raises:
            ConfigurationError: This is not such a dict.
        """
        try:
            login = cls(**data)
            check_verifier(login.code_verifier)
        except (TypeError, AttributeError) as error:
            message = "a kept login must be what AuthorizationRequest.to_dict() gives"
            raise ConfigurationError(message) from error
        return login

    def _check_issuer(self, issuer: str | None) -> None:
        if issuer is None and self.issuer_required:
            message = "the callback has no iss, which this server always sends (RFC 9207 §2.4)"
            raise CallbackError(message)
        if issuer is not None and self.issuer is not None and issuer != self.issuer:
            message = (
                "the callback comes from another authorization server than was asked (RFC 9207 "
                "§2.4); it is not used"
            )
            raise CallbackError(message)


def _checked_redirect_uri(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    if not parts.scheme or "#" in redirect_uri or not (parts.netloc or parts.path):
        message = "redirect_uri must be an absolute URI without a fragment (RFC 6749 §3.1.2)"
        raise ConfigurationError(message)
    if parts.scheme in {"http", "https"}:
        Origin.of(redirect_uri)
    elif "." not in parts.scheme:
        message = (
            f"the scheme of redirect_uri, {parts.scheme!r}, is neither https nor a reversed domain "
            "name such as com.example.app (RFC 8252 §7.1)"
        )
        raise ConfigurationError(message)
    return redirect_uri


def _checked_return_to(return_to: str | None) -> str | None:
    if return_to is None:
        return None
    decoded = unquote(unquote(return_to))
    outside = any(
        not path.startswith("/")
        or path.startswith("//")
        or any(character in "\\\x7f" or character < " " for character in path)
        for path in (return_to, decoded)
    )
    if outside:
        message = (
            "return_to must be a path of this application, such as /inbox: another site there "
            "would make an open redirector (RFC 9700 §4.11)"
        )
        raise ConfigurationError(message)
    return return_to


def _with_query(
    endpoint: str, parameters: Mapping[str, str | None], additional: Mapping[str, str]
) -> str:
    for name in additional:
        if name in _OURS:
            message = (
                f"additional= cannot set {name}: it belongs to the login itself, which is always "
                "the code flow with state and PKCE (RFC 9700 §2.1)"
            )
            raise ConfigurationError(message)
    parts = urlsplit(endpoint)
    present = {name: text for name, text in {**parameters, **additional}.items() if text}
    query = "&".join(f"{quote(n, safe='')}={quote(t, safe='')}" for n, t in present.items())
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _parameters(callback: Callback) -> Unprintable:
    pairs = list(_pairs(callback))
    found = Unprintable(pairs)
    repeated = len(found) != len(pairs) or len(pairs) > _MOST_PARAMETERS
    if repeated or not all(isinstance(text, str) for text in found.values()):
        message = "the callback has a parameter twice, or too many (RFC 6749 §3.1)"
        raise CallbackError(message)
    return found


def _pairs(callback: Callback) -> Iterable[tuple[str, Any]]:
    if isinstance(callback, str):
        query = urlsplit(callback).query if "?" in callback else callback
        if len(query) > _LONGEST_CALLBACK:
            message = f"the callback is longer than {_LONGEST_CALLBACK} characters"
            raise CallbackError(message)
        return parse_qsl(query, keep_blank_values=True)
    multi_items = getattr(callback, "multi_items", None)  # Starlette's QueryParams
    if callable(multi_items):
        return list(multi_items())
    if not isinstance(callback, Mapping):
        return callback
    return (  # a list is one name's several values, as parse_qs gives them
        (name, text)
        for name, value in callback.items()
        for text in (value if isinstance(value, list) else [value])
    )
