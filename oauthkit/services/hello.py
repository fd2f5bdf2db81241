"""System B: HelloService.

Its tokens come by the authorization code grant and are refreshed, both form-urlencoded with Basic
client credentials. `say_hello` is documented to skip authentication.
"""

from typing import Any, Final

import attrs

from oauthkit.kinds import check_kind, checked
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.services._call import base_url as with_slash
from oauthkit.services._call import call, json_body, structured_body
from oauthkit.session import AsyncTokenSession

BASE_URL: Final = "http://www.examples.com/SayHello/"
"""The documented base URL; paths are appended to it."""

_TOKEN_PATH: Final = "odfksdlfksld345345fdgdfg3453"


@attrs.frozen
class SayHelloResponse:
    """The answer of `say_hello`."""

    greeting: str


@checked
def authorization_server(
    base_url: str = BASE_URL,
    *,
    authorization_endpoint: str | None = None,
    issuer: str | None = None,
    allow_plain_http: bool | None = None,
) -> AuthorizationServer:
    """Return the token endpoint below a base URL.

    Args:
        base_url: Where.
        authorization_endpoint: Where the resource owner's browser is sent; not documented.
        issuer: The issuer identifier; not documented.
        allow_plain_http: Let credentials and tokens travel unencrypted, as `BASE_URL` needs it.
            None refuses it when one would be sent, so that `say_hello` needs no such word.
    """
    return AuthorizationServer(
        with_slash(base_url) + _TOKEN_PATH,
        authorization_endpoint=authorization_endpoint,
        issuer=issuer,
        allow_plain_http=allow_plain_http,
    )


async def say_hello(
    session: AsyncTokenSession[Any], *, first_name: str, base_url: str = BASE_URL
) -> SayHelloResponse:
    """Ask for a greeting: `POST sayHello`, sent without a token.

    Raises:
        EndpointError: The answer is not as documented.
    """
    check_kind("say_hello: first_name=", first_name, str)
    check_kind("say_hello: base_url=", base_url, str)
    response = await call(
        session,
        "POST",
        f"{with_slash(base_url)}sayHello",
        json={"firstName": first_name},
        headers={"accept": "application/json", "content-type": "application/json"},
        auth=None,
    )
    greeting: SayHelloResponse = structured_body(response, SayHelloResponse, json_body(response))
    return greeting
