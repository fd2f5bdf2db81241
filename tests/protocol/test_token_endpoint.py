import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from oauthkit.errors import (
    AccessDenied,
    ConfigurationError,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    OAuthKitError,
    Recovery,
    ResponseError,
)
from oauthkit.protocol.client_auth import ClientSecretBasic, ClientSecretPost, PublicClient
from oauthkit.protocol.endpoint import LONGEST_RETRY_AFTER, retry_after
from oauthkit.protocol.formats import JSON, MULTIPART, ParameterValue
from oauthkit.protocol.grants import (
    AuthorizationCode,
    ClientCredentials,
    GrantStrategy,
    RefreshToken,
    ResourceOwnerPassword,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.server import AuthorizationServer, rename_fields
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import parse_token_response
from tests.asking import token_request

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6749.json").read_text())
BEARER = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6750.json").read_text())
SERVER = AuthorizationServer("https://auth.example/token?tenant=x")
CLIENT = ClientSecretBasic("reporter", "s3cret")
NOW = 1_700_000_000.0
GRANTS: list[GrantStrategy] = [
    ClientCredentials(scope="read"),
    AuthorizationCode(code="canary-code"),
    RefreshToken(refresh_token="canary-refresh"),
    ResourceOwnerPassword(username="ada", password="canary-password"),
]


def answer(
    fields: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    content = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return HTTPResponse(status, {"content-type": "application/json", **(headers or {})}, content)


def parse(fields: Any, *, server: AuthorizationServer = SERVER, **details: Any) -> Token:
    return parse_token_response(server, answer(fields), requested_at=NOW, **details)


def refused(
    fields: Any, *, status: int = 400, headers: Mapping[str, str] | None = None, **details: Any
) -> OAuthKitError:
    with pytest.raises(OAuthKitError) as caught:
        parse_token_response(
            SERVER, answer(fields, status=status, headers=headers), requested_at=NOW, **details
        )
    return caught.value


# The request


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.grant_type)
def test_a_token_request_is_a_post_of_a_form(grant: GrantStrategy) -> None:
    """O2-11: the query of the endpoint is kept."""
    request = token_request(SERVER, CLIENT, grant)

    assert request.method == "POST"
    assert request.url == "https://auth.example/token?tenant=x"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert ("grant_type", grant.grant_type) in parse_qsl(request.content.decode())


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.grant_type)
@pytest.mark.parametrize(
    "client_auth",
    [CLIENT, ClientSecretPost("reporter", "s3cret")],
    ids=lambda client_auth: type(client_auth).__name__,
)
def test_the_client_proves_itself_in_exactly_one_way_and_never_in_the_url(
    client_auth: ClientSecretBasic | ClientSecretPost, grant: GrantStrategy
) -> None:
    """O2-01, O2-04, O2-38, BT-05."""
    request = token_request(SERVER, client_auth, grant)

    in_header = "authorization" in request.headers
    in_body = b"client_secret=s3cret" in request.content
    assert in_header != in_body
    assert urlsplit(request.url).query == "tenant=x"


@pytest.mark.parametrize("grant", GRANTS[1:], ids=lambda grant: grant.grant_type)
def test_a_public_client_gives_its_identifier_and_no_proof(grant: GrantStrategy) -> None:
    """O2-13."""
    request = token_request(SERVER, PublicClient("app"), grant)

    pairs = dict(parse_qsl(request.content.decode()))
    assert pairs["client_id"] == "app"
    assert "client_secret" not in pairs
    assert "authorization" not in request.headers


def test_client_credentials_are_for_confidential_clients() -> None:
    """O2-24."""
    with pytest.raises(ConfigurationError, match="prove who they are"):
        token_request(SERVER, PublicClient("app"), ClientCredentials())


@pytest.mark.parametrize(
    "client_auth, grant, name",
    [
        (
            ClientSecretPost("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"),
            RefreshToken(refresh_token="tGzv3JOkF0XG5Qx2TlKWIA"),
            "post_body",
        ),
        (
            CLIENT,
            AuthorizationCode(
                code="SplxlOBeZQQYbYS6WxSbIA", redirect_uri="https://client.example.com/cb"
            ),
            "code_body",
        ),
        (CLIENT, RefreshToken(refresh_token="tGzv3JOkF0XG5Qx2TlKWIA"), "refresh_body"),
    ],
    ids=["post", "code", "refresh"],
)
def test_the_published_requests_are_built(
    client_auth: ClientSecretBasic | ClientSecretPost, grant: GrantStrategy, name: str
) -> None:
    """O2-21: RFC 6749 §2.3.1, §4.1.3, §6."""
    request = token_request(SERVER, client_auth, grant)

    assert parse_qsl(request.content.decode()) == parse_qsl(VECTORS[name]["body"])


def test_the_redirect_uri_is_left_out_where_the_server_wants_none() -> None:
    """O2-21."""
    request = token_request(SERVER, CLIENT, AuthorizationCode(code="c"))

    assert request.content == b"grant_type=authorization_code&code=c"


def test_an_extension_grant_is_sent_as_it_is_with_client_authentication() -> None:
    """O2-26."""

    @attrs.frozen(kw_only=True)
    class Assertion(GrantStrategy):
        grant_type = "urn:ietf:params:oauth:grant-type:saml2-bearer"

        def parameters(self) -> Mapping[str, ParameterValue]:
            return {"assertion": "a&b", "empty": ""}

    request = token_request(SERVER, CLIENT, Assertion(additional={"tenant": "t#1"}))

    assert "authorization" in request.headers
    assert parse_qsl(request.content.decode()) == [
        ("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"),
        ("assertion", "a&b"),
        ("tenant", "t#1"),
    ]


@pytest.mark.parametrize(
    "grant",
    [
        ClientCredentials(additional={"grant_type": "password"}),
        ClientCredentials(scope="a", additional={"scope": "a"}),
        RefreshToken(refresh_token="r", additional={"client_id": "other"}),
    ],
    ids=["grant_type", "scope", "client_id"],
)
def test_no_parameter_is_given_twice(grant: GrantStrategy) -> None:
    """O2-06."""
    with pytest.raises(ConfigurationError, match=r"given twice|another client_id"):
        token_request(SERVER, ClientSecretPost("reporter", "s3cret"), grant)


def test_what_the_grant_leaves_out_may_be_added() -> None:
    """O2-06."""
    request = token_request(
        SERVER, CLIENT, ClientCredentials(additional={"scope": "a", "b": None, "c": ""})
    )

    assert request.content == b"grant_type=client_credentials&scope=a"


def test_a_code_is_exchanged_where_its_login_was_alone() -> None:
    """IS-08, AT-01, AT-03: RFC 9700 §4.4."""
    grant = AuthorizationCode(code="c", token_endpoint="https://honest.example/token")

    with pytest.raises(ConfigurationError, match="another server"):
        token_request(SERVER, CLIENT, grant)

    honest = AuthorizationServer("https://honest.example/token")
    assert token_request(honest, CLIENT, grant).url == "https://honest.example/token"


def test_a_code_of_another_issuer_is_refused_also_at_the_same_endpoint() -> None:
    """IS-08, AT-01: as where one token endpoint serves many tenants."""
    one, two = (
        AuthorizationServer("https://honest.example/token", issuer=f"https://honest.example/{name}")
        for name in ("one", "two")
    )
    grant = AuthorizationCode(code="c", token_endpoint=one.token_endpoint, issuer=one.issuer)

    with pytest.raises(ConfigurationError, match="another server"):
        token_request(two, CLIENT, grant)
    for right in (one, attrs.evolve(one, issuer=None)):
        assert token_request(right, CLIENT, grant).url == one.token_endpoint


def test_a_code_of_another_client_is_refused() -> None:
    """IS-08: RFC 6749 §4.1.3; the message names both, and nothing secret."""
    grant = AuthorizationCode(code="canary", client_id="someone-else")

    with pytest.raises(ConfigurationError, match="'someone-else'") as caught:
        token_request(SERVER, CLIENT, grant)
    assert CLIENT.client_id in str(caught.value)
    assert "canary" not in str(caught.value)
    ours = attrs.evolve(grant, client_id=CLIENT.client_id)
    assert b"canary" in bytes(token_request(SERVER, CLIENT, ours).content)


def test_the_grant_names_the_format_and_else_the_server_does() -> None:
    server = AuthorizationServer("https://auth.example/token", request_format=JSON, accept="*/*")

    ours = token_request(server, CLIENT, ClientCredentials(scope="a"))
    grants = token_request(server, CLIENT, ClientCredentials(request_format=MULTIPART))

    assert json.loads(ours.content) == {"grant_type": "client_credentials", "scope": "a"}
    assert (ours.headers["content-type"], ours.headers["accept"]) == ("application/json", "*/*")
    assert grants.headers["content-type"].startswith("multipart/form-data")


def test_a_server_of_its_own_ideas_has_its_parameters_adapted() -> None:
    def adapt_request(
        parameters: Mapping[str, ParameterValue], client_id: str
    ) -> Mapping[str, ParameterValue]:
        return {"client_key": client_id, "grant": parameters["grant_type"]}

    server = AuthorizationServer("https://auth.example/token", adapt_request=adapt_request)

    request = token_request(server, CLIENT, ClientCredentials())
    assert request.content == b"client_key=reporter&grant=client_credentials"


def test_the_request_knows_its_secrets() -> None:
    """AT-70."""
    request = token_request(SERVER, CLIENT, GRANTS[3])

    credentials = request.headers["authorization"].partition(" ")[2]
    assert request.secrets == {"s3cret", "canary-password", credentials}
    assert "s3cret" not in repr(request)


# The token


def test_the_published_answer_of_rfc_6749_is_read() -> None:
    """O2-31: RFC 6749 §5.1."""
    assert parse(VECTORS["token_answer"]["body"]) == Token(
        "2YotnFZFEjr1zCsicMWpAA",
        token_type="example",
        issued_at=NOW,
        expires_at=NOW + 3600,
        refresh_token="tGzv3JOkF0XG5Qx2TlKWIA",
        extra={"example_parameter": "example_value"},
    )


def test_the_published_answer_of_rfc_6750_is_read() -> None:
    """RFC 6750 §4."""
    token = parse(BEARER["token_answer"]["body"])

    assert (token.access_token, token.token_type) == ("mF_9.B5f-4.1JqM", "Bearer")
    assert token.expires_at == NOW + 3600


@pytest.mark.parametrize("status", [200, 201, 203])
def test_any_success_is_one(status: int) -> None:
    response = answer({"access_token": "a", "token_type": "bearer"}, status=status)

    assert parse_token_response(SERVER, response, requested_at=NOW).access_token == "a"


@pytest.mark.parametrize("status", [200, 299])
def test_only_the_documented_status_brings_a_token_where_the_server_means_it(status: int) -> None:
    server = AuthorizationServer("https://auth.example/token", success_status=status)
    good = {"access_token": "canary", "token_type": "bearer"}

    token = parse_token_response(server, answer(good, status=status), requested_at=NOW)
    assert token.access_token == "canary"
    with pytest.raises(ResponseError, match=rf"with status {status}.*\(HTTP 206\)") as caught:
        parse_token_response(server, answer(good, status=206), requested_at=NOW)
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"token_type": "bearer"},
        {"access_token": "", "token_type": "bearer"},
        {"access_token": None, "token_type": "bearer"},
        {"access_token": "canary"},
        {"access_token": "canary", "token_type": ""},
        {"access_token": "canary", "token_type": None},
    ],
    ids=repr,
)
def test_an_answer_without_token_or_type_is_refused(fields: Mapping[str, Any]) -> None:
    """O2-27."""
    error = refused(fields, status=200)

    assert isinstance(error, ResponseError)
    assert "needs" in str(error)
    assert "canary" not in str(error)


def test_a_missing_type_is_assumed_where_the_server_is_known_for_it() -> None:
    """O2-27."""
    server = AuthorizationServer("https://auth.example/token", default_token_type="Bearer")

    assert parse({"access_token": "a"}, server=server).token_type == "Bearer"
    assert parse({"access_token": "a", "token_type": "mac"}, server=server).token_type == "mac"


@pytest.mark.parametrize(
    "name, value",
    [
        ("access_token", 5),
        ("access_token", ["canary"]),
        ("access_token", {"a": "canary"}),
        ("access_token", True),
        ("token_type", 5),
        ("token_type", ["bearer"]),
        ("refresh_token", 5),
        ("refresh_token", {"a": "canary"}),
        ("id_token", 5),
        ("scope", 5),
        ("scope", {"a": "b"}),
        ("scope", ["a", 5]),
        ("scope", True),
    ],
    ids=repr,
)
def test_a_member_of_another_type_is_refused(name: str, value: object) -> None:
    """AT-57."""
    error = refused({"access_token": "a", "token_type": "bearer", name: value}, status=200)

    assert isinstance(error, ResponseError)
    assert name in str(error)
    assert error.__context__ is None
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "said, lifetime",
    [
        ("3600", 3600.0),
        (3600, 3600.0),
        ("3600.0", 3600.0),
        (3600.7, 3600.7),
        (0, 0.0),
        (None, None),
        ("", None),
        (True, None),
    ],
    ids=repr,
)
def test_lifetimes_that_peers_fail_on_are_understood(said: object, lifetime: float | None) -> None:
    """AT-57."""
    token = parse({"access_token": "a", "token_type": "bearer", "expires_in": said})

    assert token.expires_at == (None if lifetime is None else NOW + lifetime)


def test_a_silent_answer_to_a_refresh_keeps_refresh_token_and_scope() -> None:
    """O2-35."""
    previous = Token("old", refresh_token="kept", scope="a b")

    token = parse({"access_token": "a", "token_type": "bearer"}, previous=previous)
    assert (token.refresh_token, token.scope) == ("kept", "a b")


@pytest.mark.parametrize(
    "answered, kept", [({}, "i1"), ({"id_token": None}, "i1"), ({"id_token": "i2"}, "i2")]
)
def test_a_silent_answer_to_a_refresh_keeps_the_id_token(
    answered: Mapping[str, Any], kept: str
) -> None:
    """OpenID Connect Core §12.2: the answer to a refresh might have none."""
    previous = Token("old", refresh_token="kept", id_token="i1")
    fields = {"access_token": "a", "token_type": "bearer", **answered}

    assert parse(fields, previous=previous).id_token == kept
    assert parse(fields).id_token == answered.get("id_token")


def test_a_new_refresh_token_replaces_the_old_one() -> None:
    """O2-36, 21-07."""
    previous = Token("old", refresh_token="old", refresh_expires_at=5.0, scope="a b")
    fields = {"access_token": "a", "token_type": "bearer", "refresh_token": "new", "scope": "a"}

    token = parse(fields, previous=previous)
    assert (token.refresh_token, token.scope) == ("new", "a")
    assert token.refresh_expires_at is None


@pytest.mark.parametrize("silent", [{}, {"scope": None}, {"scope": ""}, {"scope": []}], ids=repr)
def test_a_silent_answer_granted_the_scope_that_was_asked_for(silent: Mapping[str, Any]) -> None:
    """O2-15."""
    fields = {"access_token": "a", "token_type": "bearer", **silent}

    assert parse(fields, requested_scope="a b").scope == "a b"
    assert parse(fields).scope is None


@pytest.mark.parametrize("scope", ["a", ["a"]], ids=repr)
def test_another_scope_is_the_one_that_was_granted(scope: object) -> None:
    """O2-16."""
    fields = {"access_token": "a", "token_type": "bearer", "scope": scope}

    assert parse(fields, requested_scope="a b").scope == "a"


def test_further_members_are_kept_or_typed() -> None:
    """O2-31."""

    @attrs.frozen
    class RichToken(Token):
        is_editor: bool = False

    server = AuthorizationServer("https://auth.example/token", token_class=RichToken)
    fields = {
        "access_token": "a",
        "token_type": "b",
        "is_editor": "true",
        "ip": "::1",
        "id_token": "i",
    }

    token = parse(fields, server=server)
    assert isinstance(token, RichToken)
    assert token.is_editor is True
    assert (token.extra, token.id_token) == ({"ip": "::1"}, "i")


def test_a_further_member_of_another_type_is_refused() -> None:
    """AT-57."""

    @attrs.frozen
    class RichToken(Token):
        level: float = 0.0

    server = AuthorizationServer("https://auth.example/token", token_class=RichToken)
    fields = {"access_token": "a", "token_type": "bearer", "level": 10**400}

    with pytest.raises(ResponseError, match="level"):
        parse(fields, server=server)


# The refusal


@pytest.mark.parametrize(
    "error, kind, recovery",
    [
        ("invalid_client", InvalidClient, Recovery.CHANGE_REQUEST),
        ("invalid_grant", InvalidGrant, Recovery.REAUTHORIZE),
        ("access_denied", AccessDenied, Recovery.REAUTHORIZE),
        ("invalid_request", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("invalid_scope", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("unauthorized_client", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("unsupported_grant_type", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("temporarily_unavailable", ErrorResponse, Recovery.RETRY_LATER),
        ("server_error", ErrorResponse, Recovery.RETRY_LATER),
        ("slow_down", ErrorResponse, Recovery.RETRY_LATER),
        ("login_required", ErrorResponse, Recovery.REAUTHORIZE),
        ("interaction_required", ErrorResponse, Recovery.REAUTHORIZE),
        ("consent_required", ErrorResponse, Recovery.REAUTHORIZE),
        ("x_unheard_of", ErrorResponse, Recovery.CHANGE_REQUEST),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 403])
def test_an_error_is_typed_and_says_what_to_do(
    error: str, kind: type[ErrorResponse], recovery: Recovery, status: int
) -> None:
    """O2-33: whatever the status, and unknown codes are kept."""
    caught = refused({"error": error, "access_token": "a", "token_type": "bearer"}, status=status)

    assert type(caught) is kind
    assert isinstance(caught, ErrorResponse)
    assert (caught.error, caught.status_code, caught.recovery) == (error, status, recovery)


def test_the_published_error_is_read() -> None:
    """O2-33: RFC 6749 §5.2."""
    published = VECTORS["error_answer"]

    caught = refused(published["body"], status=published["status"])
    assert isinstance(caught, ErrorResponse)
    assert (caught.error, caught.error_description, caught.error_uri) == (
        "invalid_request",
        None,
        None,
    )


def test_an_error_keeps_all_that_came_with_it() -> None:
    """O2-33."""
    caught = refused(
        {
            "error": "invalid_client",
            "error_description": "Unknown client",
            "error_uri": "https://auth.example/docs/errors/oauth2?id=12#invalid_client",
        },
        status=401,
        headers={"WWW-Authenticate": 'Basic realm="auth"'},
    )

    assert isinstance(caught, InvalidClient)
    assert caught.error_description == "Unknown client"
    assert caught.error_uri == "https://auth.example/docs/errors/oauth2?id=12#invalid_client"
    assert caught.www_authenticate == ('Basic realm="auth"',)
    assert caught.status_code == 401


@pytest.mark.parametrize("error", ["invalid_request", "unauthorized_client", "x"])
def test_a_401_is_about_the_client(error: str) -> None:
    """O2-33: system A documents 401 as failed client authentication."""
    assert type(refused({"error": error}, status=401)) is InvalidClient
    assert type(refused({"error": "invalid_grant"}, status=401)) is InvalidGrant


@pytest.mark.parametrize("error", ["Unauthorized", "The session has ended", "401"])
def test_a_401_in_a_text_for_people_is_about_the_client_where_it_is_challenged(error: str) -> None:
    """O2-33: such a text alone may be a gateway's."""
    challenge = {"WWW-Authenticate": 'Basic realm="auth"'}

    assert type(refused({"error": error}, status=401)) is ErrorResponse
    assert type(refused({"error": error}, status=401, headers=challenge)) is InvalidClient


@pytest.mark.parametrize(
    "error",
    [{"message": "no", "type": "OAuthException"}, ["no"], 5, True],
    ids=repr,
)
def test_an_error_that_is_no_text_needs_an_adapter(error: object) -> None:
    caught = refused({"error": error})

    assert isinstance(caught, ResponseError)
    assert "adapt=" in str(caught)


@pytest.mark.parametrize("error", [None, "", 0, False, [], {}], ids=repr)
def test_an_empty_error_is_none(error: object) -> None:
    fields = {"access_token": "a", "token_type": "bearer", "error": error}

    assert parse(fields).access_token == "a"


@pytest.mark.parametrize("value", [5, None, "", ["x"], {"a": 1}], ids=repr)
def test_a_description_that_is_no_text_is_left_out(value: object) -> None:
    caught = refused({"error": "invalid_grant", "error_description": value, "error_uri": value})

    assert isinstance(caught, ErrorResponse)
    assert (caught.error_description, caught.error_uri) == (None, None)


def test_an_endless_description_and_page_are_bounded() -> None:
    caught = refused(
        {"error": "x" * 99_999, "error_description": "y" * 99_999, "error_uri": "z" * 99_999}
    )

    assert isinstance(caught, ErrorResponse)
    assert len(caught.error) < 5_000
    assert len(caught.error_description or "") < 5_000
    assert caught.error_uri is None
    assert len(str(caught)) < 1_000


@pytest.mark.parametrize("name", ["error", "error_description", "error_uri"])
def test_a_secret_that_the_server_echoes_is_masked(name: str) -> None:
    """AT-70."""
    caught = refused(
        {"error": "invalid_grant", name: "wrong: canary pass, canary%20pass"},
        secrets=["canary pass"],
    )

    assert "canary" not in f"{vars(caught)}{caught}{caught!r}"


def test_what_the_server_says_is_escaped_when_it_is_printed() -> None:
    """O2-44, AT-65."""
    caught = refused(
        {"error": "bad\r\n\x1b[31m", "error_description": "a\u202eb\x00", "error_uri": "\n"}
    )

    assert str(caught) == "bad\\x0d\\x0a\\x1b[31m: a\\u202eb\\x00 <\\x0a> (HTTP 400)"


@pytest.mark.parametrize(
    "body, content_type",
    [
        (b"", "application/json"),
        (b"", ""),
        (b"[]", "application/json"),
        (b"<html>Forbidden</html>", "text/html"),
        (b"null", "application/json"),
        (b"{", "application/json"),
        (b'{"message":"no"}', "application/json"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
def test_a_refusal_in_other_words_is_an_error_with_status_and_excerpt(
    body: bytes, content_type: str, status: int
) -> None:
    """O2-34: real servers send 400 and 403 without a body."""
    response = HTTPResponse(status, {"content-type": content_type}, body)

    with pytest.raises(ResponseError) as caught:
        parse_token_response(SERVER, response, requested_at=NOW)

    assert caught.value.status_code == status
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert "refused" in str(caught.value)
    assert "errors=" in str(caught.value)


@pytest.mark.parametrize("status", [100, 408, 425, 429, 500, 502, 503, 504, 599])
def test_a_busy_server_is_asked_later_and_its_words_are_not_believed(status: int) -> None:
    """O2-34, AT-82."""
    caught = refused({"error": "invalid_grant"}, status=status, headers={"Retry-After": "7"})

    assert type(caught) is ResponseError
    assert caught.recovery is Recovery.RETRY_LATER
    assert caught.retry_after == 7


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_an_error(status: int) -> None:
    """AT-27, AT-28."""
    caught = refused(
        {"access_token": "a", "token_type": "bearer"},
        status=status,
        headers={"Location": "https://evil.example/"},
    )

    assert isinstance(caught, ResponseError)
    assert "redirect" in str(caught)
    assert caught.recovery is Recovery.CHANGE_REQUEST


# Adapters


def test_the_fields_of_an_answer_are_adapted_good_or_bad() -> None:
    server = AuthorizationServer(
        "https://auth.example/token",
        adapt=rename_fields({"AccessToken": "access_token", "fault": "error"}),
        default_token_type="Bearer",
    )

    assert parse({"AccessToken": "a"}, server=server).access_token == "a"
    with pytest.raises(InvalidGrant):
        parse({"fault": "invalid_grant"}, server=server)


@pytest.mark.parametrize("result", [None, 5, [5]], ids=repr)
def test_an_adapter_that_gives_no_mapping_is_an_error_of_ours(result: Any) -> None:
    server = AuthorizationServer("https://auth.example/token", adapt=lambda _: result)

    with pytest.raises(ResponseError, match="adapt= failed with TypeError"):
        parse({}, server=server)


def test_an_adapter_that_fails_is_named_with_its_line_and_shows_nothing_of_the_answer() -> None:
    """Its own error, and its variables, may show the token."""

    def adapt(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        message = f"what is this: {dict(fields)}"
        raise KeyError(message)

    server = AuthorizationServer("https://auth.example/token", adapt=adapt)

    with pytest.raises(ResponseError) as caught:
        parse({"token": "can" + "ary"}, server=server)
    line = adapt.__code__.co_firstlineno + 2
    where = f"adapt= failed with KeyError (test_token_endpoint.py, line {line}, in adapt)"
    assert where in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_an_adapter_may_refuse_in_its_own_words() -> None:
    def adapt(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        error = "invalid_scope"
        raise ErrorResponse(error)

    server = AuthorizationServer("https://auth.example/token", adapt=adapt)

    with pytest.raises(ErrorResponse, match="invalid_scope"):
        parse({}, server=server)


# Retry-After


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("3600", LONGEST_RETRY_AFTER),
        ("3601", LONGEST_RETRY_AFTER),
        ("999999999", LONGEST_RETRY_AFTER),
        ("9" * 1_000, LONGEST_RETRY_AFTER),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 120.0),
        ("Tue Nov 14 22:15:20 2023", 120.0),
        ("Tue, 14 Nov 2023 22:15:20 -0000", 120.0),
        ("Tue, 14 Nov 2023 23:15:20 +0100", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
        ("Sun, 14 Nov 2055 22:15:20 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("soon", None),
        ("", None),
        ("Tue, 99 Nov 2023 22:15:20 GMT", None),
        ("Tue, 14 Nov 2023 22:15:20 +9999", None),
        ("a " * 50_000, None),
    ],
    ids=lambda value: str(value)[:32],
)
def test_the_pause_that_a_server_asks_for_is_understood(text: str, seconds: float | None) -> None:
    """AT-82: RFC 9110 §10.2.3."""
    assert retry_after(HTTPResponse(503, {"Retry-After": text}), now=NOW) == seconds


def test_no_pause_is_asked_for_without_the_header() -> None:
    assert retry_after(HTTPResponse(503), now=NOW) is None
