"""Logins on their way, each in a cookie of its own, so that one tab does not end another's."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from oauthkit.login.cookies import Cookie, CookieKeys, SameSite
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.callback import Callback
from oauthkit.protocol.secret import Unprintable

_EACH_ITS_OWN: Final = frozenset(
    {"state", "nonce", "code_verifier", "created_at", "expires_at", "return_to"}
)
_MOST: Final = 10
_MOST_CHARACTERS: Final = 4_800
"""Of all of them in a Cookie header; a server may refuse one of 8,190 with whatever else it has."""

_ID_CHARACTERS: Final = 16


class PendingLogins:
    """Keep logins at the browser that has begun them, until its callback comes.

    What all logins of an application have in common is in no cookie: a cookie is bound to it, and
    so is good for nothing at another server, for another client or redirect URI.

    Args:
        keys: What encrypts.
        name: What the cookies are called.
        same_site: None where the callback is posted by the server's site.
    """

    def __init__(self, keys: CookieKeys, *, name: str, same_site: SameSite) -> None:
        """Keep nothing yet."""
        self._keys = keys
        self._prefix = f"__Host-{name}-login-"
        self._same_site: SameSite = same_site

    def put(
        self, login: AuthorizationRequest, cookies: Mapping[str, str], *, now: float
    ) -> tuple[Cookie, ...]:
        """Return the cookie of a login, and those that are cleared to make room for it.

        Args:
            login: The login; it has an end.
            cookies: What the browser has already, the oldest first.
            now: Seconds since the epoch.
        """
        record = login.to_dict(url=False)
        own = Unprintable((name, record[name]) for name in _EACH_ITS_OWN if name in record)
        name = self._name(login.once_id)
        ends = login.expires_at or now
        value = self._keys.seal(name, own, bound_to=_common(record), expires_at=ends)
        made = Cookie(name=name, value=value, max_age=int(ends - now), same_site=self._same_site)
        used = len(name) + len(value)
        return (*map(self._cleared, self._too_many(cookies, used)), made)

    def find(
        self,
        callback: Callback,
        cookies: Mapping[str, str],
        *,
        alike: AuthorizationRequest,
        now: float,
    ) -> AuthorizationRequest | None:
        """Return the login that a callback says it belongs to; None where this browser has none.

        Args:
            callback: The callback.
            cookies: What the browser has.
            alike: A login as it would begin now.
            now: Seconds since the epoch.
        """
        once_id = AuthorizationRequest.once_id_of(callback)
        if once_id is None:
            return None
        name = self._name(once_id)
        common = alike.to_dict(url=False)
        own = self._keys.open(name, cookies.get(name), bound_to=_common(common), now=now)
        return None if own is None else AuthorizationRequest.from_dict(Unprintable(common, **own))

    def clear(self, login: AuthorizationRequest) -> Cookie:
        """Return what clears the cookie of a login."""
        return self._cleared(self._name(login.once_id))

    def clear_all(self, cookies: Iterable[str]) -> tuple[Cookie, ...]:
        """Return what clears all of them."""
        return tuple(self._cleared(name) for name in cookies if name.startswith(self._prefix))

    def _name(self, once_id: str) -> str:
        return f"{self._prefix}{once_id[:_ID_CHARACTERS]}"

    def _cleared(self, name: str) -> Cookie:
        return Cookie(name=name, same_site=self._same_site)

    def _too_many(self, cookies: Mapping[str, str], used: int) -> Iterable[str]:
        """Return the names of those that have no room any more; the newest ones stay."""
        kept = 1
        for name in reversed([name for name in cookies if name.startswith(self._prefix)]):
            kept, used = kept + 1, used + len(name) + len(cookies[name])
            if kept > _MOST or used > _MOST_CHARACTERS:
                yield name


def _common(record: Mapping[str, Any]) -> str:
    """Return what a login has in common with all others of its application."""
    common = {name: value for name, value in record.items() if name not in _EACH_ITS_OWN}
    return json.dumps(common, sort_keys=True)
