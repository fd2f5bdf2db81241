"""What the typed endpoint functions share: one request, one status check, one structure."""

from typing import Any, Final
from urllib.parse import urlsplit

from oauthkit.errors import EndpointError, Recovery
from oauthkit.protocol.answers import excerpt
from oauthkit.protocol.challenge import parse_challenges
from oauthkit.protocol.structure import structured
from oauthkit.session import AsyncTokenSession

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_BROKEN: Final = 500


def base_url(url: str) -> str:
    """Return a documented server's URL with a scheme and one slash at its end.

    A host without a scheme, as documents have it, is reached over https.
    """
    if "://" not in url:
        host, slash, path = url.partition("/")
        url = f"https://{host.lower()}{slash}{path}"
    return url.rstrip("/") + "/"


async def call(session: AsyncTokenSession[Any], method: str, url: str, **options: Any) -> Any:
    """Send one request and return the answer, if its status is the documented 200.

    Args:
        session: Whose client and token are used.
        method: The HTTP method.
        url: The endpoint's absolute URL.
        options: Arguments of the HTTP library; `auth=None` sends no token.

    Raises:
        EndpointError: Another status came.
    """
    response = await session.request(method, url, **options)
    if response.status_code == _OK:
        return response
    challenges = parse_challenges(response.headers.get_list("www-authenticate"))
    scopes = [c.scope for c in challenges if c.error == "insufficient_scope"]
    message = f"{urlsplit(url).path} answered with another status than the documented 200"
    raise EndpointError(
        message,
        status_code=response.status_code,
        excerpt=excerpt(response.content),
        required_scope=next(iter(scopes), None) if response.status_code == _FORBIDDEN else None,
        recovery=_recovery(response.status_code),
    )


def json_body(response: Any) -> Any:
    """Return the JSON of an answer.

    Raises:
        EndpointError: It is none.
    """
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise unusable(response, "the body is not the documented JSON") from None


def structured_body(response: Any, kind: type[Any], value: object) -> Any:
    """Return a decoded body as the documented type.

    Raises:
        EndpointError: It has another form.
    """
    try:
        return structured(value, kind, name=kind.__name__)
    except ValueError as error:
        raise unusable(response, f"the body is not as documented: {error}") from None


def unusable(response: Any, message: str) -> EndpointError:
    """Return the error for a body that cannot be used."""
    return EndpointError(
        message, status_code=response.status_code, excerpt=excerpt(response.content)
    )


def _recovery(status_code: int) -> Recovery:
    if status_code == _TOO_MANY or status_code >= _BROKEN:
        return Recovery.RETRY_LATER
    if status_code == _UNAUTHORIZED:
        return Recovery.REAUTHORIZE
    return Recovery.CHANGE_REQUEST
