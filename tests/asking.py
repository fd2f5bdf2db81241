"""Token requests without a loop: no client authentication of ours has to wait for anything."""

from typing import cast

from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token_endpoint import build_token_request


def authenticated(client_auth: ClientAuth, server: AuthorizationServer) -> Authentication:
    """Return what a client authentication gives at once."""
    steps = client_auth.authenticate(server, endpoint=server.token_endpoint, now=0.0)
    try:
        steps.send(None)
    except StopIteration as end:
        return cast("Authentication", end.value)
    message = "it waits"
    raise AssertionError(message)


def token_request(
    server: AuthorizationServer, client_auth: ClientAuth, grant: GrantStrategy
) -> HTTPRequest:
    """Return the request that a grant becomes."""
    return build_token_request(server, client_auth, grant, authenticated(client_auth, server))
