"""System A; every value is the document's own."""

from typing import Any

import httpx
import pytest

from oauthkit import (
    ClientSecretBasic,
    ConfigurationError,
    EndpointError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    Recovery,
    RefreshToken,
    ResourceOwnerPassword,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.services import ads
from oauthkit.testing import DocumentedSystems, FakeClock
from tests.asking import token_request

CLIENT = ClientSecretBasic("the client", "p:s/+%")
BASIC = "Basic dGhlJTIwY2xpZW50OnAlM0FzJTJGJTJCJTI1"  # the%20client:p%3As%2F%2B%25
SERVER = ads.authorization_server(allow_plain_http=True)
PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")

OAUTH_TOKEN = b"""{
  "access_token": "access_token",
  "token_type": "token_type",
  "expires_in": "228",
  "scope": "scope",
  "expiry": "228",
  "refresh_token": "refresh_token"
}"""
OAUTH_PROVIDER = b"""{
  "error": "invalid_request",
  "error_description": "error_description",
  "error_uri": "error_uri"
}"""


def answered(status_code: int, content: bytes) -> HTTPResponse:
    return HTTPResponse(status_code, {"content-type": "application/json"}, content)


@pytest.mark.parametrize(
    "grant,body",
    [
        (PASSWORD, b"grant_type=password&username=ada&password=lovelace"),
        (
            ResourceOwnerPassword(username="ada l.", password="a&b=c d", scope="read write"),
            b"grant_type=password&username=ada%20l.&password=a%26b%3Dc%20d&scope=read%20write",
        ),
        (
            ResourceOwnerPassword(username="ada", password="lovelace", additional={"tenant": "7"}),
            b"grant_type=password&username=ada&password=lovelace&tenant=7",
        ),
        (
            RefreshToken(refresh_token="refresh_token"),
            b"grant_type=refresh_token&refresh_token=refresh_token",
        ),
        (
            RefreshToken(refresh_token="r", scope="read", additional={"tenant": "7"}),
            b"grant_type=refresh_token&refresh_token=r&scope=read&tenant=7",
        ),
    ],
)
def test_a_token_is_asked_for_as_documented(grant: GrantStrategy, body: bytes) -> None:
    request = token_request(SERVER, CLIENT, grant)

    assert request.method == "POST"
    assert request.url == "http://adsabs.harvard.edu/sdf242fgc4544g4vgg4v3sfsfv3"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == BASIC
    assert request.content == body


def test_the_documented_token_is_understood() -> None:
    token = parse_token_response(SERVER, answered(200, OAUTH_TOKEN), requested_at=1_000.0)

    assert token.access_token == "access_token"
    assert token.token_type == "token_type"
    assert token.expires_at == 1_228.0
    assert token.scope == "scope"
    assert token.refresh_token == "refresh_token"


def test_an_expiry_too_small_for_a_moment_is_a_lifetime() -> None:
    """The decision on `expiry`, which the document gives as "228" too."""
    content = b'{"access_token": "a", "token_type": "Bearer", "expiry": "228"}'

    token = parse_token_response(SERVER, answered(200, content), requested_at=1_000.0)

    assert token.expires_at == 1_228.0


def test_an_expiry_is_a_moment_where_it_can_be_one() -> None:
    content = b'{"access_token": "a", "token_type": "Bearer", "expiry": "1700000228"}'

    token = parse_token_response(SERVER, answered(200, content), requested_at=1_700_000_000.0)

    assert token.expires_at == 1_700_000_228.0


@pytest.mark.parametrize("status_code,kind", [(400, ErrorResponse), (401, InvalidClient)])
def test_a_documented_error_is_understood(status_code: int, kind: type[ErrorResponse]) -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(SERVER, answered(status_code, OAUTH_PROVIDER), requested_at=0.0)

    assert type(caught.value) is kind
    assert caught.value.error == "invalid_request"
    assert caught.value.error_description == "error_description"
    assert caught.value.error_uri == "error_uri"
    assert caught.value.status_code == status_code


async def test_a_session_gets_a_token_and_refreshes_it_as_documented(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    assert isinstance(systems.clock, FakeClock)
    async with documented_session(
        server=SERVER, client_auth=CLIENT, grant=PASSWORD, origins=[ads.PRODUCTION.default]
    ) as session:
        assert await ads.test(session, counter=228) == {"counter": 228}
        systems.clock.advance(systems.expires_in)
        assert await ads.test(session, counter=229) == {"counter": 229}

    assert systems.violations == ()
    assert [(exchange.operation, exchange.parameters) for exchange in systems.log] == [
        ("token", ("grant_type", "username", "password")),
        ("Test", ("counter",)),
        ("token", ("grant_type", "refresh_token")),
        ("Test", ("counter",)),
    ]


@pytest.mark.parametrize(
    "grant,client_auth,kind",
    [
        (
            ResourceOwnerPassword(username="ada", password="wrong"),
            CLIENT,
            ErrorResponse,
        ),
        (RefreshToken(refresh_token="spent"), CLIENT, InvalidGrant),
        (PASSWORD, ClientSecretBasic("the client", "wrong"), InvalidClient),
    ],
)
def test_a_refusal_of_the_documented_system_is_understood(
    systems: DocumentedSystems,
    refused: Any,
    *,
    grant: GrantStrategy,
    client_auth: ClientSecretBasic,
    kind: type[ErrorResponse],
) -> None:
    assert isinstance(refused(SERVER, client_auth, grant), kind)
    assert systems.violations == ()


async def test_what_is_added_to_a_grant_goes_with_its_refresh_as_the_document_allows(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    assert isinstance(systems.clock, FakeClock)
    grant = ResourceOwnerPassword(username="ada", password="lovelace", additional={"tenant": "7"})
    async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
        await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    assert systems.violations == ()
    assert ["tenant" in exchange.parameters for exchange in systems.log] == [True, True]


@pytest.mark.parametrize(
    "refresh_additional, names",
    [({}, ("grant_type", "refresh_token")), ({"x": "1"}, ("grant_type", "refresh_token", "x"))],
)
async def test_what_is_for_the_first_request_alone_is_not_sent_with_a_refresh(
    systems: DocumentedSystems,
    documented_session: Any,
    refresh_additional: dict[str, str],
    names: tuple[str, ...],
) -> None:
    """Both requests of the document allow further parameters, each its own."""
    grant = ResourceOwnerPassword(
        username="ada",
        password="lovelace",
        additional={"otp": "123456"},
        refresh_additional=refresh_additional,
    )
    async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
        await session.token()
        for _ in range(2):
            systems.advance(systems.expires_in)
            await session.token()

    assert systems.violations == ()
    first, *refreshes = [exchange.parameters for exchange in systems.log]
    assert "otp" in first
    assert refreshes == [names, names]


async def test_get_bibcode_skips_authentication(wire: Any) -> None:
    documented = wire(httpx.Response(200, json={"body": "body"}))
    async with documented.session() as session:
        answer = await ads.get_bibcode(
            session, bibcode="bibcode", db_key="db_key", data_type="data_type"
        )

    (request,) = documented.requests
    assert answer == ads.ReturnBibcode("body")
    assert request.method == "GET"
    assert str(request.url) == (
        "http://adsabs.harvard.edu/cgi-bin/nph-bib_query"
        "?bibcode=bibcode&db_key=db_key&data_type=data_type"
    )
    assert "authorization" not in request.headers


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "text/html"])
async def test_a_text_answer_becomes_the_body(wire: Any, content_type: str) -> None:
    """The decision on the historical service, which answers plain text."""
    headers = {"content-type": content_type}
    documented = wire(httpx.Response(200, content=b"%R 1999ApJ...517..565P", headers=headers))
    async with documented.session() as session:
        answer = await ads.get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")

    assert answer.body == "%R 1999ApJ...517..565P"


async def test_json_that_calls_itself_text_is_still_json(wire: Any) -> None:
    headers = {"content-type": "text/json"}
    documented = wire(httpx.Response(200, content=b'{"body": "body"}', headers=headers))
    async with documented.session() as session:
        answer = await ads.get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")

    assert answer.body == "body"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"body": null}', b'{"body": 7}', b"{}"])
async def test_a_bibcode_of_another_form_is_an_endpoint_error(wire: Any, content: bytes) -> None:
    documented = wire(httpx.Response(200, content=content))
    async with documented.session() as session:
        with pytest.raises(EndpointError, match="documented") as caught:
            await ads.get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")

    assert caught.value.status_code == 200
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


async def test_test_sends_the_documented_request_with_the_token(wire: Any) -> None:
    documented = wire(httpx.Response(200, content=b""))
    async with documented.session(origins=["https://www.foofle.com"]) as session:
        answer = await ads.test(session, counter=228, environment=ads.NEW)

    (request,) = documented.requests
    assert answer is None
    assert request.method == "POST"
    assert str(request.url) == "https://www.foofle.com/1.1/test.php"
    assert request.content == b'{"counter":228}'
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == "Bearer at-hand"
    assert request.headers.get_list("content-type") == ["application/json"]
    assert not {"cache-control", "postman-token"} & set(request.headers)


async def test_the_callers_headers_take_the_place_of_the_fixed_ones(wire: Any) -> None:
    """The decision on `content-type`: it is never sent twice."""
    documented = wire(httpx.Response(200, json=None))
    async with documented.session(origins=["https://www.foofle.com"]) as session:
        await ads.test(
            session,
            counter=228,
            cache_control="cache-control",
            content_type="content-type",
            postman_token="postman-token",
            environment=ads.NEW,
        )

    (request,) = documented.requests
    assert request.headers.get_list("content-type") == ["content-type"]
    assert request.headers.get_list("cache-control") == ["cache-control"]
    assert request.headers.get_list("postman-token") == ["postman-token"]


async def test_the_unnamed_server_can_be_named(wire: Any) -> None:
    """The decision on the server that the document leaves unnamed."""
    documented = wire(httpx.Response(200, json=[228]))
    async with documented.session(origins=["https://api.example"]) as session:
        answer = await ads.test(session, counter=228, server="https://api.example/v2")

    assert answer == [228]
    assert str(documented.requests[0].url) == "https://api.example/v2/1.1/test.php"


@pytest.mark.parametrize(
    "content_type,content,expected",
    [
        ("text/html; charset=UTF-8", b"counter 228", "counter 228"),
        ("Text/Plain", b"<html>", "<html>"),
        ("text/html", b'{"counter": 228}', {"counter": 228}),
        ("text/plain", b"228", 228),
        ("text/json", b"[228]", [228]),
    ],
)
async def test_test_may_answer_with_text(
    wire: Any, content_type: str, content: bytes, expected: object
) -> None:
    """No schema is documented, and scripts label JSON as text."""
    headers = {"content-type": content_type}
    documented = wire(httpx.Response(200, content=content, headers=headers))
    async with documented.session(origins=["https://www.foofle.com"]) as session:
        assert await ads.test(session, counter=228, environment=ads.NEW) == expected


@pytest.mark.parametrize("content_type", ["application/json", "text/json", "image/png", ""])
async def test_what_is_neither_json_nor_text_is_an_endpoint_error(
    wire: Any, content_type: str
) -> None:
    headers = {"content-type": content_type}
    documented = wire(httpx.Response(200, content=b"<html>", headers=headers))
    async with documented.session(origins=["https://www.foofle.com"]) as session:
        with pytest.raises(EndpointError, match="not the documented JSON"):
            await ads.test(session, counter=228, environment=ads.NEW)


async def test_the_token_goes_to_no_environment_that_was_not_named(wire: Any) -> None:
    documented = wire()
    async with documented.session() as session:
        with pytest.raises(ConfigurationError, match="origins="):
            await ads.test(session, counter=228, environment=ads.NEW)

    assert documented.requests == []


def test_environments_are_values() -> None:
    assert (ads.PRODUCTION.name, ads.NEW.name) == ("production", "new")
    assert ads.PRODUCTION.default == "http://adsabs.harvard.edu/"
    assert ads.Environment("sandbox", "http://127.0.0.1:8080").default == "http://127.0.0.1:8080/"


def test_a_host_without_a_scheme_is_reached_over_https() -> None:
    """The decision on `WWW.FOOFLE.COM`."""
    assert ads.NEW.default == "https://www.foofle.com/"
    assert ads.authorization_server(ads.NEW).token_endpoint == (
        "https://www.foofle.com/sdf242fgc4544g4vgg4v3sfsfv3"
    )


def test_credentials_go_over_plain_http_only_where_that_was_said() -> None:
    """O2-12: the document's URL is plain http, so it is refused when a request would be made."""
    with pytest.raises(ConfigurationError, match=r"plain http.*allow_plain_http=True"):
        token_request(ads.authorization_server(), CLIENT, PASSWORD)


async def test_calls_that_skip_authentication_need_no_word_about_plain_http(wire: Any) -> None:
    """BT-11: of one session, get_bibcode may go over plain http, and test may not."""
    documented = wire(httpx.Response(200, json={"body": "body"}))
    async with documented.session(server=ads.authorization_server()) as session:
        answer = await ads.get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")
        with pytest.raises(ConfigurationError, match=r"no origin at all.*plain http"):
            await ads.test(session, counter=228)

    assert answer.body == "body"
    assert len(documented.requests) == 1
