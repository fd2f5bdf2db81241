"""Visits begin and end: where the token is kept, whose it is, and how it is gotten rid of."""

import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final, TypedDict, TypeVar

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import (
    ConfigurationError,
    InvalidJWT,
    OAuthKitError,
    ReauthorizationRequired,
    StoreError,
)
from oauthkit.labels import LOGGER, log_fields
from oauthkit.login.messages import LoginRequest
from oauthkit.login.sites import Site
from oauthkit.login.visitor import Visit
from oauthkit.operations.login import LoggedIn
from oauthkit.operations.logout import complete_logout
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.id_token import Identity
from oauthkit.protocol.logout import end_session_url
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.base import TokenStore
from oauthkit.stores.logout_index import LogoutIndex
from oauthkit.stores.single_use import SingleUseStore

T = TypeVar("T")

_LAST_REVOCATION: Final = 5.0
"""Seconds for the server to revoke a visit that nobody comes back to."""

_STORE_SECONDS: Final = 5.0
"""For one answer of a store, which may wait for ever by itself."""

_DOTS_OF_SIGNED: Final = 2
_LONGEST_HINT: Final = 3_000
"""Characters; where the head of an answer is longer than 4 kB, nginx shows a 502 instead."""


class _Names(TypedDict):
    issuer: str
    subject: str
    session_id: str | None


@attrs.frozen(kw_only=True)
class Visits:
    """Keep the tokens of visitors, and end them.

    Attributes:
        session: The application's session.
        store: Where the tokens are.
        index: Whose they are, for logouts that the server announces.
        used: Where it is remembered which Logout Tokens have come.
        client_metadata: What was registered for this client.
        life: Seconds that a visit lasts.
        clock: Tells the time.
    """

    session: AsyncTokenSession[Any]
    store: TokenStore
    index: LogoutIndex
    used: SingleUseStore
    client_metadata: ClientMetadata
    life: float
    clock: Clock

    async def server(self) -> AuthorizationServer:
        """Return the server, found if it has to be.

        Raises:
            OAuthKitError: It could not be found.
        """
        server = self.session.server
        if isinstance(server, AuthorizationServer):
            return server
        return await server.server(self.session.token_http)

    async def token(self, key: str) -> Token | None:
        """Return the token under a key; None where there is none, or no more.

        Raises:
            StoreError: It could not be found out.
        """
        return await _in_time(self.store.load(key))

    async def begun(self, result: LoggedIn, *, former: Visit | None, login_began: float) -> Visit:
        """Save the token of a login under a key of its own, and note whose it is.

        The visit that the browser had before is ended. Where that is cut off, because the client
        has left, or the store fails, the new one is ended as well: nobody would know its key.

        Raises:
            StoreError: It could not be saved; the login has failed.
            ReauthorizationRequired: It is over already; likewise.
        """
        now = self.clock.time()
        visit = Visit.new(result.identity, former=former, login_began=login_began, now=now)
        try:
            await self._keep(visit, result.token)
            if former is not None:
                await self._end_soon(former, beside=visit)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._end_soon(visit, beside=former)
            raise
        return visit

    async def _keep(self, visit: Visit, token: Token) -> None:
        """Save a token, known by whom it is about as long as it is there.

        Raises:
            ReauthorizationRequired: The server has announced a logout between the two steps, which
                found no token yet; it is not told a second time.
            StoreError: It could not be saved.
        """
        if visit.identity is None:
            await _in_time(self.store.save(visit.key, token))
            return
        names = _names(visit.identity)
        ends = self.clock.time() + self.life
        await _in_time(self.index.add(visit.key, **names, expires_at=ends))
        await _in_time(self.store.save(visit.key, token))
        if visit.key not in await _in_time(self.index.find(**names)):
            message = "the server has logged out whoever was logging in; log in again"
            raise ReauthorizationRequired(message)

    async def end(self, visit: Visit) -> str | None:
        """Delete a visit's token and have the server revoke it; return the ID Token with it.

        Raises:
            StoreError: The token may still be in the store.
        """
        id_token: str | None = None
        with suppress(StoreError):  # what cannot be read can be deleted all the same
            token = await self.token(visit.key)
            id_token = None if token is None else token.id_token
        try:
            await self.session.for_key(visit.key).revoke()
        except StoreError:
            raise
        except OAuthKitError as error:
            _tell_unrevoked(error)
        with suppress(StoreError):  # it ends by itself
            await _in_time(self.index.remove(visit.key))
        return id_token

    async def _end_soon(self, visit: Visit, *, beside: Visit | None) -> None:
        """End a visit that nobody comes back to, as far as that can be done soon.

        Where another one of the same person goes on, nothing is revoked: many servers have one
        right for all logins of somebody, which ends with each token of it (RFC 7009 §2).
        """
        with suppress(StoreError), anyio.move_on_after(_LAST_REVOCATION):
            if beside is None or _are_of_two(visit.identity, beside.identity):
                await self.end(visit)
            else:
                await self.store.delete(visit.key)
                await self.index.remove(visit.key)

    async def goodbye(
        self, visit: Visit, id_token: str | None, *, site: Site, request: LoginRequest
    ) -> str:
        """Return where a browser goes after a logout: to the server's pages, where it has some."""
        back = site.post_logout_redirect_path
        try:
            server = await self.server()
            if server.end_session_endpoint is None:
                return site.home_of(request)
            subject = None if visit.identity is None else visit.identity.subject
            hint = _hint(id_token)
            return end_session_url(
                server,
                id_token=hint,
                logout_hint=subject if hint is None else None,
                client_id=self.session.client_auth.client_id,
                post_logout_redirect_uri=None if back is None else site.url(request, back),
            )
        except OAuthKitError as error:
            LOGGER.warning(
                "logged out here, and not on the server's own pages: %s",
                error,
                extra=log_fields("NoLogoutPage", error=error),
            )
            return site.home_of(request)

    async def announced(self, logout_token: str) -> bool:
        """Log out whom a Logout Token is about; tell whether all of them are."""
        try:
            done = await complete_logout(
                self.session.token_http,
                self.session.server,
                self.session.client_auth,
                logout_token,
                store=self.store,
                index=self.index,
                used=self.used,
                client_metadata=self.client_metadata,
                clock=self.clock,
            )
        except InvalidJWT as error:
            fields = log_fields("LogoutTokenRejected", outcome="rejected", error=error)
            LOGGER.info("a Logout Token is not believed: %s", error, extra=fields)
            return False
        except OAuthKitError as error:
            # without a traceback: the message is complete, and there are no secrets in it
            fields = log_fields("LogoutFailed", error=error)
            LOGGER.error("a logout that the server has announced failed: %s", error, extra=fields)
            return False
        for unrevoked in done.not_revoked:
            _tell_unrevoked(unrevoked)
        return True


async def _in_time(answer: Awaitable[T]) -> T:
    """Return what a store answers.

    Raises:
        StoreError: It failed, or did not answer in time.
    """
    with anyio.move_on_after(_STORE_SECONDS):
        return await answer
    message = f"the store did not answer within {_STORE_SECONDS:g} s"
    raise StoreError(message)


def _hint(id_token: str | None) -> str | None:
    """Return an ID Token that the server can read in a URL; none that came encrypted is one."""
    if id_token is None or id_token.count(".") != _DOTS_OF_SIGNED:
        return None
    return id_token if len(id_token) <= _LONGEST_HINT else None


def _names(identity: Identity) -> _Names:
    """Return by what a Logout Token may call somebody who has logged in."""
    session_id = identity.claims.get("sid")
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "session_id": session_id if session_id and isinstance(session_id, str) else None,
    }


def _are_of_two(one: Identity | None, other: Identity | None) -> bool:
    """Tell whether two visits are of two persons for certain."""
    if one is None or other is None:
        return False
    return (one.issuer, one.subject) != (other.issuer, other.subject)


def _tell_unrevoked(error: Exception) -> None:
    LOGGER.warning(
        "logged out here, and maybe not at the server: %s",
        error,
        extra=log_fields("NotRevoked", error=error),
    )


def store_of(session: AsyncTokenSession[Any]) -> TokenStore:
    """Return where a session's tokens are.

    Raises:
        ConfigurationError: It has a memory of its own alone; or it can have no other keys.
    """
    if session.store is None:
        message = (
            "a login flow needs a session with store= and key=, where visitors' tokens live; for "
            'one process store=MemoryStore(), key="application" will do'
        )
        raise ConfigurationError(message)
    session.for_key("visitor:nobody")  # raises now what it would for each visitor
    return session.store


def whose(session: AsyncTokenSession[Any]) -> str:
    """Return of which server and client a session's tokens are, for its cookies to be bound to."""
    server = session.server
    known = server.issuer
    if known is None and isinstance(server, AuthorizationServer):
        known = server.token_endpoint
    return json.dumps([known, session.client_auth.client_id])
