"""The keys of an authorization server, fetched when they are needed, and again when they change."""

from functools import partial
from typing import Any, Final

import anyio

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError, OAuthKitError, TransportError, for_another
from oauthkit.labels import LOGGER, log_fields
from oauthkit.protocol.discovery import life_of
from oauthkit.protocol.keys import KeySet, build_keys_request, parse_keys_response
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.single_flight import SingleFlight, pause_of, was_hasty
from oauthkit.transport import AsyncHTTPClient, send

_LIFE: Final = 3_600.0
_STALE: Final = 86_400.0
"""Seconds for which keys are used on that could not be fetched again."""
_COOL_DOWN: Final = 30.0
"""Seconds between two fetches for a key that is not there: whoever makes tokens up must not have
the server asked for each of them (OpenID Connect Core 1.0 §10.1.1)."""


class KeyRing:
    """Hold the keys of one `jwks_uri`."""

    def __init__(self, jwks_uri: str, *, public_only: bool = False) -> None:
        """Know nothing yet."""
        self.jwks_uri, self._public_only = jwks_uri, public_only
        self._keys: KeySet | None = None
        message = f"the keys of {jwks_uri} did not come in time"
        self._failure: OAuthKitError = TransportError(message, sent=False)
        self._good_until = self._fetched_again_at = self._resume_at = -float("inf")
        self._looks = SingleFlight()

    async def keys(self, http: AsyncHTTPClient[Any], *, seconds: float, clock: Clock) -> KeySet:
        """Return the keys, fetched if they have to be.

        Args:
            http: Whose connections are used.
            seconds: How long it may take.
            clock: Tells the time.

        Raises:
            OAuthKitError: They cannot be had; `retry_after` says when they are asked for again.
        """
        ends = anyio.current_time() + seconds
        while not self._is_known(clock) and (left := ends - anyio.current_time()) > 0:
            await self._looks.share(partial(self._look_afresh, http, left, clock), seconds=left)
        now = clock.monotonic()
        if self._keys is None or (now >= self._good_until + _STALE):
            raise self._again(clock)
        return self._keys

    async def newer(
        self, http: AsyncHTTPClient[Any], than: KeySet, *, seconds: float, clock: Clock
    ) -> KeySet | None:
        """Return keys that were fetched since, for who did not find the one that is needed.

        All who want to know share one fetch; then there is none for a while. That counts from the
        last of these fetches, not from the first of all: a server may change its keys right after.

        Args:
            http: Whose connections are used.
            than: Where it was not found.
            seconds: How long it may take.
            clock: Tells the time.

        Returns:
            None while it is too early to ask again.

        Raises:
            OAuthKitError: They cannot be had.
        """
        ends = anyio.current_time() + seconds
        while self._keys is than and (left := ends - anyio.current_time()) > 0:
            now = clock.monotonic()
            if now < self._resume_at:
                raise self._again(clock)
            if now < self._fetched_again_at + _COOL_DOWN:
                return None
            again = partial(self._look_again, http, left, clock)
            await self._looks.share(again, seconds=left)
        if self._keys is than:
            raise self._again(clock)
        return self._keys

    def _is_known(self, clock: Clock) -> bool:
        """Tell whether nobody needs to look now, for there are keys, or a pause."""
        now = clock.monotonic()
        return now < self._good_until or now < self._resume_at

    async def _look_afresh(self, http: AsyncHTTPClient[Any], seconds: float, clock: Clock) -> None:
        """Fetch them, for there are none or they are old; a failure that nobody sees is told."""
        if not await self._look(http, seconds, clock) and self._keys is not None:
            LOGGER.warning(
                "the keys of %s could not be fetched again, and those from before are used on: %s",
                self.jwks_uri,
                self._failure,
                extra=log_fields("KeysFailed", url=self.jwks_uri, error=self._failure),
            )

    async def _look_again(self, http: AsyncHTTPClient[Any], seconds: float, clock: Clock) -> None:
        """Fetch them, for one is missing."""
        if await self._look(http, seconds, clock):
            self._fetched_again_at = clock.monotonic()

    async def _look(self, http: AsyncHTTPClient[Any], seconds: float, clock: Clock) -> bool:
        """Fetch once, note what came of it, and tell whether that is keys.

        Raises:
            ConfigurationError: Nothing can be sent by this client; that is no matter of others.
        """
        requested_at, began = clock.time(), anyio.current_time()
        try:
            request = build_keys_request(self.jwks_uri, public_only=self._public_only)
            response = await send(http, request, timeout=seconds)
            keys = parse_keys_response(response, now=requested_at)
        except ConfigurationError:
            raise
        except OAuthKitError as error:
            self._failure = error
            if self._keys is not None or not was_hasty(error, began=began, seconds=seconds):
                self._resume_at = clock.monotonic() + pause_of(error)
            return False
        if keys.had_private:
            LOGGER.warning(
                "%s publishes private keys: whoever reads them can sign in its name; their private "
                "members are not looked at here",
                self.jwks_uri,
                extra=log_fields("PrivateKeysPublished", url=self.jwks_uri, outcome="rejected"),
            )
        self._keys = keys
        self._good_until = clock.monotonic() + life_of(response, default=_LIFE)
        return True

    def _again(self, clock: Clock) -> OAuthKitError:
        """Return the failure for one more caller, with the seconds that are left of the pause."""
        left = max(self._resume_at - clock.monotonic(), 0.0)
        return for_another(self._failure, retry_after=left)


def keyring_of(server: AuthorizationServer) -> KeyRing:
    """Return the keys of a server, those that were fetched before among them.

    Raises:
        ConfigurationError: Its metadata names no place for them, or one that may not be.
    """
    known: KeyRing | None = server.fetched.get(server.jwks_uri or "")
    if known is not None:
        return known
    uri = server.endpoint("jwks_uri")
    ring = server.fetched[uri] = KeyRing(uri, public_only=server.public_only)
    return ring
