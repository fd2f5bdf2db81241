"""What the typed endpoint functions share: one request, one status check, one structure."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from oauthkit.errors import EndpointError, Recovery
from oauthkit.kinds import check_kind
from oauthkit.protocol.answers import excerpt
from oauthkit.protocol.challenge import parse_challenges
from oauthkit.protocol.structure import structured
from oauthkit.session import AsyncTokenSession

_OK: Final = HTTPStatus.OK
_UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED
_FORBIDDEN: Final = HTTPStatus.FORBIDDEN
_TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS
_BROKEN: Final = HTTPStatus.INTERNAL_SERVER_ERROR


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
    check_kind("session", session, AsyncTokenSession)
    response = await session.request(method, url, **options)
    if response.status_code == _OK:
        return response
    challenges = parse_challenges(response.headers.get_list("www-authenticate"))
    scopes = [c.scope for c in challenges if c.error == "insufficient_scope"]
    message = f"{urlsplit(url).path} answered with another status than the documented 200"
    raise EndpointError(
        message,
        status_code=response.status_code,
        excerpt=_excerpt(response),
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
        pass
    # Raised out here, so that the error does not carry the reader's own, which has the body.
    raise unusable(response, "the body is not the documented JSON")


def structured_body(response: Any, kind: type[Any], value: object) -> Any:
    """Return a decoded body as the documented type.

    Raises:
        EndpointError: It has another form.
    """
    try:
        return structured(value, kind, name=kind.__name__)
    except ValueError as error:
        reason = str(error)
    del value  # a traceback that shows local values would show it
    raise unusable(response, f"the body is not as documented: {reason}")


def unusable(response: Any, message: str) -> EndpointError:
    """Return the error for a body that cannot be used."""
    return EndpointError(message, status_code=response.status_code, excerpt=_excerpt(response))


def _excerpt(response: Any) -> str:
    """Return the beginning of a body, without an echo of the token that was sent."""
    asked = [answer.request.headers for answer in (*response.history, response)]
    sent = frozenset(h.get("authorization", "").rpartition(" ")[2] for h in asked)
    return excerpt(response.content, secrets=sent)


def _recovery(status_code: int) -> Recovery:
    if status_code == _TOO_MANY or status_code >= _BROKEN:
        return Recovery.RETRY_LATER
    if status_code == _UNAUTHORIZED:
        return Recovery.REAUTHORIZE
    return Recovery.CHANGE_REQUEST
