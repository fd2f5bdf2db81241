"""What a login asks for beyond a code (OpenID Connect Core §3.1.2.1, RFC 8707 §2)."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, cast

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.redirects import is_absolute
from oauthkit.protocol.secret import Unprintable, secret
from oauthkit.protocol.server import AuthorizationServer

_MODES: Final = ("query", "form_post")
_REQUESTED: Final = ("id_token", "userinfo")
_OTHER_MODES: Final[Mapping[str, str]] = {
    "fragment": (
        "a browser sends no fragment to any server (OAuth 2.0 Multiple Response Type Encoding "
        'Practices §2.1); leave it out, or use "form_post"'
    ),
    "web_message": "a message between windows reaches no server; leave it out",
}
_SIGNED: Final = 'signed responses (JARM) are not read here; leave it out, or use "form_post"'


@attrs.frozen(kw_only=True)
class LoginWishes:
    """What a login asks for beyond a code; what is None is not asked for.

    Attributes:
        max_age: Seconds since the resource owner last authenticated, at most; 0 asks for it anew.
        prompt: What the server is to ask the resource owner, space-separated.
        login_hint: Who is expected to log in.
        acr_values: Authentication context classes, in order of preference, space-separated.
        claims: Claims that are asked for one by one (OpenID Connect Core §5.5).
        ui_locales: Languages in order of preference, space-separated.
        id_token_hint: A former ID Token of who is expected to log in.
        display: How the server is to show its pages.
        resource: What the access token is for (RFC 8707 §2).
        response_mode: How the callback is to come.
    """

    max_age: int | None = None
    prompt: str | None = None
    login_hint: str | None = attrs.field(default=None, repr=False)
    acr_values: str | None = None
    claims: Mapping[str, Any] | None = attrs.field(default=None, hash=False, repr=False)
    ui_locales: str | None = None
    id_token_hint: str | None = secret(default=None)
    display: str | None = None
    resource: tuple[str, ...] = ()
    response_mode: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], additional: Mapping[str, ParameterValue]) -> Self:
        """Return the wishes of a login.

        What stands among the additional parameters counts as if it had been given, so that the
        answer is checked against it all the same.

        Args:
            given: By name; None where nothing was.
            additional: The further parameters.

        Raises:
            ConfigurationError: One is of another form, or given twice.
        """
        twice = [name for name in _READERS if _is_said(given[name]) and name in additional]
        if twice:
            message = (
                f"{twice[0]} is given twice, by {twice[0]}= and by additional=; a parameter occurs "
                "once (RFC 6749 §3.1)"
            )
            raise ConfigurationError(message)
        said = Unprintable({**given, **{n: v for n, v in additional.items() if n in _READERS}})
        return cls(**{n: read(said[n]) for n, read in _READERS.items() if _is_said(said[n])})

    @staticmethod
    def others(additional: Mapping[str, ParameterValue]) -> Mapping[str, ParameterValue]:
        """Return the additional parameters that are no wish known here."""
        return Unprintable((n, value) for n, value in additional.items() if n not in _READERS)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return them as parameters of the authorization request."""
        plain = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        claims = None if self.claims is None else json.dumps(self.claims, separators=(",", ":"))
        return Unprintable(plain, claims=claims)

    def check(self, server: AuthorizationServer) -> None:
        """Refuse what the server says that it cannot do, where the login would certainly fail.

        What its metadata says of `prompt`, `acr_values` and `claims` is not compared: servers leave
        those lists incomplete, and may pass over what they do not know.

        Raises:
            ConfigurationError: It answers in other modes alone.
        """
        modes = server.response_modes_supported
        if self.response_mode is not None and modes and self.response_mode not in modes:
            message = (
                f"the server answers by {', '.join(map(printable, modes))}, and not by "
                f"response_mode={self.response_mode!r}; leave it out"
            )
            raise ConfigurationError(message)


def essential_acr(claims: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Return which `acr` the ID Token must have one of, where that is essential.

    Args:
        claims: The claims that were asked for (OpenID Connect Core §5.5.1.1).

    Returns:
        The values; none of them where any will do, and None where `acr` is not essential.
    """
    members: Mapping[str, Any] = (claims or {}).get("id_token") or {}
    asked: Mapping[str, Any] = members.get("acr") or {}
    if asked.get("essential") is not True:
        return None
    values: list[object] = asked.get("values", [asked["value"]] if "value" in asked else [])
    return tuple(value for value in values if isinstance(value, str))


def claims_of(given: object) -> Mapping[str, Any]:
    """Return the claims that are asked for, as a copy that is JSON throughout (§5.5).

    Args:
        given: A mapping, or the JSON text of one.

    Raises:
        ConfigurationError: It is none, or asks for something in a way that no server can read.
    """
    try:
        text = given if isinstance(given, str) else json.dumps(given, allow_nan=False)
        claims: object = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict) or not _are_requests(cast("dict[str, object]", claims)):
        message = (
            "claims= takes a mapping of JSON values with the members id_token and userinfo, each a "
            "mapping from the name of a claim to None or to a mapping such as "
            '{"essential": True} (OpenID Connect Core §5.5)'
        )
        raise ConfigurationError(message)
    return cast("dict[str, Any]", claims)


def _are_requests(claims: Mapping[str, object]) -> bool:
    """Tell whether what is asked for can be read; members of other names are passed over."""
    asked = [claims[name] for name in _REQUESTED if claims.get(name) is not None]
    return all(
        isinstance(members, dict)
        and all(map(_is_request, cast("dict[str, Any]", members).values()))
        for members in asked
    )


def _is_request(one: object) -> bool:
    if not isinstance(one, dict):
        return one is None
    return isinstance(cast("dict[str, object]", one).get("values", []), list)


def _is_said(value: object) -> bool:
    return value is not None and value != ""


def _seconds(value: object) -> int:
    digits = isinstance(value, str) and value.isascii() and value.isdigit()
    seconds = int(cast("str", value)) if digits else value
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        message = "max_age= takes whole seconds, 0 or more (OpenID Connect Core §3.1.2.1)"
        raise ConfigurationError(message)
    return seconds


def _words(name: str) -> Callable[[object], str]:
    """Return what reads a text of words, or several of them (§3.1.2.1)."""

    def read(value: object) -> str:
        given = value.split(" ") if isinstance(value, str) else _several(value)
        words = [word for word in given if word != ""]
        if not words or not all(isinstance(word, str) and word.split() == [word] for word in words):
            message = f"{name}= takes a text with spaces between its words, or several words"
            raise ConfigurationError(message)
        return " ".join(cast("list[str]", words))

    return read


def _several(value: object) -> tuple[object, ...]:
    return tuple(cast("Iterable[object]", value)) if isinstance(value, Iterable) else (value,)


def _prompt(value: object) -> str:
    prompt = _words("prompt")(value)
    if "none" in prompt.split() and prompt != "none":
        message = (
            'prompt="none" asks the server to show no page, so no other value stands beside it '
            "(OpenID Connect Core §3.1.2.1)"
        )
        raise ConfigurationError(message)
    return prompt


def _resources(value: object) -> tuple[str, ...]:
    several = (value,) if isinstance(value, str) else _several(value)
    for uri in several:
        if not isinstance(uri, str) or not is_absolute(uri):
            message = "resource= takes absolute URIs without a fragment (RFC 8707 §2)"
            raise ConfigurationError(message)
    return cast("tuple[str, ...]", several)


def _mode(value: object) -> str:
    if value in _MODES:
        return str(value)
    shown = printable(str(value), 40)
    reason = _OTHER_MODES.get(shown, _SIGNED if shown.endswith("jwt") else "leave it out")
    message = f'response_mode= is "query" or "form_post", not {shown!r}: {reason}'
    raise ConfigurationError(message)


def _text(name: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            message = f"{name} takes a text"
            raise ConfigurationError(message)
        return value

    return read


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "max_age": _seconds,
    "prompt": _prompt,
    "login_hint": _text("login_hint"),
    "acr_values": _words("acr_values"),
    "claims": claims_of,
    "ui_locales": _words("ui_locales"),
    "id_token_hint": _text("id_token_hint"),
    "display": _text("display"),
    "resource": _resources,
    "response_mode": _mode,
}
