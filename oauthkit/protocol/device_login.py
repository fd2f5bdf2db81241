"""A login on a device without a browser, on its way (RFC 8628 §3.2), and the grant it becomes."""

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import GrantStrategy, Repeat
from oauthkit.protocol.messages import Origin, shown_url
from oauthkit.protocol.record import check_version, recorded, unknown_members
from oauthkit.protocol.secret import (
    NoPickle,
    Unprintable,
    check_given,
    names_of,
    secret,
    unprintable,
)

DEFAULT_INTERVAL: Final = 5.0
"""Seconds between two requests, where the server does not say (RFC 8628 §3.2)."""

_TEXT: Final = (str,)
_TEXT_OR_NONE: Final = (str, type(None))
_NUMBER: Final = (int, float)
_RECORD: Final[Mapping[str, tuple[type, ...]]] = {
    "device_code": _TEXT,
    "user_code": _TEXT,
    "verification_uri": _TEXT,
    "verification_uri_complete": _TEXT_OR_NONE,
    "expires_at": _NUMBER,
    "interval": _NUMBER,
    "scope": _TEXT_OR_NONE,
    "token_endpoint": _TEXT,
    "issuer": _TEXT_OR_NONE,
    "client_id": _TEXT_OR_NONE,
    "extra": (dict,),
}


@attrs.frozen(kw_only=True)
class DeviceLogin(NoPickle):
    """Be one login on its way, on a device without a browser: what to show, and how long it lasts.

    Show `user_code` and `verification_uri` always, `verification_uri_complete` at most beside them,
    such as a QR code (RFC 8628 §3.3.1).

    Example:
        >>> login = DeviceLogin(
        ...     device_code="GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
        ...     user_code="WDJB-MJHT",
        ...     verification_uri="https://example.com/device",
        ...     expires_at=1_700_001_800.0,
        ...     token_endpoint="https://example.com/token",
        ... )
        >>> f"Open {login.verification_uri} and enter {login.user_code}"
        'Open https://example.com/device and enter WDJB-MJHT'

    Attributes:
        user_code: What the resource owner enters.
        verification_uri: Where; it is short, to be typed.
        verification_uri_complete: The same with the code in it; None where the server has none.
        expires_at: When it ends, in seconds since the epoch.
        interval: Seconds between two requests, at least.
        device_code: What the token is asked for with.
        scope: What was asked for.
        token_endpoint: Where alone the token may be asked for.
        issuer: Whose login it is; None is unknown.
        client_id: Who asked; None may be anybody.
        extra: Every further member of the answer, such as Microsoft's `message`.
        unknown: Members of its record that a later oauthkit has put there; they are kept.
    """

    user_code: str = secret()
    verification_uri: str
    verification_uri_complete: str | None = secret(default=None)
    expires_at: float = attrs.field(converter=float)
    interval: float = attrs.field(default=DEFAULT_INTERVAL, converter=float)
    device_code: str = secret()
    scope: str | None = None
    token_endpoint: str = attrs.field(repr=shown_url)
    issuer: str | None = None
    client_id: str | None = None
    extra: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=names_of
    )
    unknown: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=False
    )

    def url_to_open(self, *, complete: bool = False) -> str:
        """Return the URL for who opens a browser, which takes http and https alone.

        A browser that is opened must not hide what is agreed to: show the user code beside it, so
        that the resource owner can compare it with the page's (RFC 8628 §3.3.1, §5.4).

        Args:
            complete: The one with the code in it, where the server has one.

        Raises:
            ConfigurationError: It is of another scheme, such as `javascript` or `file`, or none.
        """
        url = (complete and self.verification_uri_complete) or self.verification_uri
        Origin.of(url)
        return str(url)

    def to_dict(self) -> dict[str, Any]:
        """Return the login as a plain dict of JSON values, **secrets included**, for keeping."""
        fields = {name: getattr(self, name) for name in _RECORD}
        plain = {name: str(v) if isinstance(v, str) else v for name, v in fields.items()}
        return recorded({**plain, "extra": dict(self.extra)}, self.unknown)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the login that `to_dict` gave.

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
        del data  # a traceback that shows local values would show the code in it
        if login is None:
            message = f"a kept device login must be what DeviceLogin.to_dict() gives: {reason}"
            raise ConfigurationError(message)
        return login


def _kept(data: Mapping[str, Any]) -> Unprintable:
    check_version(data)
    known = Unprintable((name, data[name]) for name in _RECORD if name in data)
    for name, kinds in _RECORD.items():
        value = known.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            message = f"its {name} is missing, or of another type"
            raise ValueError(message)  # noqa: TRY004 - as for all that a record may not be
    return Unprintable(known, unknown=unknown_members(data, _RECORD))


@attrs.frozen(kw_only=True)
class DeviceCode(GrantStrategy):
    """Ask whether a login on a device was agreed to (RFC 8628 §3.4).

    A request does not use the code up: it is asked again until the resource owner has decided.
    """

    grant_type = "urn:ietf:params:oauth:grant-type:device_code"
    repeat = Repeat.ALWAYS

    login: DeviceLogin
    device_code: str = secret()

    @classmethod
    def of(cls, login: DeviceLogin, *, additional: Mapping[str, ParameterValue]) -> Self:
        """Return the grant of a login."""
        return cls(login=login, device_code=login.device_code, additional=additional)

    def __attrs_post_init__(self) -> None:
        """Check the code."""
        check_given(device_code=self.device_code)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return device_code."""
        return Unprintable(device_code=self.device_code)

    @property
    def requested_scope(self) -> str | None:
        """The scope of the login."""
        return self.login.scope

    @property
    def bound_to(self) -> str | None:
        """The token endpoint of the login."""
        return self.login.token_endpoint

    @property
    def bound_to_issuer(self) -> str | None:
        """The issuer of the login, or None."""
        return self.login.issuer

    @property
    def bound_to_client(self) -> str | None:
        """The client of the login, or None."""
        return self.login.client_id
