"""What users write for themselves, as a type checker sees it; checked, never run."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, assert_type

import attrs
import httpx

from oauthkit import (
    Authentication,
    AuthorizationServer,
    ClientAuth,
    GrantStrategy,
    InvalidGrant,
    Lease,
    MemoryStore,
    OAuthKitError,
    Recovery,
    RequestFormat,
    Token,
    TokenStore,
    secret,
)
from oauthkit.protocol.formats import ParameterValue
from oauthkit.services import ads, get_bibcode, hello, say_hello, test
from oauthkit.session import AsyncTokenSession


@attrs.frozen(kw_only=True)
class OnBehalfOf(GrantStrategy):
    """A grant of one's own."""

    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion: str = secret()

    def parameters(self) -> Mapping[str, ParameterValue]:
        return {"assertion": self.assertion}


@attrs.frozen(kw_only=True)
class WithoutParameters(GrantStrategy):
    """Half a grant."""

    grant_type = "half"


@attrs.frozen
class TenantToken(Token):
    """A token with a field of its own."""

    tenant: str | None = None


@attrs.frozen
class SignedElsewhere(ClientAuth):
    """A client authentication of one's own, whose key lives in a service."""

    client_id: str
    sign: Callable[[Mapping[str, object]], Awaitable[str]]

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        claims = {"iss": self.client_id, "aud": server.issuer or endpoint, "exp": now + 60}
        return Authentication(parameters={"client_assertion": await self.sign(claims)})


class NotAwaited(ClientAuth):
    """A client authentication that nobody could wait for."""

    def authenticate(  # type: ignore[override]
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        return Authentication()


class Lines:
    """A request format of one's own."""

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        lines = (f"{name}={value}" for name, value in parameters.items())
        return "text/plain", "\n".join(lines).encode()


class Nowhere:
    """A store of one's own."""

    lease_seconds = 60.0

    async def load(self, key: str, /) -> Token | None:
        return None

    async def save(self, key: str, token: Token, /) -> None:
        """Forget it."""

    async def delete(self, key: str, /) -> None:
        """Do nothing."""

    def lease(self, key: str, /) -> AbstractAsyncContextManager[Lease]:
        return MemoryStore().lease(key)


def extensions_fit(server: AuthorizationServer) -> None:
    grant: GrantStrategy = OnBehalfOf(assertion="signed")
    request_format: RequestFormat = Lines()
    store: TokenStore = Nowhere()
    AuthorizationServer("https://auth.example", request_format=Lines(), token_class=TenantToken)
    assert_type(grant.renewal(Token("a")), GrantStrategy | None)
    del request_format, store


async def a_client_authentication_fits(
    server: AuthorizationServer, sign: Callable[[Mapping[str, object]], Awaitable[str]]
) -> None:
    client_auth: ClientAuth = SignedElsewhere("reporter", sign)
    made = await client_auth.authenticate(server, endpoint=server.token_endpoint, now=0.0)
    assert_type(made, Authentication)
    assert_type(client_auth.confidential, bool)


def half_a_grant_does_not_fit() -> None:
    WithoutParameters()  # type: ignore[abstract]


def half_a_format_does_not_fit() -> None:
    AuthorizationServer("https://auth.example", request_format=object())  # type: ignore[arg-type]


class HalfAStore(Protocol):
    """A store that does not say how long its leases live."""

    async def load(self, key: str, /) -> Token | None: ...
    async def save(self, key: str, token: Token, /) -> None: ...
    async def delete(self, key: str, /) -> None: ...
    def lease(self, key: str, /) -> AbstractAsyncContextManager[Lease]: ...


def half_a_store_does_not_fit(half: HalfAStore) -> None:
    store: TokenStore = half  # type: ignore[assignment]
    del store


async def services_are_typed(session: AsyncTokenSession[httpx.Response]) -> None:
    assert_type(await say_hello(session, first_name="Ada"), hello.SayHelloResponse)
    found = await get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")
    assert_type(found, ads.ReturnBibcode)
    assert_type(found.body, str)
    assert_type(
        await test(session, counter=228),
        dict[str, Any] | list[Any] | str | int | float | bool | None,
    )
    await test(session, counter="228")  # type: ignore[arg-type]
    await say_hello(session)  # type: ignore[call-arg]


def errors_say_what_to_do(error: OAuthKitError, refused: InvalidGrant) -> None:
    assert_type(error.recovery, Recovery)
    assert_type(error.retry_after, float | None)
    assert_type(refused.error_description, str | None)
