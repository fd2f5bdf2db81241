"""What a profile stands for: its server, its client, its session over the kept token."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx

from oauthkit.cli.http import http_client
from oauthkit.cli.places import client_secret, sealed, sqlite_store
from oauthkit.cli.profile import Profile
from oauthkit.cli.profile_file import ProfileFile
from oauthkit.discovery import Discovered
from oauthkit.errors import OAuthKitError, ReauthorizationRequired
from oauthkit.operations.asking import Issuer
from oauthkit.protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from oauthkit.protocol.grants import ClientCredentials
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.base import TokenStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.transport import AsyncHTTPClient


@attrs.frozen(kw_only=True, eq=False)
class Access:
    """A profile, with all that it names at hand.

    Attributes:
        profile: The profile.
        file: The file of tokens, which has to be closed.
        store: The same, sealed where there is a key.
        server: Who is asked.
        client_auth: Who asks.
    """

    profile: Profile
    file: SQLiteStore
    store: TokenStore
    server: Issuer
    client_auth: ClientAuth

    @classmethod
    def of(cls, profile: Profile, profiles: ProfileFile) -> "Access":
        """Return what a profile stands for; nothing is sent yet.

        Raises:
            ConfigurationError: Something it names is not there.
        """
        file = sqlite_store()
        return cls(
            profile=profile,
            file=file,
            store=sealed(file, by_keyring=profiles.store_key_keyring),
            server=_server(profile),
            client_auth=_client_auth(profile),
        )

    @property
    def further(self) -> dict[str, Any]:
        """Parameters of a request for a token that no argument is for."""
        return {"audience": self.profile.audience} if self.profile.audience else {}

    async def found(self, http: AsyncHTTPClient[Any]) -> AuthorizationServer:
        """Return the server, found if it has to be."""
        if isinstance(self.server, Discovered):
            return await self.server.server(http)
        return self.server

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[httpx.AsyncClient]:
        """Open an HTTP client, and close it and the store at the end."""
        async with self.file, http_client() as http:
            yield http

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[AsyncTokenSession[httpx.Response]]:
        """Open a session over the kept token."""
        profile, grant = self.profile, None
        if profile.grant_type == "client_credentials":
            further = {**self.further, "resource": profile.resource}
            grant = ClientCredentials(scope=profile.scope, additional=further)
        async with (
            self.client() as http,
            AsyncTokenSession(
                http,
                server=self.server,
                client_auth=self.client_auth,
                grant=grant,
                origins=profile.origins,
                store=self.store,
                key=profile.key,
            ) as session,
        ):
            try:
                yield session
            except ReauthorizationRequired as error:
                raise _login_needed(profile, error) from error


def _login_needed(profile: Profile, error: ReauthorizationRequired) -> ReauthorizationRequired:
    """Return the error in the words of who sits before the terminal."""
    why = f" ({error.__cause__})" if isinstance(error.__cause__, OAuthKitError) else ""
    message = (
        f"nobody is logged in by the profile {profile.name!r}, or not any more{why}; log in by: "
        f"oauthkit login --profile {profile.name}"
    )
    return ReauthorizationRequired(message)


def _server(profile: Profile) -> Issuer:
    if profile.issuer is not None:
        return Discovered(profile.issuer)
    return AuthorizationServer(
        profile.token_endpoint or "",
        authorization_endpoint=profile.authorization_endpoint,
        device_authorization_endpoint=profile.device_authorization_endpoint,
        revocation_endpoint=profile.revocation_endpoint,
    )


def _client_auth(profile: Profile) -> ClientAuth:
    """Return how the client is known.

    A secret that is given to everybody with a program proves nothing (RFC 8252 §8.5). So nothing
    here relies on one: PKCE, `state` and the address of the callback are the same with it.
    """
    found = client_secret(profile)
    if found is None:
        return PublicClient(profile.client_id)
    if profile.token_endpoint_auth_method == "client_secret_post":
        return ClientSecretPost(profile.client_id, found)
    return ClientSecretBasic(profile.client_id, found)
