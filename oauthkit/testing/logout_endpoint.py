"""The end session endpoint of the fake server (OpenID RP-Initiated Logout 1.0 §2)."""

from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.state import AuthorizationServerState


def logout_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """End all logins, and send the browser back to where it shall go.

    There is one resource owner here, and no session but theirs.
    """
    query = request.content.decode() if request.method == "POST" else urlsplit(request.url).query
    parameters = dict(parse_qsl(query))
    back = parameters.get("post_logout_redirect_uri")
    if parameters.get("client_id", state.client_id) != state.client_id:
        return _page(HTTPStatus.BAD_REQUEST, "this is another server's client")
    if back and not parameters.keys() & {"client_id", "id_token_hint"}:
        return _page(HTTPStatus.BAD_REQUEST, "nobody knows whose post_logout_redirect_uri this is")
    state.ledger.revoke_all()
    if not back:
        return _page(HTTPStatus.OK, "you are logged out")
    parts, said = urlsplit(back), parameters.get("state")
    fields = [*parse_qsl(parts.query), *([("state", said)] if said else [])]
    location = urlunsplit(parts._replace(query=urlencode(fields)))
    return HTTPResponse(HTTPStatus.FOUND, {"location": location})


def _page(status: HTTPStatus, text: str) -> HTTPResponse:
    return HTTPResponse(status, {"content-type": "text/plain"}, text.encode())
