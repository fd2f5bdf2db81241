"""System A: the ADS bibcode service.

Its tokens come by the resource owner password grant and are refreshed, both form-urlencoded with
Basic client credentials; the numbers in its answers are texts. `get_bibcode` is documented to skip
authentication, `test` is not.

The documented base URLs are plain http. A token goes there only after
`authorization_server(allow_plain_http=True)`; until then it is refused when it would be sent.
`https` or a loopback address needs no such word.
"""

from typing import Any, Final

import attrs

from oauthkit.errors import EndpointError
from oauthkit.kinds import Checked, check_kind, checked
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.services._call import base_url, call, json_body, structured_body
from oauthkit.session import AsyncTokenSession

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None
"""A body that no schema is documented for."""

_TOKEN_PATH: Final = "sdf242fgc4544g4vgg4v3sfsfv3"


@attrs.frozen
class Environment(Checked):
    """A set of servers; the one to use is chosen call by call.

    Attributes:
        name: What it is called.
        default: The base URL of its server `default`. A host without a scheme is reached over
            https.
    """

    name: str
    default: str = attrs.field(converter=base_url)


PRODUCTION: Final = Environment("production", "http://adsabs.harvard.edu/")
"""The documented default environment."""
NEW: Final = Environment("new", "WWW.FOOFLE.COM")
"""The documented other environment."""


@attrs.frozen
class ReturnBibcode:
    """The answer of `get_bibcode`."""

    body: str


@checked
def authorization_server(
    environment: Environment = PRODUCTION, *, allow_plain_http: bool | None = None
) -> AuthorizationServer:
    """Return the token endpoint of an environment.

    Args:
        environment: Where.
        allow_plain_http: Let credentials and tokens travel unencrypted, as `PRODUCTION` needs it.
            None refuses it when one would be sent, so that `get_bibcode` needs no such word.
    """
    return AuthorizationServer(environment.default + _TOKEN_PATH, allow_plain_http=allow_plain_http)


async def get_bibcode(
    session: AsyncTokenSession[Any],
    *,
    bibcode: str,
    db_key: str,
    data_type: str,
    environment: Environment = PRODUCTION,
) -> ReturnBibcode:
    """Look up a bibcode: `GET /cgi-bin/nph-bib_query`, sent without a token.

    A text answer, as the historical service gives it, becomes the body as well.

    Raises:
        EndpointError: The answer is not as documented.
    """
    check_kind("get_bibcode: bibcode=", bibcode, str)
    check_kind("get_bibcode: db_key=", db_key, str)
    check_kind("get_bibcode: data_type=", data_type, str)
    check_kind("get_bibcode: environment=", environment, Environment)
    response = await call(
        session,
        "GET",
        f"{environment.default}cgi-bin/nph-bib_query",
        params={"bibcode": bibcode, "db_key": db_key, "data_type": data_type},
        auth=None,
    )
    if _is_text(response):
        return ReturnBibcode(response.text)
    found: ReturnBibcode = structured_body(response, ReturnBibcode, json_body(response))
    return found


async def test(
    session: AsyncTokenSession[Any],
    *,
    counter: int,
    cache_control: str | None = None,
    content_type: str | None = None,
    postman_token: str | None = None,
    environment: Environment = PRODUCTION,
    server: str | None = None,
) -> JSON:
    """Call `POST /1.1/test.php` with the token.

    Args:
        session: Whose client and token are used; its origins must name the environment's server.
        counter: The documented body.
        cache_control: The documented header; None leaves it out.
        content_type: Takes the place of the documented `application/json`.
        postman_token: The documented header; None leaves it out.
        environment: Where.
        server: The base URL of the server that the document leaves unnamed; None is the
            environment's `default`.

    Returns:
        The decoded JSON, or else the text: no schema is documented. None where the body is empty.

    Raises:
        EndpointError: The answer is not as documented.
    """
    check_kind("test: counter=", counter, int)
    check_kind("test: environment=", environment, Environment)
    headers = {
        "accept": "application/json",
        "content-type": content_type or "application/json",
        "cache-control": cache_control,
        "postman-token": postman_token,
    }
    texts = {
        "server": server,
        "cache_control": cache_control,
        "content_type": content_type,
        "postman_token": postman_token,
    }
    for name, value in texts.items():
        check_kind(f"test: {name}=", value, str | None)
    response = await call(
        session,
        "POST",
        (environment.default if server is None else base_url(server)) + "1.1/test.php",
        json={"counter": counter},
        headers={name: value for name, value in headers.items() if value is not None},
    )
    return _any_body(response)


def _any_body(response: Any) -> JSON:
    if not response.content:
        return None
    try:
        body: JSON = json_body(response)  # which scripts often label as text
    except EndpointError:
        if not _is_text(response):
            raise
        body = response.text
    return body


def _is_text(response: Any) -> bool:
    """Tell whether an answer says that it is text, and not JSON under the name of text."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(kind.startswith("text/") and not kind.endswith("/json"))


test.__test__ = False  # type: ignore[attr-defined]  # or pytest would collect it
