"""Where the fake server says what it is (RFC 8414 §3, OpenID Connect Discovery 1.0 §4)."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from oauthkit.protocol.discovery import metadata_locations
from oauthkit.protocol.keys import ALGORITHMS
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, Origin
from oauthkit.testing.dialects import json_response
from oauthkit.testing.state import AuthorizationServerState


def is_for_metadata(state: AuthorizationServerState, request: HTTPRequest) -> bool:
    """Tell whether a request is for the metadata, at either of the places where it may be."""
    asked = Origin.of(request.url), urlsplit(request.url).path
    places = metadata_locations(state.issuer)
    return asked in [(Origin.of(place), urlsplit(place).path) for place in places]


def metadata_answer(state: AuthorizationServerState) -> HTTPResponse:
    """Return the metadata document."""
    return json_response(HTTPStatus.OK, _document(state))


def _document(state: AuthorizationServerState) -> Mapping[str, object]:
    signs = {"private_key_jwt", "client_secret_jwt"} & {*state.auth_methods}
    said = {
        "issuer": state.issuer,
        "authorization_endpoint": state.server.authorization_endpoint,
        "token_endpoint": state.server.token_endpoint,
        "jwks_uri": state.server.jwks_uri,
        "id_token_signing_alg_values_supported": [state.keys.algorithm],
        "subject_types_supported": ["public"],
        "revocation_endpoint": state.server.revocation_endpoint,
        "introspection_endpoint": state.server.introspection_endpoint,
        "device_authorization_endpoint": state.server.device_authorization_endpoint,
        "userinfo_endpoint": state.server.userinfo_endpoint,
        "end_session_endpoint": state.server.end_session_endpoint,
        "registration_endpoint": state.server.registration_endpoint,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "claims_parameter_supported": True,
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "password",
            "refresh_token",
            *state.desk.further,
        ],
        "token_endpoint_auth_methods_supported": list(state.auth_methods),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS) if signs else None,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        **state.metadata,
    }
    return {name: value for name, value in said.items() if value is not None}
