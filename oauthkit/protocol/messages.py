"""HTTP as plain values, and which URLs may be endpoints."""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.secret import NoPickle, SecretBytes, SecretStr

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(
    r"[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+|[0-9a-f]*+:[0-9a-f:.]++(?:%[a-z0-9._~-]++)?"
)
_NUMBER: Final = re.compile(r"0x[0-9a-f]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}", re.ASCII)
_MOST_DOTS: Final = 3
_ADDRESSES: Final = 2**32
_AUTHORITY: Final = re.compile(r"(?:[^\[\]]*@)?(?:\[[^\[\]]+\]|[^\[\]:@]+)(?::[0-9]*)?")
_CREDENTIALS: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*:/*|//)?.*@", re.DOTALL)


def shown_url(url: str | None) -> str:
    """Return a URL as the `repr` of a value shows it: a query may hold a secret."""
    if url is None:
        return "None"
    bare, mark, _ = _CREDENTIALS.sub(_without_credentials, url).partition("?")
    return repr(f"{bare}?…" if mark else bare)


class Headers(NoPickle, Mapping[str, str]):
    """Hold header fields, found by name in any case; a repeated one is joined with a comma."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        """Take names and values, in order."""
        if isinstance(pairs, Headers):  # as a mapping it would have joined repeated fields
            self._pairs: tuple[tuple[str, str], ...] = pairs._pairs  # noqa: SLF001 - the same class
            return
        items: Iterable[tuple[str, str]]
        items = cast("Mapping[str, str]", pairs).items() if isinstance(pairs, Mapping) else pairs
        self._pairs = tuple((name.lower(), value) for name, value in items)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return tuple(value for key, value in self._pairs if key == name.lower())

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})

    def __repr__(self) -> str:
        """Show the names; values may be credentials."""
        return f"Headers({', '.join(self)})"


@attrs.frozen
class HTTPRequest(NoPickle):
    """A request to an authorization server, ready to be sent.

    Attributes:
        secrets: Values that must not be shown when the answer echoes them.
        public_only: Whether it may be sent to public addresses alone.
    """

    method: str
    url: str = attrs.field(repr=shown_url)
    headers: Headers = attrs.field(factory=Headers, converter=Headers)
    content: bytes = attrs.field(default=b"", converter=SecretBytes)
    secrets: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    public_only: bool = attrs.field(default=False, repr=False)


@attrs.frozen
class HTTPResponse(NoPickle):
    """An answer, read whole."""

    status_code: int
    headers: Headers = attrs.field(factory=Headers, converter=Headers)
    content: bytes = attrs.field(default=b"", converter=SecretBytes)


@attrs.frozen
class Origin:
    """Scheme, host and port of a URL (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Return the origin of an absolute http or https URL.

        Raises:
            ConfigurationError: It is not one.
        """
        url = hidden_url(url)
        scheme, host, port, _ = _split(url)
        return cls(scheme, _ascii_host(host), port or _DEFAULT_PORTS[scheme])

    @property
    def default_port(self) -> bool:
        """Whether the port is the one of the scheme, which URLs leave out."""
        return _DEFAULT_PORTS.get(self.scheme) == self.port

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine: `localhost`, or a literal address (RFC 8252 §8.3).

        A name below it, such as `app.localhost`, is looked up like any other by many resolvers, and
        so may be another machine.
        """
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def may_be_here(self) -> bool:
        """Whether the host is this machine to some resolver or other, however it is written.

        That is more than `loopback`: the unspecified address leads here as well, `127.1` and
        `2130706433` are read as addresses, and a name below `localhost` may be one (RFC 6761 §6.3).
        """
        if self.loopback or self.host.endswith(".localhost"):
            return True
        found: IPv4Address | IPv6Address | None
        try:
            found = ip_address(self.host)
        except ValueError:
            found = _old_address(self.host)
        found = getattr(found, "ipv4_mapped", None) or found
        return found is not None and (found.is_loopback or found.is_unspecified)

    @property
    def confidential(self) -> bool:
        """Whether what is sent there cannot be read on the way."""
        return self.scheme == "https" or self.loopback

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"{self.scheme}://{host}"
            if self.default_port
            else f"{self.scheme}://{host}:{self.port}"
        )


def _old_address(host: str) -> IPv4Address | None:
    """Return the address that a host stands for in a form of old, such as `0x7f.1`.

    Up to four numbers in C's way to write them, of which the last one fills what is left.
    """
    *first, last = host.split(".")
    if len(first) > _MOST_DOTS or not all(map(_NUMBER.fullmatch, (*first, last))):
        return None
    value = _number(last)
    for place, part in enumerate(first):
        value += _number(part) << (8 * (_MOST_DOTS - place))
    return IPv4Address(value) if value < _ADDRESSES else None


def _number(text: str) -> int:
    base = 16 if text.startswith("0x") else 8 if text.startswith("0") else 10
    return int(text, base)


def check_endpoint(url: str, *, name: str, allow_plain_http: bool = False) -> str:
    """Return the URL of an endpoint of an authorization server, if it may be one.

    Args:
        url: Absolute, https or loopback http, without fragment (RFC 6749 §3.1, §3.2) and without
            credentials in it.
        name: What the error message calls it.
        allow_plain_http: Let plain http to other hosts pass.

    Raises:
        ConfigurationError: It may not.
    """
    url = hidden_url(url)
    *_, has_credentials = _split(url, name=name)
    if "#" in url:
        message = f"{name} has a fragment (#…), which RFC 6749 §3.1 forbids; leave it out"
        raise ConfigurationError(message)
    if has_credentials:
        message = f"{name} holds credentials; give them to a ClientAuth instead"
        raise ConfigurationError(message)
    origin = Origin.of(url)
    if not allow_plain_http and not origin.confidential:
        message = (
            f"{name} {origin} is plain http, where credentials and tokens can be read on the way; "
            "use https, or say AuthorizationServer(…, allow_plain_http=True)"
        )
        raise ConfigurationError(message)
    return url


def hidden_url(url: object) -> str:
    """Return a URL that no traceback shows, not even one with a password in it.

    Raises:
        ConfigurationError: It is no text.
    """
    if not isinstance(url, str):  # a setting that is missing comes as None
        message = f"a URL is an absolute https:// URL as a text, not {type(url).__name__}"
        raise ConfigurationError(message)
    return SecretStr(url)


def _split(url: str, *, name: str = "the URL") -> tuple[str, str, int | None, bool]:
    """Return scheme, host and port of a URL, and whether there are credentials in it."""
    if any(character <= " " or character in "\x7f\\" for character in url):
        message = (
            f"{name} {_shown(url)} has white space, a control character or a backslash in "
            "it, which are not read alike everywhere"
        )
        raise ConfigurationError(message)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and parts.port != 0
        usable = usable and bool(_AUTHORITY.fullmatch(parts.netloc))
    except ValueError:
        parts, usable = SplitResult("", "", "", "", ""), False
    found = parts.scheme, parts.hostname or "", parts.port if usable else None
    has_credentials = "@" in parts.netloc
    del parts  # a traceback that shows local values would show the password in it
    if not usable:
        message = (
            f"{name} must be an absolute https:// URL (http:// for this machine), not {_shown(url)}"
        )
        raise ConfigurationError(message)
    return *found, has_credentials


def _ascii_host(host: str) -> str:
    """Return a host as HTTP libraries send it; one that two of them may read apart is refused."""
    host = host.removesuffix(".")
    try:
        found = host if host.isascii() else host.encode("idna").decode("ascii")
        alike = found == host or found.encode("ascii").decode("idna") == host
    except UnicodeError:
        found, alike = "", False
    if not alike or not _HOST.fullmatch(found):
        message = f"the host {printable(host, 80)!r} is not a domain name; write it as xn--…"
        raise ConfigurationError(message)
    return found


def _shown(url: str) -> str:
    """Return a URL for an error text, without user, password and query, however it is written."""
    bare = _CREDENTIALS.sub(_without_credentials, url)
    return repr(printable(re.split(r"[?#]", bare, maxsplit=1)[0], 80))


def _without_credentials(match: re.Match[str]) -> str:
    return f"{match[1] or ''}***@"
