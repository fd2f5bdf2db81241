"""Which tokens were issued, and which of them are still good."""

import math
from collections.abc import Mapping

import attrs

from oauthkit.clock import Clock


class SpentError(Exception):
    """A refresh token is unknown, expired, revoked or was used before."""


@attrs.define(eq=False)
class Family:
    """All tokens that come from one grant: access tokens and a chain of refresh tokens.

    Attributes:
        scope: What was granted.
        alive: Whether it was not revoked, by hand or because a spent refresh token was reused.
        refreshes: How many times a refresh token of it was exchanged.
        asked: The parameters of the authorization request, where there was one.
        began: When the resource owner authenticated for it, in seconds since the epoch.
        username: Who that is; None is the server's one resource owner.
    """

    scope: str
    alive: bool = True
    refreshes: int = 0
    asked: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    began: float = 0.0
    username: str | None = None


@attrs.define(eq=False)
class _Entry:
    family: Family
    issued_at: float
    expires_at: float
    successor: str | None = attrs.field(default=None, repr=False)
    spent_at: float = -math.inf


@attrs.frozen(kw_only=True)
class Known:
    """What the server knows of a token that is good.

    Attributes:
        scope: What was granted.
        issued_at: When it was issued, in seconds since the epoch.
        expires_at: When it expires, likewise; None is never.
        of_login: Whether a resource owner stands behind it, and not the client alone.
        access_token: Whether it is an access token, and not a refresh token.
        username: Who has logged in for it, where that was somebody in particular.
    """

    scope: str
    issued_at: float
    expires_at: float | None
    of_login: bool
    access_token: bool
    username: str | None = None


@attrs.define(eq=False)
class Ledger:
    """Keep the tokens of one authorization server.

    Attributes:
        clock: What lives are measured with.
        families: Every grant that led to a refresh token.
        presented_twice: How many times a refresh token came that was exchanged before.
    """

    clock: Clock
    families: list[Family] = attrs.field(factory=list[Family])
    presented_twice: int = 0
    _access: dict[str, _Entry] = attrs.field(factory=dict[str, _Entry], repr=False)
    _refresh: dict[str, _Entry] = attrs.field(factory=dict[str, _Entry], repr=False)
    _minted: int = 0

    def access_token(self, family: Family, *, life: float) -> str:
        """Return a new access token, good for `life` seconds."""
        token = self._name("access-token")
        self._access[token] = self._entry(family, life)
        return token

    def refresh_token(self, family: Family, *, life: float) -> str:
        """Return a new refresh token, good for `life` seconds."""
        if family not in self.families:
            self.families.append(family)
        token = self._name("refresh-token")
        self._refresh[token] = self._entry(family, life)
        return token

    def live(self, access_token: str) -> bool:
        """Tell whether an API takes the access token."""
        return self._good(self._access.get(access_token)) is not None

    def known(self, token: str) -> Known | None:
        """Return what there is to say of a token that is good; None of any other."""
        entry = self._access.get(token) or self._refresh.get(token)
        if entry is None or entry.successor is not None or self._good(entry) is None:
            return None
        life = entry.expires_at if math.isfinite(entry.expires_at) else None
        return Known(
            scope=entry.family.scope,
            issued_at=entry.issued_at,
            expires_at=life,
            of_login=entry.family in self.families,
            access_token=token in self._access,
            username=entry.family.username,
        )

    def family_of(self, refresh_token: str) -> Family | None:
        """Return what a refresh token belongs to, while that is alive and the token not expired."""
        entry = self._good(self._refresh.get(refresh_token))
        return None if entry is None else entry.family

    def exchange(
        self, refresh_token: str, *, rotate: bool, grace: float, detect_reuse: bool, life: float
    ) -> tuple[Family, str | None]:
        """Return the family and the refresh token that comes next, None where the old one stays.

        Args:
            refresh_token: What the client has.
            rotate: Whether each one is good once.
            grace: Seconds in which a spent one gives its successor again, while that is unspent.
            detect_reuse: Whether a spent one revokes its whole family (RFC 9700 §4.14.2).
            life: Seconds that the next one is good for.

        Raises:
            SpentError: The refresh token is not good any more.
        """
        entry = self._refresh.get(refresh_token)
        if entry is not None and entry.successor is not None:
            self.presented_twice += 1
            return self._again(entry, entry.successor, grace=grace, detect_reuse=detect_reuse)
        if self._good(entry) is None or entry is None:
            raise SpentError
        entry.family.refreshes += 1
        if not rotate:
            return entry.family, None
        entry.successor = self.refresh_token(entry.family, life=life)
        entry.spent_at = self.clock.time()
        return entry.family, entry.successor

    def revoke(self, token: str) -> bool:
        """Revoke an access token alone, or a refresh token with its family (RFC 7009 §2.1)."""
        if (entry := self._refresh.get(token)) is not None:
            entry.family.alive = False
            return True
        return self._access.pop(token, None) is not None

    def revoke_all(self) -> None:
        """Revoke every token that came of a login."""
        for family in self.families:
            family.alive = False

    def revoke_access_tokens(self) -> None:
        """Revoke every access token; refresh tokens stay good."""
        self._access.clear()

    def _again(
        self, entry: _Entry, successor: str, *, grace: float, detect_reuse: bool
    ) -> tuple[Family, str]:
        unspent = self._refresh[successor].successor is None
        within = self.clock.time() - entry.spent_at < grace
        if entry.family.alive and unspent and within:
            return entry.family, successor
        if detect_reuse:
            entry.family.alive = False
        raise SpentError

    def _good(self, entry: _Entry | None) -> _Entry | None:
        if entry is None or not entry.family.alive:
            return None
        return entry if self.clock.time() < entry.expires_at else None

    def _entry(self, family: Family, life: float) -> _Entry:
        now = self.clock.time()
        return _Entry(family, now, now + life)

    def _name(self, kind: str) -> str:
        self._minted += 1
        return f"{kind}-{self._minted}"
