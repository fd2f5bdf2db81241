"""`oauthkit discover`, and what it finds wrong with a server."""

import io
from typing import Any

import pytest
from rich.console import Console

from oauthkit import AuthorizationServer
from oauthkit.cli.commands.discover import show
from oauthkit.cli.findings import findings_of, offers_of
from oauthkit.protocol.discovery import parse_metadata_response
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.testing import FakeAuthorizationServer

from .conftest import Invoke

ISSUER = "https://auth.example"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "code_challenge_methods_supported": ["S256"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "authorization_response_iss_parameter_supported": True,
}


def described(**changes: Any) -> AuthorizationServer:
    import json

    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    response = HTTPResponse(200, {"content-type": "application/json"}, json.dumps(members).encode())
    return parse_metadata_response(response, issuer=ISSUER, now=0.0)


def test_nothing_is_wrong_with_a_good_server() -> None:
    assert findings_of(described()) == []


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"token_endpoint": None}, "names no token_endpoint"),
        ({"token_endpoint": "http://auth.example/token"}, "is plain http"),
        ({"revocation_endpoint": "https://127.0.0.1/revoke"}, "is on this machine"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not list it"),
        ({"code_challenge_methods_supported": ["S256", "plain"]}, "PKCE by plain, too"),
        ({"code_challenge_methods_supported": None}, "does not say whether it knows PKCE"),
        ({"response_types_supported": ["token"]}, "has no code"),
        ({"authorization_response_iss_parameter_supported": None}, "which server they come from"),
        ({"grant_types_supported": ["implicit"]}, "the implicit grant"),
        ({"grant_types_supported": ["password"]}, "the password grant"),
        ({"id_token_signing_alg_values_supported": ["none"]}, "which is no signature"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"revocation_endpoint": None}, "no revocation_endpoint"),
        ({"scopes_supported": "openid"}, "scopes_supported is of the wrong kind"),
        ({"grant_types_supported": 5}, "grant_types_supported is of the wrong kind"),
        ({"userinfo_endpoint": ["x"]}, "userinfo_endpoint is of the wrong kind"),
    ],
)
def test_what_is_wrong_with_a_server_is_named(changes: dict[str, Any], words: str) -> None:
    findings = findings_of(described(**changes))

    assert [finding for finding in findings if words in finding]
    assert [finding for finding in findings_of(described()) if words in finding] == []


def test_a_server_that_does_not_list_its_grants_is_not_blamed_for_what_that_means() -> None:
    assert findings_of(described(grant_types_supported=None)) == []
    assert findings_of(described(grant_types_supported=[])) == []
    assert findings_of(described(grant_types_supported=5)) == [
        "grant_types_supported is of the wrong kind, and counts as not said (RFC 8414 §2)"
    ]


def test_a_server_without_logins_is_not_blamed_for_what_only_they_need() -> None:
    """RFC 8414 §2: authorization_endpoint is required where a grant needs it."""
    logins = {name: None for name in GOOD if name not in {"token_endpoint", "revocation_endpoint"}}
    machines: dict[str, Any] = {**logins, "issuer": ISSUER, "grant_types_supported": None}

    assert (
        findings_of(described(**machines | {"grant_types_supported": ["client_credentials"]})) == []
    )
    assert len(findings_of(described(**machines))) == 3


def test_what_a_server_offers_is_shown_by_the_names_of_its_metadata() -> None:
    offers = offers_of(described(scopes_supported=["openid", "\x1b[31mred"]))

    assert offers["issuer"] == ISSUER
    assert offers["scopes_supported"] == "openid \\x1b[31mred"
    assert offers["authorization_response_iss_parameter_supported"] == "yes"
    assert "device_authorization_endpoint" not in offers


@pytest.mark.parametrize("findings", [[], ["a [bold]fault[/bold]"]])
def test_a_terminal_gets_a_table(findings: list[str]) -> None:
    file = io.StringIO()

    show({"issuer": ISSUER}, findings, Console(file=file, width=80, force_terminal=True))

    text = file.getvalue()
    assert "\x1b[1;36missuer" in text
    assert ("nothing is wrong with it" in text) is (findings == [])
    assert all(finding in text for finding in findings)


def test_a_pipe_gets_a_line_for_each_thing(invoke: Invoke, fake: FakeAuthorizationServer) -> None:
    result = invoke("discover", fake.issuer)

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["issuer", fake.issuer]
    assert f"token_endpoint{' ' * 34}{fake.issuer}/token" in lines
    assert lines[-1] == "! it offers the password grant (RFC 9700 §2.4)"


def test_a_server_that_is_none_is_a_failure(invoke: Invoke, fake: FakeAuthorizationServer) -> None:
    fake.fail_next(404, endpoint="metadata", times=2)

    assert invoke("discover", fake.issuer).exit_code == 1


@pytest.mark.parametrize("issuer", ["nonsense", f"{ISSUER}/.well-known/openid-configuration"])
def test_what_is_no_issuer_is_a_wrong_command_line(invoke: Invoke, issuer: str) -> None:
    result = invoke("discover", issuer)

    assert result.exit_code == 2
    assert "issuer" in result.stderr
