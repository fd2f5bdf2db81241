import json
from base64 import b64decode
from pathlib import Path
from typing import Any
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
from tests.asking import authenticated

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6749.json").read_text())
SERVER = AuthorizationServer("https://auth.example/token")


def basic(client_auth: ClientAuth) -> str:
    authentication = authenticated(client_auth, SERVER)
    assert authentication.parameters == {}
    scheme, _, credentials = authentication.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    return b64decode(credentials, validate=True).decode()


def test_basic_credentials_are_the_published_ones() -> None:
    """O2-01, O2-02: RFC 6749 §2.3.1."""
    published = VECTORS["basic"]
    client_auth = ClientSecretBasic(published["client_id"], published["client_secret"])

    assert authenticated(client_auth, SERVER) == Authentication(
        headers={"authorization": published["authorization"]}
    )


@pytest.mark.parametrize(
    "client_id, client_secret",
    [
        ("c:id", "a+b/c d:e%"),
        ("1PpG/Q 1", "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw="),
        ("s6BhdRkqt3", " %&+£€"),
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


def test_raw_credentials_may_have_an_empty_secret() -> None:
    """As some servers give it to installed apps; it does not vanish from the header."""
    assert basic(ClientSecretBasic("installed-app", "", raw=True)) == "installed-app:"


def test_raw_credentials_have_no_colon_in_the_identifier() -> None:
    """O2-03: RFC 7617 §2."""
    with pytest.raises(ConfigurationError, match="colon"):
        ClientSecretBasic("c:id", "secret", raw=True)


def test_a_secret_in_the_body_is_in_the_body_alone() -> None:
    """O2-01, O2-04."""
    authentication = authenticated(ClientSecretPost("id", "a b"), SERVER)

    assert authentication == Authentication(parameters={"client_id": "id", "client_secret": "a b"})


def test_a_public_client_gives_its_name_alone() -> None:
    """O2-13."""
    authentication = authenticated(PublicClient("app"), SERVER)

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


@pytest.mark.parametrize("missing", ["", None, 5, b"x"], ids=repr)
def test_what_is_missing_is_refused_with_words(missing: Any) -> None:
    """It would vanish from the request; a setting that is not there comes so."""
    empty = missing == ""
    no_id = "client_id must be a text that is not empty" if empty else "text"
    no_secret = "client_secret must be a text .* is a PublicClient" if empty else "text"
    with pytest.raises(ConfigurationError, match=no_id):
        PublicClient(missing)
    for kind in (ClientSecretBasic, ClientSecretPost):
        with pytest.raises(ConfigurationError, match=no_id):
            kind(missing, "s")
        with pytest.raises(ConfigurationError, match=no_secret):
            kind("id", missing)


def test_a_value_of_authentication_cannot_be_changed_and_shows_names_alone() -> None:
    made = Authentication(headers={"x": "canary"}, parameters={"y": "canary"})

    assert repr(made) == "Authentication(headers=<'x'>, parameters=<'y'>)"
    with pytest.raises(TypeError):
        made.headers["x"] = "other"  # type: ignore[index]
