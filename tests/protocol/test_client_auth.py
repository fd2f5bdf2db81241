import json
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.client_auth import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from oauthkit.protocol.server import AuthorizationServer

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6749.json").read_text())
SERVER = AuthorizationServer("https://auth.example/token")


def basic(client_auth: ClientAuth) -> str:
    authentication = client_auth.authenticate(SERVER)
    assert authentication.parameters == {}
    scheme, _, credentials = authentication.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    return b64decode(credentials, validate=True).decode()


def test_basic_credentials_are_the_published_ones() -> None:
    """O2-01, O2-02: RFC 6749 §2.3.1."""
    published = VECTORS["basic"]
    client_auth = ClientSecretBasic(published["client_id"], published["client_secret"])

    assert client_auth.authenticate(SERVER) == Authentication(
        headers={"authorization": published["authorization"]}
    )


@pytest.mark.parametrize(
    "client_id, client_secret",
    [
        ("c:id", "a+b/c d:e%"),
        ("1PpG/Q 1", "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw="),
        ("s6BhdRkqt3", " %&+£€"),
        ("reporter", ""),
        ("ключ", "😀"),
    ],
)
def test_basic_credentials_are_form_encoded_first(client_id: str, client_secret: str) -> None:
    """O2-02: joined by the only colon, a space as %20, never as +."""
    credentials = basic(ClientSecretBasic(client_id, client_secret))

    encoded_id, colon, encoded_secret = credentials.partition(":")
    assert (unquote_plus(encoded_id), colon, unquote_plus(encoded_secret)) == (
        client_id,
        ":",
        client_secret,
    )
    assert credentials.isascii()
    assert "+" not in credentials


def test_raw_credentials_go_out_as_they_are() -> None:
    """O2-03."""
    assert basic(ClientSecretBasic("id", "a+b/c d:e%ä", raw=True)) == "id:a+b/c d:e%ä"


def test_raw_credentials_have_no_colon_in_the_identifier() -> None:
    """O2-03: RFC 7617 §2."""
    with pytest.raises(ConfigurationError, match="colon"):
        ClientSecretBasic("c:id", "secret", raw=True)


def test_a_secret_in_the_body_is_in_the_body_alone() -> None:
    """O2-01, O2-04."""
    authentication = ClientSecretPost("id", "a b").authenticate(SERVER)

    assert authentication == Authentication(parameters={"client_id": "id", "client_secret": "a b"})


def test_a_public_client_gives_its_name_alone() -> None:
    """O2-13."""
    authentication = PublicClient("app").authenticate(SERVER)

    assert authentication == Authentication(parameters={"client_id": "app"})


def test_only_a_client_with_a_proof_is_confidential() -> None:
    assert not PublicClient("app").confidential
    assert ClientSecretBasic("a", "b").confidential
    assert ClientSecretPost("a", "b").confidential


@pytest.mark.parametrize("bad", ["a\r\nb", "a\n", "a\x00b", "a\x7f", "\ud800"], ids=ascii)
def test_control_characters_are_refused_before_any_request(bad: str) -> None:
    """AT-63: RFC 6749 Appendix A.1, A.2."""
    with pytest.raises(ConfigurationError, match="client_id"):
        PublicClient(bad)
    with pytest.raises(ConfigurationError, match="client_id"):
        ClientSecretBasic(bad, "secret")
    with pytest.raises(ConfigurationError, match="client_id"):
        ClientSecretPost(bad, "secret")
    with pytest.raises(ConfigurationError, match="client_secret"):
        ClientSecretBasic("id", bad)
    with pytest.raises(ConfigurationError, match="client_secret"):
        ClientSecretPost("id", bad)
