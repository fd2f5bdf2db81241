from typing import Any

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.server import AuthorizationServer, rename_fields


def test_the_token_endpoint_is_enough() -> None:
    server = AuthorizationServer("https://auth.example:8443/token?tenant=x")

    assert server.token_endpoint == "https://auth.example:8443/token?tenant=x"
    assert server.origin == Origin("https", "auth.example", 8443)


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "issuer"])
@pytest.mark.parametrize(
    "url",
    ["http://auth.example/", "https://auth.example/#a", "/token", "javascript:alert(1)", ""],
)
def test_every_url_is_checked_at_once(name: str, url: str) -> None:
    """O2-05, O2-12, AT-34."""
    urls = {"token_endpoint": "https://auth.example/token", name: url}

    with pytest.raises(ConfigurationError, match=name):
        AuthorizationServer(**urls)  # type: ignore[arg-type]


def test_a_token_endpoint_that_is_missing_is_found_at_once() -> None:
    """O2-05: as a setting that nobody made comes as None."""
    with pytest.raises(ConfigurationError, match="token_endpoint= takes a text, not None"):
        AuthorizationServer(None)  # type: ignore[arg-type]


def test_plain_http_is_taken_where_it_is_asked_for() -> None:
    """O2-12."""
    server = AuthorizationServer("http://auth.example/token", allow_plain_http=True)

    assert not server.origin.confidential


def test_a_server_that_always_sends_iss_has_an_issuer() -> None:
    """IS-03."""
    with pytest.raises(ConfigurationError, match="issuer="):
        AuthorizationServer(
            "https://auth.example/token", authorization_response_iss_parameter_supported=True
        )


@pytest.mark.parametrize("status", [0, 100, 199, 300, 400, "200"], ids=repr)
def test_a_token_comes_with_no_other_status_than_a_successful_one(status: Any) -> None:
    with pytest.raises(ConfigurationError, match="success_status="):
        AuthorizationServer("https://auth.example/token", success_status=status)


def test_fields_get_the_names_of_the_rfc_and_others_stay() -> None:
    adapt = rename_fields({"AccessToken": "access_token", "ValidFor": "expires_in"})

    assert adapt({"AccessToken": "a", "ValidFor": 5, "more": 1}) == {
        "access_token": "a",
        "expires_in": 5,
        "more": 1,
    }


def test_a_dotted_name_reaches_into_objects() -> None:
    adapt = rename_fields(
        {"data.user.token": "access_token", "data.none": "scope", "a.b": "id_token"}
    )

    fields = {"data": {"user": {"token": "t"}, "none": None}, "a.b": "i"}
    assert adapt(fields) == {"data": fields["data"], "access_token": "t", "id_token": "i"}


@pytest.mark.parametrize(
    "fields", [{}, {"data": None}, {"data": "text"}, {"data": []}, {"data": {"tok": 1}}], ids=repr
)
def test_what_is_not_there_is_not_renamed(fields: dict[str, object]) -> None:
    assert rename_fields({"data.token": "access_token", "": "x"})(fields) == fields
