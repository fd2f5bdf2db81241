"""A token, as a value."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Self

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.record import FARTHEST, check_version, recorded, unknown_members
from oauthkit.protocol.secret import (
    NoPickle,
    Unprintable,
    guarded_secrets,
    names_of,
    secret,
    unprintable,
)

_TEXT: Final = (str, type(None))
_MOMENT: Final = (int, float, type(None))


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)


@guarded_secrets
@attrs.frozen(repr=True)
class Token(NoPickle):
    """An access token and what came with it (RFC 6749 §5.1).

    A subclass may declare further fields, each with a default, for members that a server documents
    beyond the RFC; name it as `AuthorizationServer(token_class=…)`.

    Example:
        >>> token = Token("2YotnFZFEjr1zCsicMWpAA", expires_at=1_700_003_600.0)
        >>> token.fresh(now=1_700_000_000.0, leeway=30)
        True

    Attributes:
        access_token: What is sent to the API.
        token_type: How it is sent; only Bearer is, in any case of letters.
        issued_at: When it was asked for, in seconds since the epoch.
        expires_at: When it expires, in seconds since the epoch; None is unknown.
        refresh_token: The right to a next one.
        refresh_expires_at: When that right ends, in seconds since the epoch; None is unknown.
        scope: What was granted, space-separated; None is unknown.
        id_token: The ID Token (OpenID Connect Core §3.1.3.3), not verified.
        extra: Every further member of the answer, as it came.
        issuer: Who issued it, by its issuer identifier; None is unknown. `fetch_token` and sessions
            fill this and the next two in, and a session refuses a token of another server or
            client. A token made by hand has none, and fits everywhere.
        token_endpoint: Where it came from, without the query.
        client_id: Whom it was issued to.
        unknown: Members of its record that a later oauthkit has put there; they are kept.
    """

    access_token: str = secret()
    token_type: str = "Bearer"
    issued_at: float | None = attrs.field(default=None, converter=_seconds)
    expires_at: float | None = attrs.field(default=None, converter=_seconds)
    refresh_token: str | None = secret(default=None)
    refresh_expires_at: float | None = attrs.field(default=None, converter=_seconds)
    scope: str | None = None
    id_token: str | None = secret(default=None)
    extra: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=names_of
    )
    issuer: str | None = attrs.field(default=None, kw_only=True, repr=False)
    token_endpoint: str | None = attrs.field(default=None, kw_only=True, repr=False)
    client_id: str | None = attrs.field(default=None, kw_only=True, repr=False)
    unknown: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=False, kw_only=True
    )

    def fresh(self, *, now: float, leeway: float) -> bool:
        """Tell whether the token is good for a while yet; one of unknown expiry is.

        Args:
            now: Seconds since the epoch.
            leeway: Seconds before the expiry at which it stops being fresh. They are capped at
                half of the token's life, or a short-lived token would never be fresh.
        """
        if self.expires_at is None:
            return True
        return now < self.expires_at - self.leeway(leeway)

    def leeway(self, wanted: float) -> float:
        """Return the wanted leeway, capped at half of the token's life.

        Args:
            wanted: Seconds.
        """
        if self.expires_at is None or self.issued_at is None:
            return wanted
        return min(wanted, max(self.expires_at - self.issued_at, 0.0) / 2)

    def to_dict(self) -> dict[str, Any]:
        """Return the token as a plain dict of JSON values, **secrets included**, for keeping.

        A moment that no clock will show, such as `math.inf`, is kept as one that is not known.
        """
        fields = attrs.asdict(self, recurse=False)
        unknown = fields.pop("unknown")
        further = {name: fields.pop(name) for name in _further_names(type(self))}
        said = {name: value for name, value in further.items() if value is not None}
        extra = {**self.extra, **_plain(said)}
        plain = {name: _recorded(value) for name, value in fields.items()}
        return recorded(plain | {"extra": extra}, unknown)

    @classmethod
    def from_response(cls, fields: Mapping[str, Any], *, requested_at: float | None = None) -> Self:
        """Return a token from a token response (RFC 6749 §5.1), as other libraries keep it.

        What Authlib, requests-oauthlib and oauthlib keep is such a dict. Where it has an
        `expires_at`, in seconds since the epoch, that counts, and `expires_in` is what it was
        then. Further members go to `extra`. The token is bound to no server: name yours by
        `attrs.evolve(token, issuer=…, client_id=…)`, or let the first renewal do it.

        Example:
            >>> kept = {"access_token": "2YotnFZFEjr1zCsicMWpAA", "expires_in": 3600}
            >>> Token.from_response(kept, requested_at=1_700_000_000.0).expires_at
            1700003600.0

        Args:
            fields: The members of the response.
            requested_at: When it was asked for, in seconds since the epoch; needed for an
                `expires_in` without an `expires_at`.

        Raises:
            ConfigurationError: This is no such response, or a lifetime in it cannot be understood.
        """
        from oauthkit.protocol.kept_response import members_of  # noqa: PLC0415 - seldom needed

        try:
            return cls(**members_of(cls, fields, requested_at=requested_at))
        except (AttributeError, TypeError):
            reason = "it is no dict of that kind"
        except ValueError as error:
            reason = str(error)
        del fields  # a traceback that shows local values would show the token in it
        message = f"a token response must be a dict as in RFC 6749 §5.1: {reason}"
        raise ConfigurationError(message)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the token that `to_dict` gave, this version's or an earlier one's.

        What other libraries keep is a token response; see `from_response`. A token kept by another
        token class comes back with its further members in `extra`, and the other way round.

        Raises:
            ConfigurationError: This is not such a dict, or a newer oauthkit's.
        """
        try:
            return cls(**_kept(cls, data))
        except (AttributeError, TypeError):
            reason = "it is no such dict"
        except ValueError as error:
            reason = str(error)
        del data  # a traceback that shows local values would show the token in it
        message = f"a kept token must be what {cls.__name__}.to_dict() gives: {reason}"
        raise ConfigurationError(message)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Check a subclass, and load what reads its fields before an event loop waits for it."""
        super().__attrs_init_subclass__()
        import_module("oauthkit.protocol.structure")
        for name in _further_names(cls):
            if getattr(attrs.fields(cls), name).default is attrs.NOTHING:
                message = f"{cls.__name__}.{name} needs a default: a server may leave it out"
                raise ConfigurationError(message)


def _further_names(token_class: type[Token]) -> tuple[str, ...]:
    base = {field.name for field in attrs.fields(Token)}
    return tuple(field.name for field in attrs.fields(token_class) if field.name not in base)


def further_fields(
    token_class: type[Token], fields: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that a token class declares beyond `Token`, typed, and all unknown ones.

    A field that is null was left out.

    Raises:
        ValueError: A field is not of the declared type.
    """
    extra = Unprintable((name, value) for name, value in fields.items() if name not in _KNOWN)
    names = _further_names(token_class)
    present = Unprintable((name, extra.pop(name)) for name in names if name in extra)
    return _typed(token_class, present), extra


def _kept(token_class: type[Token], data: Mapping[str, Any]) -> dict[str, Any]:
    check_version(data)
    _check_no_response(data)
    known = Unprintable((name, data[name]) for name in _SHAPE if data.get(name) is not None)
    extra = Unprintable(data.get("extra") or {})
    for name, kinds in _SHAPE.items():
        if not _fits(known.get(name), kinds):
            message = f"its {name} is of another type"
            raise ValueError(message)
    names = _further_names(token_class)
    further = Unprintable((name, extra.pop(name)) for name in names if name in extra)
    unknown = unknown_members(data, {*_SHAPE, "extra"})
    return Unprintable(known | _typed(token_class, further), extra=extra, unknown=unknown)


def _check_no_response(data: Mapping[str, Any]) -> None:
    """Refuse what another library has kept: its lifetime would be lost without a word."""
    told = [name for name in _RESPONSE_MEMBERS if name in data]
    if isinstance(data.get("scope"), list):
        told.append("scope as a list")
    if told:
        message = (
            f"it has {', '.join(told)}, so it is a token response; give that to "
            "Token.from_response(fields, requested_at=…)"
        )
        raise ValueError(message)


def _typed(token_class: type[Token], members: Mapping[str, Any]) -> dict[str, Any]:
    present = Unprintable((name, value) for name, value in members.items() if value is not None)
    if not present:
        return present
    from oauthkit.protocol.structure import structured  # noqa: PLC0415 - loaded by the subclass

    types = attrs.fields_dict(attrs.resolve_types(token_class))
    return Unprintable(
        (name, structured(value, types[name].type, name=name)) for name, value in present.items()
    )


def _recorded(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return value if _fits(value, (object,)) else None  # else the record could not be read again


def _plain(members: Mapping[str, Any]) -> Mapping[str, Any]:
    if not members:
        return members
    from oauthkit.protocol.structure import unstructured  # noqa: PLC0415 - loaded by the subclass

    return {
        name: str(value) if isinstance(value, str) else unstructured(value)
        for name, value in members.items()
    }


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    number = value if isinstance(value, int | float) else 0
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(number) <= FARTHEST


_KNOWN: Final = frozenset(
    {"access_token", "token_type", "refresh_token", "scope", "id_token", "expires_in"}
)


_RESPONSE_MEMBERS: Final = (
    "expires_in",
    "expires_on",
    "ext_expires_in",
    "refresh_expires_in",
    "refresh_token_expires_in",
)


_SHAPE: Final[Mapping[str, tuple[type, ...]]] = {
    "access_token": (str,),
    "token_type": _TEXT,
    "issued_at": _MOMENT,
    "expires_at": _MOMENT,
    "refresh_token": _TEXT,
    "refresh_expires_at": _MOMENT,
    "scope": _TEXT,
    "id_token": _TEXT,
    "issuer": _TEXT,
    "token_endpoint": _TEXT,
    "client_id": _TEXT,
}
