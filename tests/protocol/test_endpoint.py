import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from oauthkit.errors import ConfigurationError, ErrorResponse, Recovery, ResponseError
from oauthkit.protocol.client_auth import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from oauthkit.protocol.endpoint import build_request, read_answer
from oauthkit.protocol.formats import JSON, ParameterValue
from oauthkit.protocol.grants import ClientCredentials, GrantStrategy, RefreshToken
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.secret import secret
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token_endpoint import build_token_request
from tests.asking import token_request

SERVER = AuthorizationServer("https://auth.example/token")
REVOKE = "https://auth.example/revoke?tenant=x"
BASIC = Authentication(headers={"authorization": "Basic cmVwb3J0ZXI6czNjcmV0"})
SIGNED = Authentication(parameters={"client_assertion": "signed", "client_assertion_type": "jwt"})
NOW = 1_700_000_000.0


def build(authentication: Authentication = BASIC, **parameters: ParameterValue) -> HTTPRequest:
    return build_request(SERVER, REVOKE, parameters, authentication, name="revocation_endpoint")


def read(
    status: int, content: bytes = b"", *, server: AuthorizationServer = SERVER, **headers: str
) -> Any:
    fields = {"content-type": "application/json"}
    fields |= {name.replace("_", "-"): text for name, text in headers.items()}
    response = HTTPResponse(status, fields, content)
    return read_answer(server, response, now=NOW, name="revocation_endpoint")


# The request


def test_a_request_says_what_is_asked_and_who_asks() -> None:
    request = build(token="t", token_type_hint=None)

    assert (request.method, request.url) == ("POST", REVOKE)
    assert dict(request.headers) == {
        "content-type": "application/x-www-form-urlencoded",
        "accept": "application/json",
        "authorization": "Basic cmVwb3J0ZXI6czNjcmV0",
    }
    assert request.content == b"token=t"


def test_a_proof_in_the_body_is_a_parameter_and_a_secret() -> None:
    request = build(SIGNED, token="t")

    assert request.content == b"token=t&client_assertion=signed&client_assertion_type=jwt"
    assert "signed" in request.secrets
    assert "cmVwb3J0ZXI6czNjcmV0" in build(token="t").secrets


def test_the_servers_formats_hold_for_all_its_endpoints() -> None:
    server = attrs.evolve(SERVER, request_format=JSON, accept="text/json")
    request = build_request(server, REVOKE, {"token": "t"}, SIGNED)

    assert json.loads(request.content)["token"] == "t"
    assert request.headers["accept"] == "text/json"


def test_all_parameters_are_adapted_those_of_the_client_too() -> None:
    request = build_request(
        SERVER,
        REVOKE,
        {"token": "t"},
        SIGNED,
        adapt=lambda parameters: {name.upper(): value for name, value in parameters.items()},
    )

    assert request.content.startswith(b"TOKEN=t&CLIENT_ASSERTION=signed&")


@pytest.mark.parametrize("url", ["http://auth.example/revoke", "/revoke", f"{REVOKE}#a"])
def test_what_may_be_no_endpoint_is_called_by_its_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="revocation_endpoint"):
        build_request(SERVER, url, {}, BASIC, name="revocation_endpoint")


@pytest.mark.parametrize("name", ["client_secret", "client_assertion", "client_assertion_type"])
@pytest.mark.parametrize("authentication", [BASIC, SIGNED, Authentication()])
def test_what_proves_who_asks_belongs_to_the_client_authentication(
    authentication: Authentication, name: str
) -> None:
    """O2-01: one way alone, RFC 6749 §2.3."""
    with pytest.raises(ConfigurationError, match=f"{name} belongs to the client authentication"):
        build(authentication, **{name: "canary"})


@pytest.mark.parametrize(
    "client_auth",
    [ClientSecretBasic("id", "s"), ClientSecretPost("id", "s"), PublicClient("id")],
    ids=lambda client_auth: type(client_auth).__name__,
)
def test_no_second_proof_comes_by_additional(client_auth: ClientAuth) -> None:
    grant = RefreshToken(refresh_token="r", additional={"client_secret": "canary"})

    with pytest.raises(ConfigurationError, match="client_secret belongs to") as caught:
        token_request(SERVER, client_auth, grant)
    assert "canary" not in str(caught.value)


def test_a_client_beside_its_header_may_be_named_in_the_body_but_not_another() -> None:
    """RFC 6749 §3.2.1."""
    client_auth = ClientSecretBasic("id", "s")

    named = token_request(SERVER, client_auth, ClientCredentials(additional={"client_id": "id"}))
    assert named.content == b"grant_type=client_credentials&client_id=id"
    with pytest.raises(ConfigurationError, match="another client_id"):
        token_request(SERVER, client_auth, ClientCredentials(additional={"client_id": "other"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nX-Evil: 1"},
        {"x": "a\nb"},
        {"x": "\x00"},
        {"x": "\xe9"},
        {"x": "\u2028"},
        {"x": 5},
        {"x y": "a"},
        {"x:": "a"},
        {"": "a"},
        {"x\r\n": "a"},
    ],
    ids=ascii,
)
def test_no_header_breaks_out_of_its_line(headers: Any) -> None:
    """AT-63."""
    with pytest.raises(ConfigurationError, match="makes a header"):
        build(Authentication(headers=headers))


@pytest.mark.parametrize("name", ["Content-Type", "content-length", "Transfer-Encoding", "HOST"])
def test_no_client_authentication_changes_how_the_body_is_read(name: str) -> None:
    with pytest.raises(ConfigurationError, match="belongs to the body"):
        build(Authentication(headers={name: "1"}))


@attrs.frozen(kw_only=True)
class Assertion(GrantStrategy):
    """A grant of a user's own with a secret that it needs, and one that it does not."""

    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion: str = secret()
    pin: str | None = secret(default=None)

    def parameters(self) -> Mapping[str, ParameterValue]:
        return {"assertion": self.assertion, "pin": self.pin}


@pytest.mark.parametrize("missing", ["", None])
def test_a_secret_of_ones_own_grant_does_not_vanish(missing: Any) -> None:
    client_auth = PublicClient("id")

    with pytest.raises(ConfigurationError, match="a text"):
        build_token_request(SERVER, client_auth, Assertion(assertion=missing), Authentication())
    with pytest.raises(ConfigurationError, match="pin must be a text"):
        build_token_request(SERVER, client_auth, Assertion(assertion="a", pin=""), Authentication())
    assert build_token_request(
        SERVER, client_auth, Assertion(assertion="a"), Authentication()
    ).content.endswith(b"&assertion=a")


@pytest.mark.parametrize("missing", ["", None, 5])
def test_nothing_of_the_client_authentication_vanishes(missing: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_assertion must be a text"):
        build(Authentication(parameters={"client_id": "id", "client_assertion": missing}))


def test_a_raw_secret_that_is_empty_is_sent_as_it_is() -> None:
    client_auth = ClientSecretBasic("app", "", raw=True)

    request = token_request(SERVER, client_auth, RefreshToken(refresh_token="r"))
    assert request.headers["authorization"] == "Basic YXBwOg=="


class NoAttrs(ClientAuth):
    client_id = "id"

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        return Authentication(parameters={"client_id": self.client_id})


def test_a_client_authentication_need_not_be_of_attrs() -> None:
    request = token_request(SERVER, NoAttrs(), ClientCredentials())

    assert request.content == b"grant_type=client_credentials&client_id=id"


# The answer


def test_the_fields_of_a_success_are_read() -> None:
    assert read(200, b'{"active": true}') == {"active": True}


@pytest.mark.parametrize("content", [b"", b"ok", b"<html>"])
def test_a_success_without_fields_is_for_the_endpoint_to_judge(content: bytes) -> None:
    """RFC 7009 §2.2: revocation answers with nothing."""
    answer = read(200, content)

    assert isinstance(answer, ResponseError)
    assert "cannot be read" in str(answer)


def test_a_refusal_is_raised_with_what_was_said() -> None:
    with pytest.raises(ErrorResponse, match="unsupported_token_type"):
        read(400, b'{"error": "unsupported_token_type"}')


@pytest.mark.parametrize("content", [b"", b"{}", b"no"])
def test_a_refusal_in_no_words_names_the_endpoint(content: bytes) -> None:
    with pytest.raises(ResponseError, match="the revocation endpoint refused"):
        read(400, content)


def test_a_redirect_names_the_endpoint() -> None:
    with pytest.raises(ResponseError, match="final URL as revocation_endpoint"):
        read(302, location="https://evil.example/")


def test_a_server_that_cannot_answer_now_says_when() -> None:
    """RFC 7009 §2.2.1."""
    with pytest.raises(ResponseError) as caught:
        read(503, retry_after="7")
    assert (caught.value.recovery, caught.value.retry_after) == (Recovery.RETRY_LATER, 7.0)


def test_the_servers_own_ways_to_refuse_hold_for_all_its_endpoints() -> None:
    rule = ErrorRule("invalid_client", member="code", values=(17,))
    server = attrs.evolve(SERVER, errors=(rule,))

    with pytest.raises(ErrorResponse, match="invalid_client"):
        read(200, b'{"code": 17}', server=server)
