"""The exchange of tokens, as values."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientSecretBasic,
    ConfigurationError,
    ErrorResponse,
    JSONRequest,
    Recovery,
    Repeat,
    ResponseError,
    Token,
    TokenExchange,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.token_endpoint import parse_token_response
from tests.asking import token_request

VECTORS: Final = json.loads(
    (Path(__file__).parents[1] / "vectors" / "rfc8693.json").read_text(encoding="utf-8")
)
TYPES: Final = VECTORS["token_types"]
SERVER = AuthorizationServer("https://auth.example/token")
CLIENT = ClientSecretBasic("app", "s3cret")


def exchange(**members: Any) -> TokenExchange:
    given: dict[str, Any] = {"subject_token": "subject", "subject_token_type": "access_token"}
    return TokenExchange(**given | members)


def sent(grant: TokenExchange) -> list[tuple[str, str]]:
    return parse_qsl(token_request(SERVER, CLIENT, grant).content.decode())


def answered(grant: TokenExchange, status: int = 200, /, **members: Any) -> Token:
    fields = VECTORS["responses"][0] | members if status == 200 else members
    content = json.dumps({n: v for n, v in fields.items() if v is not None}).encode()
    response = HTTPResponse(status, {"content-type": "application/json"}, content)
    return parse_token_response(
        SERVER,
        response,
        requested_at=0.0,
        grant_type=grant.grant_type,
        objection=grant.objection,
    )


def test_the_request_has_the_grants_name_the_subject_token_and_its_type() -> None:
    """TX-01."""
    assert sent(exchange()) == [
        ("grant_type", VECTORS["grant_type"]),
        ("subject_token", "subject"),
        ("subject_token_type", TYPES["access_token"]),
    ]


def test_all_that_may_be_said_is_said_in_the_rfcs_names() -> None:
    """TX-01, TX-02: what may be repeated is repeated, in the order given."""
    grant = exchange(
        actor_token="actor",
        actor_token_type="jwt",
        resource=["https://b.example/x", "urn:a"],
        audience=["two", "one"],
        scope="read write",
        requested_token_type="id-jag",
    )
    assert sent(grant)[3:] == [
        ("actor_token", "actor"),
        ("actor_token_type", TYPES["jwt"]),
        ("resource", "https://b.example/x"),
        ("resource", "urn:a"),
        ("audience", "two"),
        ("audience", "one"),
        ("scope", "read write"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
    ]
    assert grant.requested_scope == "read write"


def test_one_resource_is_given_as_a_text() -> None:
    """TX-02."""
    assert ("resource", "https://a.example") in sent(exchange(resource="https://a.example"))
    assert ("audience", "a") in sent(exchange(audience="a"))
    assert exchange(resource=None).resource == ()


def test_a_server_that_reads_json_is_given_lists() -> None:
    grant = exchange(resource=["urn:a", "urn:b"], request_format=JSONRequest())
    assert json.loads(token_request(SERVER, CLIENT, grant).content)["resource"] == [
        "urn:a",
        "urn:b",
    ]


@pytest.mark.parametrize("resource", ["/orders", "orders", "https://a.example/#x", "https://a b"])
def test_a_resource_that_is_relative_or_has_a_fragment_is_refused(resource: str) -> None:
    """TX-02."""
    with pytest.raises(ConfigurationError, match="must be an absolute URI without a fragment"):
        exchange(resource=resource)


@pytest.mark.parametrize("name", [*TYPES, "id-jag"])
def test_registered_types_have_short_names(name: str) -> None:
    expected = TYPES.get(name, f"urn:ietf:params:oauth:token-type:{name}")
    grant = exchange(subject_token_type=name, requested_token_type=expected)
    assert (grant.subject_token_type, grant.requested_token_type) == (expected, expected)


def test_any_other_uri_is_a_type_too() -> None:
    uri = "urn:ietf:params:aws:token-type:aws4_request"
    assert exchange(subject_token_type=uri).subject_token_type == uri


@pytest.mark.parametrize(
    "members, told",
    [
        ({"subject_token": ""}, "subject_token must be a text that is not empty"),
        ({"subject_token": 7}, "subject_token= takes a text or something that can be called"),
        ({"subject_token_type": None}, "must say what the subject_token is"),
        ({"subject_token_type": "bearer"}, "one of access_token, id_token, .* it is not 'bearer'"),
        ({"subject_token_type": 7}, "it is not an int"),
        ({"actor_token": "x"}, "there together, or neither is"),
        ({"actor_token_type": "jwt"}, "there together, or neither is"),
        ({"actor_token": "", "actor_token_type": "jwt"}, "actor_token must be a text"),
        ({"audience": [""]}, "audience= takes a text that is not empty, or several"),
        ({"resource": [7]}, "resource= takes a text that is not empty, or several"),
        ({"requested_token_type": "a b"}, "a token type is a URI"),
        ({"scope": 'a"b'}, "scope token"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    members: dict[str, Any], told: str
) -> None:
    """TX-01."""
    with pytest.raises(ConfigurationError, match=told):
        exchange(**members)


def test_what_was_issued_is_with_the_token() -> None:
    token = answered(exchange())
    assert token.extra["issued_token_type"] == TYPES["access_token"]
    assert BEARER.authorization(token).startswith("Bearer eyJ")


def test_an_answer_that_does_not_say_what_was_issued_is_refused_unless_told_otherwise() -> None:
    """TX-03."""
    with pytest.raises(ResponseError, match="issued_token_type is required") as caught:
        answered(exchange(), issued_token_type=None)
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert "eyJ" not in str(caught.value)
    tolerant = exchange(issued_token_type_required=False)
    assert answered(tolerant, issued_token_type=None).extra == {}


def test_another_type_than_was_asked_for_is_refused() -> None:
    """TX-07."""
    for asked in ("id-jag", "id_token", "refresh_token"):
        wanted = exchange(requested_token_type=asked)
        uri = wanted.requested_token_type
        assert ("requested_token_type", uri) in sent(wanted)
        assert answered(wanted, issued_token_type=uri).extra["issued_token_type"] == uri
        with pytest.raises(ResponseError, match=f"{asked} was asked for, and one of type .*jwt"):
            answered(wanted, issued_token_type=TYPES["jwt"])
    with pytest.raises(ResponseError, match="must be a text"):
        answered(exchange(), issued_token_type=7)


def test_a_token_class_may_declare_the_type_as_a_field() -> None:
    @attrs.frozen
    class Exchanged(Token):
        issued_token_type: str | None = None

    token = Exchanged("t", issued_token_type=TYPES["jwt"])
    assert exchange(requested_token_type="jwt").objection(token) is None


def test_what_is_no_access_token_is_never_shown_to_an_api() -> None:
    """TX-04, AT-67."""
    (other,) = [r for r in VECTORS["responses"] if r["token_type"] == "N_A"]
    token = answered(exchange(), **other)
    assert token.access_token
    for spelled in ("N_A", "n_a"):
        with pytest.raises(ResponseError, match=r"is no access token .*hand it on"):
            BEARER.authorization(attrs.evolve(token, token_type=spelled))


@pytest.mark.parametrize("error", ["invalid_request", "invalid_target", "invalid_scope"])
def test_a_refusal_is_typed(error: str) -> None:
    """TX-06."""
    with pytest.raises(ErrorResponse) as caught:
        answered(exchange(), 400, error=error, error_description="not for you")
    assert (caught.value.error, caught.value.recovery) == (error, Recovery.CHANGE_REQUEST)


def test_an_exchange_carries_nothing_over_and_may_be_repeated() -> None:
    """TX-05: a refresh token belongs to the token that it came with."""
    before = Token("a", refresh_token="r", scope="read", id_token="i")
    assert exchange().carried_over(before) is None
    assert exchange().repeat is Repeat.ALWAYS
    assert exchange().presents is None


def test_nothing_secret_is_shown() -> None:
    async def supply() -> str:
        return "canary"

    grant = exchange(subject_token="canary", actor_token=supply, actor_token_type="jwt")
    assert "canary" not in repr(grant)
    assert "subject_token='***', " in repr(grant)
    assert "actor_token=<supplied>" in repr(grant)
    assert "actor_token=None" in repr(exchange())
    assert "canary" in token_request(SERVER, CLIENT, grant).secrets


async def test_what_is_supplied_is_asked_for_and_what_is_given_stays() -> None:
    async def supply() -> str:
        return "supplied"

    supplied = exchange(subject_token=supply)
    both = exchange(actor_token=supply, actor_token_type="jwt")
    plain = exchange(actor_token="actor", actor_token_type="jwt")
    for grant, tokens in [
        (supplied, ("supplied", None)),
        (both, ("subject", "supplied")),
        (plain, ("subject", "actor")),
    ]:
        ready = await grant.prepared(SERVER, client_id="app", now=0.0)
        parameters = ready.parameters()
        assert (parameters["subject_token"], parameters["actor_token"]) == tokens
    assert supplied.parameters()["subject_token"] is None
