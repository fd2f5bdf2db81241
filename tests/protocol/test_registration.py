"""Registering clients, as values."""

import json
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    ErrorResponse,
    InvalidClient,
    PublicClient,
    RegisteredClient,
    ResponseError,
    TLSClientAuth,
)
from oauthkit.client_keys import ClientSecretJWT, PrivateKeyJWT
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.registration import (
    build_management_request,
    build_registration_request,
    parse_deletion_response,
    parse_registration_response,
)
from tests.asking import authenticated

VECTORS: Final = json.loads(
    (Path(__file__).parents[1] / "vectors" / "rfc7591.json").read_text(encoding="utf-8")
)
REQUEST: Final = VECTORS["request_3_1"][0]
ANSWER: Final = VECTORS["response_3_2_1"][0]
KEPT: Final = VECTORS["rfc7592_response"][0]
SERVER = AuthorizationServer(
    "https://server.example.com/token",
    issuer="https://server.example.com",
    registration_endpoint="https://server.example.com/register",
)
SECRET = "a secret of more than thirty-two bytes, as it should be"


def answer(
    fields: dict[str, Any], status: int = 201, *, previous: RegisteredClient | None = None
) -> RegisteredClient:
    content = json.dumps({n: v for n, v in fields.items() if v is not None}).encode()
    response = HTTPResponse(status, {"content-type": "application/json"}, content)
    return parse_registration_response(
        SERVER, response, RegisteredClient, now=0.0, previous=previous
    )


def register(**metadata: Any) -> HTTPRequest:
    return build_registration_request(SERVER, metadata)


def registered(**members: Any) -> RegisteredClient:
    return answer({"client_id": "c", **members})


def test_the_request_is_json_with_a_bearer_token_only_where_there_is_one() -> None:
    """DC-01."""
    open_ = build_registration_request(SERVER, REQUEST)
    assert (open_.method, open_.url) == ("POST", SERVER.registration_endpoint)
    assert json.loads(open_.content) == REQUEST
    assert open_.headers["content-type"] == "application/json"
    assert "authorization" not in open_.headers
    closed = build_registration_request(SERVER, REQUEST, initial_access_token="ey23f2")
    assert closed.headers["authorization"] == "Bearer ey23f2"
    assert closed.secrets == {"ey23f2"}


KEYS: Final = {"keys": [{"kty": "EC", "use": "enc"}, {"kty": "EC"}]}


@pytest.mark.parametrize(
    "listed, metadata, method",
    [
        (("client_secret_basic", "private_key_jwt"), {"jwks": KEYS}, "private_key_jwt"),
        (("client_secret_basic",), {"jwks": KEYS}, None),
        (None, {"jwks": KEYS}, None),
        (("private_key_jwt",), {"jwks": {"keys": KEYS["keys"][:1]}}, None),
        (("private_key_jwt",), {"jwks_uri": "https://app.example/keys"}, None),
        (("private_key_jwt",), {}, None),
        (
            ("private_key_jwt",),
            {"jwks": KEYS, "token_endpoint_auth_method": "client_secret_basic"},
            "client_secret_basic",
        ),
    ],
)
def test_a_client_that_registers_its_keys_is_known_by_them_where_that_can_be(
    listed: tuple[str, ...] | None, metadata: dict[str, Any], method: str | None
) -> None:
    """BC-17: a secret is not what follows from saying nothing."""
    server = attrs.evolve(SERVER, token_endpoint_auth_methods_supported=listed)
    sent = json.loads(build_registration_request(server, metadata).content)

    assert sent.get("token_endpoint_auth_method") == method


def test_the_answer_of_the_rfc_is_a_client_and_keeps_what_is_not_known() -> None:
    """DC-02."""
    client = answer(ANSWER)
    assert (client.client_id, client.client_secret) == ("s6BhdRkqt3", ANSWER["client_secret"])
    assert client.client_secret_expires_at == 2_893_276_800
    assert client.client_id_issued_at == 2_893_256_800
    assert client.issuer == "https://server.example.com"
    assert client.metadata["example_extension_parameter"] == "example_value"
    assert "client_secret" not in client.metadata
    assert "cf136dc3" not in repr(client)


@pytest.mark.parametrize("client_id", [None, 7, ""])
def test_an_answer_without_an_identifier_is_refused(client_id: object) -> None:
    """DC-02."""
    with pytest.raises(ResponseError, match="client_id") as caught:
        answer(ANSWER | {"client_id": client_id})
    assert "cf136dc3" not in str(caught.value)


@pytest.mark.parametrize(
    "odd", [{"client_secret": 7}, {"client_secret_expires_at": True}, {"client_id_issued_at": "1"}]
)
def test_an_answer_with_a_member_of_another_kind_is_refused(odd: dict[str, Any]) -> None:
    """DC-02."""
    with pytest.raises(ResponseError, match=f"{next(iter(odd))} is missing, or of another type"):
        answer(ANSWER | odd)


def test_an_end_that_is_not_said_is_told_from_one_that_never_comes() -> None:
    """DC-03."""
    assert registered(client_secret="s").client_secret_expires_at is None
    never = registered(client_secret="s", client_secret_expires_at=0)
    assert never.client_secret_expires_at == 0
    assert never.client_auth() == ClientSecretBasic("c", "s")


def test_what_the_server_has_registered_counts_and_can_be_compared() -> None:
    """DC-04."""
    client = answer(ANSWER)
    assert client.differences(REQUEST) == {}
    asked = REQUEST | {"grant_types": ["implicit"], "contacts": ["a@b.example"]}
    assert client.differences(asked) == {
        "grant_types": (["implicit"], ["authorization_code", "refresh_token"]),
        "contacts": (["a@b.example"], None),
    }


@pytest.mark.parametrize(
    "members, expected",
    [
        ({"client_secret": "s"}, ClientSecretBasic("c", "s")),
        ({}, PublicClient("c")),
        ({"token_endpoint_auth_method": "none"}, PublicClient("c")),
        (
            {"client_secret": "s", "token_endpoint_auth_method": "client_secret_post"},
            ClientSecretPost("c", "s"),
        ),
        (
            {"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_jwt"},
            ClientSecretJWT("c", SECRET),
        ),
        ({"token_endpoint_auth_method": "tls_client_auth"}, TLSClientAuth("c")),
    ],
)
def test_a_client_is_known_by_what_is_registered(
    members: dict[str, Any], expected: ClientAuth
) -> None:
    """DC-04, DC-05: client_secret_basic where nothing is said and there is a secret."""
    assert registered(**members).client_auth() == expected


def test_a_client_that_signs_needs_its_key() -> None:
    from joserfc.jwk import ECKey

    client = registered(token_endpoint_auth_method="private_key_jwt")
    key = ECKey.generate_key("P-256").as_dict(private=True)
    assert isinstance(client.client_auth(key), PrivateKeyJWT)
    with pytest.raises(ConfigurationError, match="needs key="):
        client.client_auth()


@pytest.mark.parametrize(
    "method, told", [("client_secret_post", "needs a secret"), ("magic", "is not known here")]
)
def test_a_way_to_be_known_that_cannot_be_gone_is_named(method: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        registered(token_endpoint_auth_method=method).client_auth()


@pytest.mark.parametrize("error", VECTORS["errors"])
def test_each_refusal_has_its_own_name(error: str) -> None:
    """DC-06."""
    with pytest.raises(ErrorResponse) as caught:
        answer({"error": error, "error_description": "no"}, 400)
    assert (caught.value.error, caught.value.status_code) == (error, 400)
    with pytest.raises(InvalidClient):
        answer({"error": "invalid_token"}, 401)
    with pytest.raises(ResponseError):
        parse_registration_response(SERVER, HTTPResponse(201), RegisteredClient, now=0.0)


PUBLIC = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}


@pytest.mark.parametrize(
    "metadata, told",
    [
        ({"jwks": {"keys": [PUBLIC]}, "jwks_uri": "https://a.example/keys"}, "exclude each other"),
        ({"jwks": {"keys": [PUBLIC, {**PUBLIC, "d": "canary"}]}}, "has a private key"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "canary"}]}}, "has a private key, or a secret"),
        ({"jwks": {"keys": ["canary"]}}, "jwks is a JWK Set"),
        ({"jwks": [PUBLIC]}, "jwks is a JWK Set"),
        ({"jwks": {"keys": "canary"}}, "jwks is a JWK Set"),
        ({"grant_types": ["implicit"], "response_types": ["code"]}, "do not fit each other"),
        ({"grant_types": ["authorization_code"], "response_types": []}, "do not fit each other"),
        ({"response_types": ["id_token token"]}, "do not fit each other"),
        (
            {"grant_types": ["authorization_code"], "response_types": ["code id_token"]},
            "do not fit each other",
        ),
        ({"id_token_encrypted_response_enc": "A128GCM"}, "needs id_token_encrypted_response_alg"),
        ({"request_object_encryption_enc": "A128GCM"}, "needs request_object_encryption_alg"),
        ({"x": object()}, "must be JSON"),
        ({"x": float("nan")}, "must be JSON"),
    ],
    ids=range(14),
)
def test_metadata_that_contradicts_itself_is_refused_here(
    metadata: dict[str, Any], told: str
) -> None:
    """DC-07, DC-08, DC-09."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        register(**metadata)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"jwks": {"keys": [PUBLIC]}},
        {"jwks_uri": "https://a.example/keys"},
        {"grant_types": ["authorization_code", "implicit"], "response_types": ["code id_token"]},
        {"grant_types": ["client_credentials"], "response_types": []},
        {"grant_types": ["client_credentials"]},
        {"response_types": ["code"]},
        {
            "userinfo_encrypted_response_alg": "ECDH-ES",
            "userinfo_encrypted_response_enc": "A128GCM",
        },
    ],
    ids=range(7),
)
def test_metadata_that_fits_is_sent(metadata: dict[str, Any]) -> None:
    """DC-07, DC-08, DC-09."""
    assert json.loads(register(**metadata).content) == metadata


async def test_a_secret_is_not_sent_after_its_end() -> None:
    """DC-10."""
    client = answer(ANSWER)
    known = client.client_auth()
    assert known.client_id == "s6BhdRkqt3"
    expected = authenticated(ClientSecretBasic("s6BhdRkqt3", ANSWER["client_secret"]), SERVER)
    ends = 2_893_276_800.0
    url = SERVER.token_endpoint
    assert await known.authenticate(SERVER, endpoint=url, now=ends - 1) == expected
    with pytest.raises(ConfigurationError, match=r"expired at 2061-.*read_registration"):
        await known.authenticate(SERVER, endpoint=url, now=ends)
    assert "cf136dc3" not in repr(known)


@pytest.mark.parametrize("ends", [-1.0, -1e300])
async def test_an_absurd_end_of_a_secret_is_one(ends: float) -> None:
    """DC-10."""
    known = answer(ANSWER | {"client_secret_expires_at": ends}).client_auth()

    with pytest.raises(ConfigurationError, match="expired at 1970-01-01"):
        await known.authenticate(SERVER, endpoint=SERVER.token_endpoint, now=0.0)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_registration_is_looked_after_where_the_server_said(method: str) -> None:
    """DC-11."""
    uri = f"{KEPT['registration_client_uri']}?a=%2F&b"
    client = answer(KEPT | {"registration_client_uri": uri})
    made = build_management_request(SERVER, method, client)
    assert (made.method, made.url, made.content) == (method, uri, b"")
    assert made.headers["authorization"] == "Bearer reg-23410913-abewfq.123483"
    assert "content-type" not in made.headers
    assert "reg-2341" not in repr(client)


def test_what_the_server_gave_nothing_to_look_after_with_is_left_alone() -> None:
    """DC-11."""
    elsewhere = AuthorizationServer("https://a.example/token", issuer="https://a.example")
    for client, server, told in [
        (answer(ANSWER), SERVER, "cannot be looked after here"),
        (answer(KEPT | {"registration_client_uri": None}), SERVER, "cannot be looked after here"),
        (answer(KEPT | {"registration_access_token": None}), SERVER, "cannot be looked after here"),
        (answer(KEPT), elsewhere, "was registered with https://server.example.com, not https://a"),
    ]:
        with pytest.raises(ConfigurationError, match=told):
            build_management_request(server, "GET", client)


@pytest.mark.parametrize(
    "rotated",
    [
        {"client_secret": "new"},
        {"registration_access_token": "new", "registration_client_uri": "https://a.example/new"},
    ],
    ids=["secret", "token"],
)
def test_what_the_server_changes_takes_the_place_of_what_was(rotated: dict[str, str]) -> None:
    """DC-12."""
    before = answer(KEPT)
    after = answer(KEPT | rotated, 200, previous=before)
    for name, text in rotated.items():
        assert getattr(after, name) == text
        assert getattr(before, name) != text


def test_what_an_answer_leaves_out_goes_on() -> None:
    """DC-12: unless the client has no secret any more."""
    before = answer(KEPT)
    silent = {"client_id": "s6BhdRkqt3"}
    after = answer(silent, 200, previous=before)
    for name in ("client_secret", "client_secret_expires_at", "registration_access_token"):
        assert getattr(after, name) == getattr(before, name)
    assert after.registration_client_uri == before.registration_client_uri
    public = answer(silent | {"token_endpoint_auth_method": "none"}, 200, previous=before)
    assert public.client_secret is None


def test_an_answer_about_another_client_takes_the_place_of_none() -> None:
    """DC-12: whoever keeps it has lost the client, and the secret goes with no other."""
    with pytest.raises(ResponseError, match="another client"):
        answer(KEPT | {"client_id": "other"}, 200, previous=answer(KEPT))


def test_an_update_says_everything_but_what_the_server_says() -> None:
    """DC-13."""
    client = answer(KEPT)
    made = build_management_request(SERVER, "PUT", client, KEPT | {"client_name": "New"})
    said = json.loads(made.content)
    assert (made.method, made.headers["content-type"]) == ("PUT", "application/json")
    assert said["client_id"] == "s6BhdRkqt3"
    assert said["client_name"] == "New"
    assert said["client_secret"] == KEPT["client_secret"]
    assert not {*VECTORS["must_not_send_in_put"]} & said.keys()
    bare = json.loads(build_management_request(SERVER, "PUT", client, {"x": 1}).content)
    assert bare == {"x": 1, "client_id": "s6BhdRkqt3"}


@pytest.mark.parametrize(
    "change, told",
    [
        ({"client_secret": "chosen"}, "client_secret is the server's to choose"),
        ({"client_id": "chosen"}, "client_id is the server's to choose"),
        ({"jwks": {"keys": [{"d": "x"}]}}, "exclude each other|private key"),
    ],
)
def test_an_update_that_chooses_what_is_the_servers_is_refused(
    change: dict[str, Any], told: str
) -> None:
    """DC-13."""
    with pytest.raises(ConfigurationError, match=told):
        build_management_request(SERVER, "PUT", answer(KEPT), {**change})


@pytest.mark.parametrize(
    "status, told",
    [
        (401, "is gone"),
        (403, "by what the server allows"),
        (404, "not to be found"),
        (405, "does not support it"),
    ],
)
def test_what_becomes_of_looking_after_a_registration_is_told_apart(status: int, told: str) -> None:
    """DC-14."""
    refusal = HTTPResponse(status, {"content-type": "application/json"}, b'{"error":"x"}')
    with pytest.raises(ResponseError, match=told) as caught:
        parse_deletion_response(SERVER, refusal, now=0.0)
    assert caught.value.status_code == status
    with pytest.raises(ResponseError, match=told):
        answer({"error": "x"}, status, previous=answer(KEPT))
    parse_deletion_response(SERVER, HTTPResponse(204), now=0.0)


@pytest.mark.parametrize("url", ["http://server.example.com/register", "ftp://a.example", "/r"])
def test_nothing_is_sent_to_plain_http(url: str) -> None:
    """DC-15."""
    server = AuthorizationServer(
        "https://server.example.com/token",
        issuer="https://server.example.com",
        metadata={"registration_endpoint": url},
    )
    with pytest.raises(ConfigurationError):
        build_registration_request(server, {})
    with pytest.raises(ConfigurationError):
        build_management_request(SERVER, "GET", answer(KEPT | {"registration_client_uri": url}))


def test_nothing_is_sent_to_this_machine_because_a_document_from_elsewhere_says_so() -> None:
    """DC-15: as for every endpoint that metadata names."""
    found = attrs.evolve(SERVER, metadata={"registration_endpoint": "https://a.example/register"})
    here = answer(KEPT | {"registration_client_uri": "http://127.0.0.1:8500/v1/kv"})

    with pytest.raises(ConfigurationError, match="is on this machine, and the issuer is not"):
        build_management_request(found, "DELETE", here)


def test_a_redirect_is_an_error() -> None:
    """DC-15, AT-28."""
    redirect = HTTPResponse(307, {"location": "https://evil.example"})
    with pytest.raises(ResponseError, match="redirect"):
        parse_registration_response(SERVER, redirect, RegisteredClient, now=0.0)
    with pytest.raises(ResponseError, match="redirect"):
        parse_deletion_response(SERVER, redirect, now=0.0)


def test_a_token_that_would_break_out_of_the_header_is_refused() -> None:
    """AT-63."""
    with pytest.raises(ConfigurationError, match="visible ASCII"):
        build_registration_request(SERVER, {}, initial_access_token="a\r\nx: y")


def test_a_client_is_kept_and_restored() -> None:
    client = answer(KEPT)
    kept = json.loads(json.dumps(client.to_dict()))
    assert RegisteredClient.from_dict(kept) == client
    assert RegisteredClient.from_dict(kept | {"later": 1}).to_dict() == kept | {"later": 1}


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"client_id": None}, {"client_secret": 7}, {"metadata": None}]
)
def test_a_damaged_or_newer_record_is_refused(change: dict[str, Any]) -> None:
    kept = answer(KEPT).to_dict() | change
    with pytest.raises(ConfigurationError, match="a kept client must be") as caught:
        RegisteredClient.from_dict(kept)
    assert "cf136dc3" not in str(caught.value)
    wrong: Any = 7
    with pytest.raises(ConfigurationError, match="it is no such dict"):
        RegisteredClient.from_dict(wrong)
