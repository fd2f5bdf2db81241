"""The login: an authorization request out, a callback in (RFC 6749 §4.1.1, §4.1.2).

Nothing here does I/O. `AuthorizationRequest.new` gives a value with the URL to redirect the
resource owner to; the value waits in the web session or an authenticated cookie, as a dict, and
`accept` turns the callback into an `AuthorizationCode`.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from secrets import token_urlsafe
from types import UnionType
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import attrs

from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    ErrorResponse,
    printable,
)
from oauthkit.kinds import checked
from oauthkit.protocol.formats import FORM, ParameterValue
from oauthkit.protocol.grants import AuthorizationCode, scope_text
from oauthkit.protocol.messages import Origin, shown_url
from oauthkit.protocol.pkce import check_verifier, new_verifier, s256_challenge
from oauthkit.protocol.record import check_version, recorded, unknown_members
from oauthkit.protocol.secret import (
    NoPickle,
    SecretStr,
    Unprintable,
    check_given,
    secret,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.single_use import LOGINS

Callback = str | Mapping[str, Any] | Iterable[tuple[str, str]]
"""A callback's parameters: its URL or query, a mapping as frameworks give, or pairs.

Mappings that may hold a name twice are asked for all their values: those of Starlette, FastAPI,
Flask, Quart, Django, aiohttp and Bottle.
"""

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
_SECRET: Final = frozenset({"client_secret", "client_assertion", "code_verifier"})
_ANSWERS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
_ALL_PAIRS: Final = ("multi_items", "lists", "allitems")
"""How frameworks give every value: Starlette, Litestar; Flask, Quart, Django; Bottle."""

_URL: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/|[^=?]*\?)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_VISIBLE: Final = re.compile(r"[^\x00-\x20\x7f\\#]+")
_NEEDED: Final = ("url", "state", "code_verifier", "redirect_uri", "token_endpoint")
_OPTIONAL: Final = ("nonce", "issuer", "return_to")
_RECORD: Final = (*_NEEDED, *_OPTIONAL, "issuer_required")
_KINDS: Final[Mapping[str, tuple[object, type | UnionType]]] = {
    **dict.fromkeys(_OPTIONAL, (None, str | None)),
    "issuer_required": (False, bool),
}


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
        unknown: Members of its record that a later oauthkit has put there; they are kept.
    """

    url: str = secret()
    state: str = secret()
    code_verifier: str = secret()
    redirect_uri: str
    token_endpoint: str = attrs.field(repr=shown_url)
    nonce: str | None = secret(default=None)
    issuer: str | None = None
    issuer_required: bool = False
    return_to: str | None = None
    unknown: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=False
    )

    @classmethod
    @checked
    def new(
        cls,
        server: AuthorizationServer,
        client_id: str,
        *,
        redirect_uri: str,
        scope: str | Iterable[str] | None = None,
        additional: Mapping[str, ParameterValue] | None = None,
        return_to: str | None = None,
    ) -> Self:
        """Start a login.

        Args:
            server: Who is asked; it needs an `authorization_endpoint`.
            client_id: Who asks.
            redirect_uri: Where the callback goes: absolute, without fragment (RFC 6749 §3.1.2);
                https, plain http to this machine alone, or an app's own scheme (RFC 8252 §7).
            scope: What is asked for.
            additional: Further parameters, such as `prompt` or `login_hint`.
            return_to: A path of the application, such as `/inbox`; kept here for afterwards.

        Raises:
            ConfigurationError: The server has no authorization endpoint or no S256, the client_id
                is empty, the redirect_uri is not absolute or is plain http to another machine, a
                parameter is given twice, or return_to leads outside.
        """
        additional = unprintable(additional or {})
        check_given(client_id=client_id)
        authorization_endpoint = server.endpoint("authorization_endpoint")
        methods = server.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            message = f"the server knows PKCE only by {methods}, and S256 is required (RFC 7636)"
            raise ConfigurationError(message)
        state, code_verifier = SecretStr(token_urlsafe(32)), SecretStr(new_verifier())
        scope = scope_text(scope)
        nonce = SecretStr(token_urlsafe(32)) if "openid" in (scope or "").split() else None
        parameters = Unprintable(
            response_type="code",
            client_id=client_id,
            redirect_uri=_checked_redirect_uri(
                redirect_uri, allow_plain_http=bool(server.allow_plain_http)
            ),
            scope=scope,
            state=state,
            nonce=nonce,
            code_challenge=s256_challenge(code_verifier),
            code_challenge_method="S256",
        )
        return cls(
            url=_with_query(authorization_endpoint, parameters, additional),
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

        That is so for every copy of it in this process, also one that `from_dict` gave. A forged
        callback does not count, a refusal by the server or the resource owner does.

        Args:
            callback: The callback's parameters.

        Raises:
            CallbackError: It does not belong to this login, or is malformed; nothing in it is
                to be believed.
            ErrorResponse: The server, or the resource owner (`AccessDenied`), said no.
        """
        parameters = _parameters(callback)
        del callback  # a traceback that shows local values would show the code in it
        if parameters is None:
            message = (
                "the callback has a parameter twice, too many, or is no callback at all "
                "(RFC 6749 §3.1)"
            )
            raise CallbackError(message)
        if not self._fits(parameters.get("state", "")):
            message = (
                "the callback's state is not that of this login (RFC 6749 §10.12); it may be "
                "forged, or belong to another tab; start the login again"
            )
            raise CallbackError(message)
        self._check_issuer(parameters.get("iss"))
        if not LOGINS.claim(self.code_verifier, self.state):
            message = "this login was accepted before; start a new one (RFC 6749 §4.1.2)"
            raise CallbackError(message)
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
        fields = {name: getattr(self, name) for name in _RECORD}
        plain = {name: str(v) if isinstance(v, str) else v for name, v in fields.items()}
        return recorded(plain, self.unknown)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the login that `to_dict` gave, this version's or an earlier one's.

        Raises:
            ConfigurationError: This is not such a dict, or a newer oauthkit's.
        """
        login, reason = None, "it is no such dict"
        try:
            login = cls(**_kept(data))
        except (AttributeError, TypeError):
            pass
        except ValueError as error:
            reason = str(error)
        del data  # a traceback that shows local values would show the verifier in it
        if login is None:
            message = f"a kept login must be what AuthorizationRequest.to_dict() gives: {reason}"
            raise ConfigurationError(message)
        check_verifier(login.code_verifier)
        _checked_return_to(login.return_to)
        return login

    def _fits(self, state: str) -> bool:
        theirs, ours = state.encode(errors="replace"), self.state.encode(errors="replace")
        return hmac.compare_digest(theirs, ours) and bool(ours)

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


def _kept(data: Mapping[str, Any]) -> Unprintable:
    check_version(data)
    known = Unprintable((name, data[name]) for name in _RECORD if name in data)
    for name in _RECORD:
        default, kinds = _KINDS.get(name, (None, str))
        if not isinstance(known.get(name, default), kinds):
            message = f"its {name} is missing, or of another type"
            raise ValueError(message)  # noqa: TRY004 - as for all that a record may not be
    return Unprintable(known, unknown=unknown_members(data, _RECORD))


def _checked_redirect_uri(redirect_uri: str, *, allow_plain_http: bool) -> str:
    scheme, _, rest = redirect_uri.partition(":")
    if not _SCHEME.fullmatch(scheme) or not _VISIBLE.fullmatch(rest):
        message = "redirect_uri must be an absolute URI without a fragment (RFC 6749 §3.1.2)"
        raise ConfigurationError(message)
    if scheme.lower() in {"http", "https"}:
        origin = Origin.of(redirect_uri)
        if not allow_plain_http and not origin.confidential:
            message = (
                f"redirect_uri {origin} is plain http, where the code can be read on the way (RFC "
                "9700 §2.6); use https, http://127.0.0.1 or http://localhost, or say "
                "AuthorizationServer(…, allow_plain_http=True)"
            )
            raise ConfigurationError(message)
    elif "." not in scheme:
        message = (
            f"the scheme of redirect_uri, {scheme!r}, is neither https nor a reversed domain "
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
    endpoint: str, parameters: Mapping[str, str | None], additional: Mapping[str, ParameterValue]
) -> str:
    parts = urlsplit(endpoint)
    wanted = Unprintable({**parameters, **additional})
    present = {name for name, value in wanted.items() if value is not None and value != ""}
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    for name in sorted(_SECRET & additional.keys()):
        message = f"{name} is a secret, and stands in no URL that a browser sees; leave it out"
        raise ConfigurationError(message)
    for name in [*(_OURS & additional.keys()), *(there & present)]:
        message = (
            f"{printable(name)} cannot be set by additional= or by the query of the "
            "authorization_endpoint too: a parameter occurs once (RFC 6749 §3.1), and the login is "
            "always the code flow with state and PKCE (RFC 9700 §2.1)"
        )
        raise ConfigurationError(message)
    query = FORM.encode(wanted)[1].decode("ascii")
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _parameters(callback: Callback) -> Unprintable | None:
    """Return the parameters of a callback; None where it is malformed."""
    try:
        pairs = list(islice(_pairs(callback), _MOST_PARAMETERS + 1))
        found = Unprintable(pairs)
    except (AttributeError, TypeError, ValueError):
        return None
    texts = all(isinstance(text, str) for pair in found.items() for text in pair)
    return found if texts and len(found) == len(pairs) <= _MOST_PARAMETERS else None


def _pairs(callback: Callback) -> Iterable[tuple[str, Any]]:
    if isinstance(callback, str):
        return parse_qsl(_query(callback), keep_blank_values=True)
    for method in _ALL_PAIRS:  # what `items` of these gives has one of each alone
        give = getattr(callback, method, None)
        if callable(give):
            return _single_pairs(cast("Iterable[tuple[str, Any]]", give()))
    if not isinstance(callback, Mapping):
        return callback
    return _single_pairs(cast("Mapping[str, Any]", callback).items())


def _single_pairs(pairs: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name, text) for name, value in pairs for text in _values(value))


def _values(value: object) -> list[object]:
    """Return one name's values: several where they come as a list, as parse_qs gives them."""
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _query(callback: str) -> str:
    """Return the query of a URL, or a bare query, which may have a question mark in it too."""
    if len(callback) > _LONGEST_CALLBACK:
        raise ValueError
    if not _URL.match(callback):
        return callback
    return callback.partition("#")[0].partition("?")[2]
