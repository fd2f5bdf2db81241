"""Register a client, and look after what is registered (RFC 7591, RFC 7592)."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import attrs

from oauthkit.clock import Clock
from oauthkit.exchange import Question
from oauthkit.kinds import check_kind
from oauthkit.labels import LOGGER, log_fields
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.registered_client import RegisteredClient
from oauthkit.protocol.grants import Repeat
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.registration import (
    ENDPOINT,
    MANAGEMENT,
    build_management_request,
    build_registration_request,
    parse_deletion_response,
    parse_registration_response,
)
from oauthkit.protocol.secret import secrets_of
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient

T = TypeVar("T")


async def register_client(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    metadata: Mapping[str, Any],
    *,
    initial_access_token: str | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> RegisteredClient:
    """Register a client with a server (RFC 7591 §3), once: keep what comes of it.

    After a lost answer it is not sent again, as there would be two clients then.

    Example:
        ::

            metadata = {
                "client_name": "Reporter",
                "redirect_uris": ["https://app.example/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
            }
            client = await register_client(http, server, metadata)
            client_auth = client.client_auth()

    Args:
        http: Whose connections are used.
        server: Who is asked; it needs a `registration_endpoint`.
        metadata: What the client says of itself, by the names of RFC 7591 §2. With keys in `jwks`,
            and no `token_endpoint_auth_method`, that is `private_key_jwt` where the server lists it
            (RFC 9700 §2.5).
        initial_access_token: What the server lets one register with, if it wants that.
        timeout: Seconds for all of it.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no; `error` is `invalid_redirect_uri`,
            `invalid_client_metadata`, `invalid_software_statement`,
            `unapproved_software_statement` or another.
        ResponseError: It answered what no document describes.
        TransportError: It did not answer.
        ConfigurationError: The metadata contradicts itself, or something else does not fit;
            nothing was sent.
    """
    check_kind("register_client: metadata", metadata, Mapping)
    check_kind("register_client: initial_access_token=", initial_access_token, str | None)

    exchange = exchange_over("register_client", http, server, None, timeout=timeout, clock=clock)
    found = await exchange.found(seconds=timeout)

    def parse(response: HTTPResponse, request: HTTPRequest, now: float) -> RegisteredClient:
        return parse_registration_response(
            found, response, RegisteredClient, now=now, secrets=request.secrets
        )

    question = Question(
        server=found,
        endpoint=found.endpoint(ENDPOINT),
        build=lambda _: build_registration_request(
            found, metadata, initial_access_token=initial_access_token
        ),
        parse=parse,
        repeat=Repeat.NEVER,
        name=ENDPOINT,
    )
    client = await exchange.ask(question)
    if client.client_secret is not None and client.client_secret_expires_at is None:
        LOGGER.warning(
            "the server did not say when the secret of the client %r ends, although it must "
            "(RFC 7591 §3.2.1); it is taken for one without an end",
            client.client_id,
            extra=log_fields("SecretWithoutEnd", url=exchange.line),
        )
    return client


async def read_registration(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: RegisteredClient,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, retries included
    clock: Clock = time,
) -> RegisteredClient:
    """Return a registration as it is now (RFC 7592 §2.1); keep that in place of the one given.

    The server may give another secret, or another token to look after the registration with: the
    old ones are not good any more then.

    Example:
        ::

            client = await read_registration(http, server, client)

    Args:
        http: Whose connections are used.
        server: Who is asked.
        client: Which one.
        timeout: Seconds for all of it, retries included.
        clock: Tells the time.

    Raises:
        ResponseError: The registration is gone (`status_code` 401 or 404), may not be read (403),
            or cannot be (405); or the answer is one that no document describes.
        TransportError: It did not answer.
        ConfigurationError: The server gave nothing to look after it with; nothing was sent.
    """
    question = _Management(http, server, client, timeout, clock)
    return await question.registration("read_registration", "GET", None, Repeat.ALWAYS)


async def update_registration(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: RegisteredClient,
    metadata: Mapping[str, Any],
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> RegisteredClient:
    """Replace what is registered (RFC 7592 §2.2), and return what is then; keep that.

    What the metadata leaves out is taken back: begin with all that there is.

    Example:
        ::

            changed = {**client.metadata, "client_name": "Reporter of the Times"}
            client = await update_registration(http, server, client, changed)

    Args:
        http: Whose connections are used.
        server: Who is asked.
        client: Which one.
        metadata: All that the client says of itself from now on.
        timeout: Seconds for all of it.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no.
        ResponseError: As for `read_registration`.
        TransportError: It did not answer.
        ConfigurationError: The metadata contradicts itself or the registration, or the server gave
            nothing to look after it with; nothing was sent.
    """
    check_kind("update_registration: metadata", metadata, Mapping)
    question = _Management(http, server, client, timeout, clock)
    return await question.registration("update_registration", "PUT", metadata, Repeat.NEVER)


async def delete_registration(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: RegisteredClient,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> None:
    """Delete a registration (RFC 7592 §2.3): neither the client nor its tokens are good then.

    Example:
        ::

            await delete_registration(http, server, client)

    Args:
        http: Whose connections are used.
        server: Who is asked.
        client: Which one.
        timeout: Seconds for all of it.
        clock: Tells the time.

    Raises:
        ResponseError: It is gone already (`status_code` 401 or 404), may not be deleted (403), or
            cannot be (405); or the answer is one that no document describes.
        TransportError: It did not answer.
        ConfigurationError: The server gave nothing to look after it with; nothing was sent.
    """
    management = _Management(http, server, client, timeout, clock)

    def parse(
        found: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, now: float
    ) -> None:
        parse_deletion_response(found, response, now=now, secrets=request.secrets)

    await management.ask("delete_registration", "DELETE", None, Repeat.NEVER, parse)


@attrs.frozen
class _Management:
    """Who looks after a registration, and where."""

    http: AsyncHTTPClient[Any]
    server: Issuer
    client: RegisteredClient
    timeout: float
    clock: Clock

    async def registration(
        self, name: str, method: str, metadata: Mapping[str, Any] | None, repeat: Repeat
    ) -> RegisteredClient:
        """Return what is registered after a request."""

        def parse(
            found: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, now: float
        ) -> RegisteredClient:
            return parse_registration_response(
                found,
                response,
                RegisteredClient,
                now=now,
                previous=self.client,
                secrets=request.secrets | secrets_of(self.client),
            )

        return await self.ask(name, method, metadata, repeat, parse)

    async def ask(
        self,
        name: str,
        method: str,
        metadata: Mapping[str, Any] | None,
        repeat: Repeat,
        parse: Callable[[AuthorizationServer, HTTPResponse, HTTPRequest, float], T],
    ) -> T:
        """Return what the answer to a request means."""
        check_kind(f"{name}: client", self.client, RegisteredClient)
        exchange = exchange_over(
            name, self.http, self.server, None, timeout=self.timeout, clock=self.clock
        )
        found = await exchange.found(seconds=self.timeout)
        question = Question(
            server=found,
            endpoint=self.client.registration_client_uri or "",
            build=lambda _: build_management_request(found, method, self.client, metadata),
            parse=partial(parse, found),
            repeat=repeat,
            name=MANAGEMENT,
        )
        return await exchange.ask(question)
