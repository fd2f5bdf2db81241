"""What a metadata document is taken for, told with literals."""

import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from oauthkit import AuthorizationServer, ConfigurationError, Recovery, ResponseError
from oauthkit.protocol.discovery import (
    AcceptIssuer,
    build_metadata_request,
    check_issuer,
    is_elsewhere,
    life_of,
    metadata_locations,
    parse_metadata_response,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.metadata import ServerMetadata

ISSUER = "https://auth.example"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc8414.json").read_text())


def document(**members: Any) -> HTTPResponse:
    named = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", **members}
    return HTTPResponse(200, {"content-type": "application/json"}, json.dumps(named).encode())


def parsed(
    response: HTTPResponse, issuer: str = ISSUER, accept_issuer: AcceptIssuer | None = None
) -> AuthorizationServer:
    return parse_metadata_response(response, issuer=issuer, accept_issuer=accept_issuer, now=0.0)


@pytest.mark.parametrize("case", VECTORS["well_known_cases"], ids=lambda case: case["issuer"])
def test_the_two_places_follow_from_the_issuer(case: dict[str, str]) -> None:
    """MD-01, MD-02."""
    assert metadata_locations(case["issuer"]) == (case["oidc_append"], case["oauth"])


def test_the_request_asks_for_json_and_has_nothing_secret() -> None:
    request = build_metadata_request("https://auth.example/.well-known/openid-configuration")

    assert request.method == "GET"
    assert dict(request.headers) == {"accept": "application/json"}
    assert request.content == b""


def test_the_published_sample_is_read() -> None:
    sample = VECTORS["sample_3_2"]
    response = HTTPResponse(200, {}, json.dumps(sample).encode())

    server = parsed(response, "https://server.example.com")

    assert server.token_endpoint == "https://server.example.com/token"
    assert server.authorization_endpoint == "https://server.example.com/authorize"
    assert server.jwks_uri == "https://server.example.com/jwks.json"
    assert server.scopes_supported == tuple(sample["scopes_supported"])
    assert server.token_endpoint_auth_methods_supported == (
        "client_secret_basic",
        "private_key_jwt",
    )
    assert server.service_documentation == sample["service_documentation"]
    assert server.metadata == sample


@pytest.mark.parametrize(
    "named",
    [
        *(case["document_issuer"] for case in VECTORS["must_reject"]),
        "https://auth.example/",
        "https://auth.example:443",
        "https://AUTH.example",
        "https://auth.example.",
        "https://auth.example%2e",
        "https://user@auth.example",
        "https://auth.example/x/..",
        "https://auth.exampleINVALID",
        None,
        ["https://auth.example"],
    ],
)
def test_a_document_of_another_issuer_is_refused(named: object) -> None:
    """MD-03, AT-04, AT-05."""
    with pytest.raises(ResponseError, match="must be equal to the last slash") as caught:
        parsed(document(issuer=named))
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


@pytest.mark.parametrize(
    "asked, named",
    [
        ("https://xn--bcher-kva.example", "https://bücher.example"),
        ("https://auth.example/caf\u00e9", "https://auth.example/cafe\u0301"),
    ],
)
def test_issuers_are_compared_by_their_characters_as_they_are(asked: str, named: str) -> None:
    """MD-15."""
    with pytest.raises(ResponseError, match="must be equal to the last slash"):
        parsed(document(issuer=named), asked)


def test_a_document_without_an_issuer_is_of_nobody() -> None:
    response = HTTPResponse(200, {}, b'{"token_endpoint": "https://auth.example/token"}')

    with pytest.raises(ResponseError, match="is of 'None'"):
        parsed(response)


def test_a_template_is_refused_unless_somebody_says_that_it_is_as_good() -> None:
    """MD-16."""
    template = "https://login.example/{tenantid}/v2.0"
    asked = "https://login.example/common/v2.0"
    response = document(issuer=template)

    with pytest.raises(ResponseError, match="accept_issuer= is for those"):
        parsed(response, asked)
    with pytest.raises(ResponseError, match="must be equal"):
        parsed(response, asked, accept_issuer=lambda issuer: issuer == "https://login.example/")
    server = parsed(response, asked, accept_issuer=lambda issuer: issuer == template)
    assert server.issuer == asked
    assert server.metadata["issuer"] == template


@pytest.mark.parametrize(
    "status, content, message",
    [
        (400, b"{}", "wants a 200"),
        (204, b"", "wants a 200"),
        (200, b"[]", "a JSON object was expected, not list"),
        (200, b"<html>", "Expecting value"),
        (200, b"issuer=https%3A%2F%2Fauth.example", "Expecting value"),
        (200, b"", "Expecting value"),
        (301, b"", "answered with a redirect, which is never followed"),
    ],
)
def test_what_is_no_document_is_an_error(status: int, content: bytes, message: str) -> None:
    """MD-04, MD-10."""
    response = HTTPResponse(status, {"content-type": "application/x-www-form-urlencoded"}, content)

    with pytest.raises(ResponseError, match=message) as caught:
        parsed(response)
    assert caught.value.status_code == status
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


def test_a_server_that_is_down_is_asked_again_later() -> None:
    with pytest.raises(ResponseError) as caught:
        parsed(HTTPResponse(503, {"retry-after": "7"}))
    assert caught.value.recovery is Recovery.RETRY_LATER
    assert caught.value.retry_after == 7


def test_only_what_says_that_nothing_is_there_leads_to_the_other_place() -> None:
    there = [status for status in range(200, 600) if is_elsewhere(HTTPResponse(status))]

    assert there == [404, 410]


@pytest.mark.parametrize(
    "issuer",
    [
        "http://auth.example",
        "https://auth.example?tenant=1",
        "https://auth.example#x",
        "https://user:pass@auth.example",
        "auth.example",
        "ftp://auth.example",
        "",
    ],
)
def test_what_may_not_be_an_issuer_is_refused(issuer: str) -> None:
    """MD-05."""
    with pytest.raises(ConfigurationError) as caught:
        check_issuer(issuer)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    "address, issuer",
    [
        ("https://a.example/x/.well-known/openid-configuration", "https://a.example/x"),
        ("https://a.example/.well-known/openid-configuration", "https://a.example"),
        ("https://a.example/.well-known/oauth-authorization-server/x", "https://a.example/x"),
    ],
)
def test_the_address_of_a_document_is_told_from_its_issuer(address: str, issuer: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the issuer is '{issuer}' as a rule"):
        check_issuer(address)


@pytest.mark.parametrize("issuer", ["https://auth.example/", "http://127.0.0.1:8000/realms/a"])
def test_an_issuer_stays_as_it_was_written(issuer: str) -> None:
    assert check_issuer(issuer) == issuer


@pytest.mark.parametrize(
    "url, message",
    [
        ("http://auth.example/x", "plain http"),
        ("file:///etc/passwd", "must be an absolute https"),
        ("data:text/plain,x", "must be an absolute https"),
        ("javascript:alert(1)", "must be an absolute https"),
        ("https://user:pass@auth.example/x", "holds credentials"),
        ("/x", "must be an absolute https"),
        ("https://auth.example/x#y", "has a fragment"),
    ],
)
@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "jwks_uri"])
def test_a_bad_endpoint_costs_only_itself(name: str, url: str, message: str) -> None:
    """MD-06, AT-34."""
    good = {"userinfo_endpoint": f"{ISSUER}/userinfo"}
    server = parsed(document(**{**good, name: url}))

    assert server.endpoint("userinfo_endpoint") == f"{ISSUER}/userinfo"
    with pytest.raises(ConfigurationError, match=message):
        server.endpoint(name)


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "jwks_uri"])
def test_a_missing_endpoint_is_told_when_it_is_needed(name: str) -> None:
    """MD-09."""
    server = parsed(document(token_endpoint=None))

    with pytest.raises(ConfigurationError, match=f"metadata of {ISSUER} names no {name}"):
        server.endpoint(name)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:2375/x",
        "https://localhost/x",
        "https://app.localhost/x",
        "https://127.1/x",
        "https://0x7f.1/x",
        "https://0177.0.1/x",
        "https://2130706433/x",
        "https://0.0.0.0/x",
        "https://[::]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:0.0.0.0]/x",
    ],
)
def test_this_machine_is_no_endpoint_of_a_server_elsewhere(url: str) -> None:
    """AT-34: what a document says reaches nothing that only this machine can."""
    server = parsed(document(token_endpoint=url))

    with pytest.raises(ConfigurationError, match="is on this machine, and the issuer is not"):
        server.endpoint("token_endpoint")
    with pytest.raises(ConfigurationError, match="is on this machine"):
        str(server.origin)
    issuer = "http://127.0.0.1:8000"
    here = parsed(document(issuer=issuer, token_endpoint=url), issuer)
    assert here.endpoint("token_endpoint") == url


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "[fe80::1]", "localhost.example", "128.1", "4294967297", "127.x", "127.0.0.0.1"],
)
def test_another_machine_is_one_however_it_is_written(host: str) -> None:
    url = f"https://{host}/token"

    assert parsed(document(token_endpoint=url)).endpoint("token_endpoint") == url


def test_an_endpoint_without_an_attribute_is_found_by_its_name() -> None:
    name = "backchannel_authentication_endpoint"
    server = parsed(document(**{name: f"{ISSUER}/ciba"}))

    assert server.endpoint(name) == f"{ISSUER}/ciba"
    with pytest.raises(ConfigurationError, match="names no x_endpoint"):
        server.endpoint("x_endpoint")


def test_a_password_in_an_endpoint_is_not_shown() -> None:
    server = parsed(document(token_endpoint="https://user:canary@auth.example/token"))

    assert "canary" not in repr(server)


def test_a_server_written_by_hand_says_which_argument_is_missing() -> None:
    server = AuthorizationServer("https://auth.example/token")

    with pytest.raises(ConfigurationError, match=r"revocation_endpoint=…"):
        server.endpoint("revocation_endpoint")


@pytest.mark.parametrize("name", ["jwks_uri", "userinfo_endpoint", "registration_endpoint"])
def test_an_endpoint_written_by_hand_is_checked_at_once(name: str) -> None:
    urls: dict[str, Any] = {name: "http://auth.example/x"}

    with pytest.raises(ConfigurationError, match=f"{name} http://auth.example is plain http"):
        AuthorizationServer("https://auth.example/token", **urls)


def test_what_a_document_leaves_out_means_what_the_rfc_says() -> None:
    """MD-07."""
    server = parsed(document())

    assert server.response_modes_supported == ("query", "fragment")
    assert server.grant_types_supported == ("authorization_code", "implicit")
    assert server.token_endpoint_auth_methods_supported == ("client_secret_basic",)
    assert server.revocation_endpoint_auth_methods_supported == ("client_secret_basic",)
    assert server.scopes_supported is None
    assert server.require_pushed_authorization_requests is False


def test_what_is_unknown_empty_or_of_another_kind_disturbs_nothing_and_is_kept() -> None:
    """MD-08."""
    odd = {
        "jwks_uri": None,
        "scopes_supported": [],
        "claims_supported": ["sub", 1, None],
        "acr_values_supported": "loa1",
        "response_types_supported": {"a": 1},
        "userinfo_endpoint": ["https://auth.example/userinfo"],
        "require_pushed_authorization_requests": "true",
        "backchannel_logout_supported": True,
        "mtls_endpoint_aliases": "https://mtls.example",
        "x_unknown": {"deep": [{"a": None}]},
    }
    server = parsed(document(**odd))

    assert server.jwks_uri is None
    assert server.scopes_supported is None
    assert server.claims_supported == ("sub",)
    assert server.acr_values_supported is None
    assert server.response_types_supported is None
    assert server.userinfo_endpoint is None
    assert server.require_pushed_authorization_requests is False
    assert server.backchannel_logout_supported is True
    assert server.mtls_endpoint_aliases == {}
    assert {name: server.metadata[name] for name in odd} == odd


def test_a_document_sets_nothing_but_what_is_metadata() -> None:
    """Its members have the names of our own settings only by chance, or by intent."""
    settings = {
        "accept": "text/html",
        "allow_plain_http": True,
        "default_token_type": "Bearer",
        "errors": ["x"],
        "success_status": 201,
        "metadata": {"issuer": "https://evil.example"},
    }
    server = parsed(document(**settings))
    plain = AuthorizationServer("https://auth.example/token")

    for name in settings.keys() - {"metadata"}:
        assert getattr(server, name) == getattr(plain, name)
    assert server.metadata["issuer"] == ISSUER


def test_signed_metadata_is_kept_and_not_believed() -> None:
    """MD-13."""
    server = parsed(document(signed_metadata="eyJhbGciOiJub25lIn0.e30."))

    assert server.token_endpoint == f"{ISSUER}/token"
    assert server.metadata["signed_metadata"] == "eyJhbGciOiJub25lIn0.e30."


def test_a_server_can_be_copied_compared_and_counted() -> None:
    server, other = parsed(document(jwks_uri=f"{ISSUER}/keys")), parsed(document())

    assert copy.deepcopy(server) == server == pickle.loads(pickle.dumps(server))  # noqa: S301
    assert server != other
    assert len({server, other, server}) == 2
    assert "keys" not in repr(server)


def test_lists_are_taken_for_what_is_several() -> None:
    names: Any = ["openid", "email"]
    text: Any = "openid"

    assert ServerMetadata(scopes_supported=names).scopes_supported == ("openid", "email")
    with pytest.raises(ConfigurationError, match="scopes_supported="):
        ServerMetadata(scopes_supported=text)


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("max-age=600", 600),
        ("public, Max-Age = 900, must-revalidate", 900),
        ('max-age="600"', 600),
        ("max-age=0", 60),
        ("no-store", 3600),
        ("max-age=999999999", 86_400),
        ("max-age=x", 3600),
        ("s-max-age=5", 3600),
        ("", 3600),
    ],
)
def test_a_document_has_a_bounded_life(header: str, seconds: float) -> None:
    """MD-12."""
    response = HTTPResponse(200, {"cache-control": header})

    assert life_of(response, default=3600.0) == seconds


def test_the_callers_own_life_of_a_document_is_bounded_too() -> None:
    assert life_of(HTTPResponse(200), default=math.inf) == 86_400
    assert life_of(HTTPResponse(200), default=0.0) == 60
