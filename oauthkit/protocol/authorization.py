"""The login: an authorization request out, a callback in (RFC 6749 §4.1.1, §4.1.2).

Nothing here does I/O. `AuthorizationRequest.new` gives a value with the URL to redirect the
resource owner to; the value waits in the web session or an authenticated cookie, as a dict, and
`accept` turns the callback into an `AuthorizationCode`.
"""

import hmac
import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final, Self

import attrs

from oauthkit.errors import CallbackError, ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.authorization_url import authorization_url, check_login_server
from oauthkit.protocol.callback import (
    Callback,
    further,
    has_token,
    is_url,
    misdelivered,
    parameters_of,
    refusal_of,
    stands_in_fragment,
)
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import AuthorizationCode, scope_text
from oauthkit.protocol.login_record import members_of, record_of
from oauthkit.protocol.login_wishes import LoginWishes, essential_acr
from oauthkit.protocol.messages import shown_url
from oauthkit.protocol.pkce import check_verifier, new_verifier, s256_challenge
from oauthkit.protocol.redirects import checked_redirect_uri, checked_return_to
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

__all__ = ["AuthorizationRequest", "Callback"]

_MALFORMED: Final = (
    "the callback has a parameter twice, too many, or is no callback at all (RFC 6749 §3.1)"
)
_ANOTHER_STATE: Final = (
    "the callback's state is not that of this login (RFC 6749 §10.12); it may be forged, or belong "
    "to another tab; start the login again"
)
_IN_FRAGMENT: Final = (
    "the callback's parameters stand in a fragment (#…), which no server sees; ask for "
    'response_mode="query" or "form_post", and have no page hand fragments on'
)


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
        client_id: Who asks; its code is exchanged by nobody else. None in records of the first
            versions.
        created_at: When it was begun, in seconds since the epoch; None where nobody said.
        expires_at: When it ends, likewise; a callback that comes later is refused.
        max_age: How many seconds ago the resource owner may have authenticated at most; `auth_time`
            of the ID Token is compared with it.
        acr_values: The authentication context classes that were asked for, space-separated.
        claims: The claims that were asked for (OpenID Connect Core §5.5).
        response_mode: How the callback is to come; None is the query.
        scope: What was asked for; it is granted where the server says nothing else.
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
    client_id: str | None = None
    created_at: float | None = None
    expires_at: float | None = None
    max_age: int | None = None
    acr_values: str | None = None
    claims: Mapping[str, Any] | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(unprintable),
        hash=False,
        repr=lambda claims: repr(claims and {**claims}.keys()),
    )
    response_mode: str | None = None
    scope: str | None = None
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
        max_age: int | None = None,
        prompt: str | Iterable[str] | None = None,
        login_hint: str | None = None,
        acr_values: str | Iterable[str] | None = None,
        claims: Mapping[str, Any] | None = None,
        ui_locales: str | Iterable[str] | None = None,
        id_token_hint: str | None = None,
        display: str | None = None,
        resource: str | Iterable[str] | None = None,
        response_mode: str | None = None,
        life: float = 600.0,
        now: float | None = None,
    ) -> Self:
        """Start a login.

        Where the server says what it supports, a `response_mode` that it does not is refused. Other
        lists of its metadata are often incomplete, and are left to the server to judge by.

        Args:
            server: Who is asked; it needs an `authorization_endpoint`.
            client_id: Who asks.
            redirect_uri: Where the callback goes: absolute, without fragment (RFC 6749 §3.1.2);
                https, plain http to this machine alone, or an app's own scheme (RFC 8252 §7).
            scope: What is asked for; `openid` among it asks who logs in.
            additional: Further parameters, such as `access_type`. What has an argument of its own
                may stand here instead, and counts as much.
            return_to: A path of the application, such as `/inbox`; kept here for afterwards.
            max_age: How many seconds ago the resource owner may have authenticated at most; 0 has
                them authenticate anew (OpenID Connect Core §3.1.2.1).
            prompt: What the server asks the resource owner: `login`, `consent`, `select_account`;
                or `none`, which shows no page and may end in `InteractionRequired`.
            login_hint: Who is expected, such as a mail address.
            acr_values: Authentication context classes, the most wanted first; a wish, unlike an
                `acr` among `claims` that is essential.
            claims: Claims one by one, such as `{"id_token": {"acr": {"essential": True}}}` (§5.5).
            ui_locales: Languages, such as `de-CH de`, the most wanted first.
            id_token_hint: A former ID Token of who is expected. One that came encrypted is for you
                to decrypt before: the server cannot.
            display: How pages are shown, such as `popup`.
            resource: What the access token is for: one absolute URI or several (RFC 8707 §2).
            response_mode: `query`, or `form_post`: the browser posts the callback, without your
                SameSite=Lax cookies. None is the query.
            life: Seconds that the login may take.
            now: Seconds since the epoch, from which they count; None gives the login no end.

        Raises:
            ConfigurationError: The server has no authorization endpoint or no S256, the client_id
                is empty, the redirect_uri is not absolute or is plain http to another machine, a
                parameter is given twice, or return_to leads outside.
        """
        additional = unprintable(additional or {})
        wishes = LoginWishes.of(
            Unprintable(
                max_age=max_age,
                prompt=prompt,
                login_hint=login_hint,
                acr_values=acr_values,
                claims=claims,
                ui_locales=ui_locales,
                id_token_hint=id_token_hint,
                display=display,
                resource=resource,
                response_mode=response_mode,
            ),
            additional,
        )
        check_given(client_id=client_id)
        check_login_server(server)
        wishes.check(server)
        state, code_verifier = SecretStr(token_urlsafe(32)), SecretStr(new_verifier())
        scope = scope_text(scope)
        nonce = SecretStr(token_urlsafe(32)) if "openid" in (scope or "").split() else None
        parameters = Unprintable(
            response_type="code",
            client_id=client_id,
            redirect_uri=checked_redirect_uri(
                redirect_uri, allow_plain_http=bool(server.allow_plain_http)
            ),
            scope=scope,
            state=state,
            nonce=nonce,
            code_challenge=s256_challenge(code_verifier),
            code_challenge_method="S256",
        )
        return cls(
            url=authorization_url(
                server.endpoint("authorization_endpoint"),
                Unprintable(parameters, **wishes.parameters()),
                LoginWishes.others(additional),
            ),
            state=state,
            code_verifier=code_verifier,
            redirect_uri=redirect_uri,
            token_endpoint=server.token_endpoint,
            nonce=nonce,
            issuer=server.issuer,
            issuer_required=server.authorization_response_iss_parameter_supported,
            return_to=checked_return_to(return_to),
            client_id=client_id,
            created_at=now,
            expires_at=_end(now, life),
            max_age=wishes.max_age,
            acr_values=wishes.acr_values,
            claims=wishes.claims,
            response_mode=wishes.response_mode,
            scope=scope,
        )

    @property
    def once_id(self) -> str:
        """What names this login where it waits, or its use is remembered; it is no secret."""
        return _once_id(self.state)

    @staticmethod
    def once_id_of(callback: Callback) -> str | None:
        """Return the `once_id` of the login that a callback says it belongs to.

        Where several logins of one visitor wait, each tab's own, it is the name of the one to bring
        the callback to. Nothing is checked by it; `accept` does that.

        Args:
            callback: The callback's parameters, as for `accept`.

        Returns:
            The name; None where the callback is malformed or has no `state`.
        """
        parameters = parameters_of(callback)
        state = None if parameters is None else parameters.get("state")
        return _once_id(state) if state else None

    @property
    def essential_acr(self) -> tuple[str, ...] | None:
        """The `acr` values of which the ID Token must have one (OpenID Connect Core §5.5.1.1).

        There are none where any `acr` will do. None where `claims` does not call it essential.
        """
        return essential_acr(self.claims)

    def accept(
        self,
        callback: Callback,
        *,
        now: float | None = None,
        method: str | None = None,
        content_type: str | None = None,
    ) -> AuthorizationCode:
        """Check a callback and return the grant it carries; a login is accepted once.

        That is so for every copy of it in this process, also one that `from_dict` gave. A forged
        callback does not count, a refusal by the server or the resource owner does.

        Args:
            callback: The callback's parameters: its URL or query, or the posted form.
            now: Seconds since the epoch, to compare with the login's end.
            method: The HTTP method that the callback came by, to compare with what was asked for.
            content_type: The `Content-Type` header of a callback that was posted.

        Raises:
            CallbackError: It does not belong to this login, came another way or too late, or is
                malformed; nothing in it is to be believed.
            InteractionRequired: The server must ask the resource owner, and `prompt` forbade it.
            UnmetRequirements: The server cannot authenticate the resource owner in the way that was
                asked for.
            ErrorResponse: The server, or the resource owner (`AccessDenied`), said no.
        """
        parameters = parameters_of(callback)
        in_fragment, url = stands_in_fragment(callback), is_url(callback)
        del callback  # a traceback that shows local values would show the code in it
        if parameters is None:
            raise CallbackError(_MALFORMED)
        problem = (
            self._foreign(parameters, in_fragment=in_fragment)
            or misdelivered(self.response_mode, url=url, method=method, content_type=content_type)
            or self._late(now)
            or has_token(parameters)
        )
        if problem is None and not LOGINS.claim(self.code_verifier, self.state):
            problem = "this login was accepted before; start a new one (RFC 6749 §4.1.2)"
        if problem is not None:
            raise CallbackError(problem)
        return self._grant(parameters)

    def to_dict(self, *, url: bool = True) -> dict[str, Any]:
        """Return the login as a plain dict of JSON values, **secrets included**, for keeping.

        Keep it on the server or in an encrypted cookie, one per login, and forget it at the
        callback.

        Args:
            url: Whether its URL is kept, too: nearly half of it, and of no use any more once the
                browser was sent there. An oauthkit before 0.2 reads no record without it.
        """
        return record_of(self, self.unknown, url=url)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the login that `to_dict` gave, this version's or an earlier one's.

        Raises:
            ConfigurationError: This is not such a dict, or a newer oauthkit's.
        """
        login, reason = None, "it is no such dict"
        try:
            login = cls(**members_of(data))
        except (AttributeError, TypeError):
            pass
        except ValueError as error:
            reason = str(error)
        del data  # a traceback that shows local values would show the verifier in it
        if login is None:
            message = f"a kept login must be what AuthorizationRequest.to_dict() gives: {reason}"
            raise ConfigurationError(message)
        check_verifier(login.code_verifier)
        checked_return_to(login.return_to)
        return login

    def _grant(self, parameters: Mapping[str, str]) -> AuthorizationCode:
        refusal = refusal_of(parameters)
        if refusal is not None:
            raise refusal
        if not parameters.get("code"):
            message = "the callback has neither code nor error (RFC 6749 §4.1.2)"
            raise CallbackError(message)
        return AuthorizationCode(
            code=parameters["code"],
            redirect_uri=self.redirect_uri,
            code_verifier=self.code_verifier,
            token_endpoint=self.token_endpoint,
            issuer=self.issuer,
            client_id=self.client_id,
            scope=self.scope,
            extra=further(parameters),
        )

    def _foreign(self, parameters: Mapping[str, str], *, in_fragment: bool) -> str | None:
        """Return why a callback is not that of this login; None where it is."""
        if not self._fits(parameters.get("state", "")):
            return _IN_FRAGMENT if in_fragment else _ANOTHER_STATE
        issuer = parameters.get("iss")
        if issuer is None and self.issuer_required:
            return "the callback has no iss, which this server always sends (RFC 9207 §2.4)"
        if issuer is not None and self.issuer is not None and issuer != self.issuer:
            return (
                "the callback comes from another authorization server than was asked (RFC 9207 "
                "§2.4); it is not used"
            )
        return None

    def _fits(self, state: str) -> bool:
        theirs, ours = state.encode(errors="replace"), self.state.encode(errors="replace")
        return hmac.compare_digest(theirs, ours) and bool(ours)

    def _late(self, now: float | None) -> str | None:
        if now is None or self.expires_at is None or now < self.expires_at:
            return None
        return "the callback came after the end of this login; start a new one"


def _end(now: float | None, life: float) -> float | None:
    """Return when a login ends that begins now; None where nobody said when that is."""
    if not (life > 0 and math.isfinite(life)):
        message = "life= is how many seconds a login may take, above 0"
        raise ConfigurationError(message)
    return None if now is None else now + life


def _once_id(state: str) -> str:
    return sha256(f"login\0{state}".encode(errors="surrogatepass")).hexdigest()
