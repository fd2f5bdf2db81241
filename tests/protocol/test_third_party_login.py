"""Several servers at one client, and logins that somebody else begins."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import pytest

from oauthkit.errors import CallbackError, ConfigurationError
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.several_servers import servers_by_issuer
from oauthkit.protocol.third_party_login import ThirdPartyLogin, third_party_login

ISSUER = "https://auth.example"


def server(name: str, *, says_who: bool = True) -> AuthorizationServer:
    return AuthorizationServer(
        f"https://{name}.example/token",
        issuer=f"https://{name}.example",
        authorization_endpoint=f"https://{name}.example/authorize",
        authorization_response_iss_parameter_supported=says_who,
    )


def asked(**parameters: str) -> ThirdPartyLogin:
    return third_party_login(
        urlencode({"iss": ISSUER, **parameters}), issuers=[ISSUER], site="https://app.example"
    )


# Several servers


def test_servers_that_say_who_they_are_can_be_told_apart() -> None:
    """BC-07, AT-02."""
    one, two = server("one"), server("two")

    assert servers_by_issuer([one, two]) == {"https://one.example": one, "https://two.example": two}
    assert servers_by_issuer([]) == {}


def test_two_servers_with_one_issuer_are_refused() -> None:
    """IS-06."""
    with pytest.raises(ConfigurationError, match=r"'https://one\.example' is that of two"):
        servers_by_issuer(
            [server("one"), attrs.evolve(server("one"), token_endpoint="https://x.y/")]
        )
    with pytest.raises(ConfigurationError, match="or of none"):
        servers_by_issuer([AuthorizationServer("https://one.example/token")])


def test_a_silent_server_among_several_needs_a_redirect_uri_of_its_own() -> None:
    """AT-02, BC-07, BC-08: alone it can be mistaken for no other."""
    one, silent = server("one"), server("silent", says_who=False)

    with pytest.raises(ConfigurationError, match=r"https://silent\.example .* redirect_uri"):
        servers_by_issuer([one, silent])
    assert len(servers_by_issuer([one, silent], own_redirect_uris=True)) == 2
    assert len(servers_by_issuer([silent])) == 1


def test_what_is_no_server_is_refused() -> None:
    several: Any = [server("one"), "https://two.example"]

    with pytest.raises(ConfigurationError, match="a server takes an AuthorizationServer"):
        servers_by_issuer(several)


# A login that somebody else begins


def test_what_was_asked_for_begins_a_login_of_ones_own() -> None:
    """OC-31: with a state that the third party does not know."""
    begun = asked(login_hint="ada@example.com", target_link_uri="https://app.example/a?b=c#d")
    auth = server("auth")
    request = AuthorizationRequest.new(
        servers_by_issuer([auth])[begun.issuer],
        "reader",
        redirect_uri="https://app.example/callback",
        login_hint=begun.login_hint,
        return_to=begun.return_to,
    )

    assert (begun.issuer, begun.return_to) == (ISSUER, "/a?b=c#d")
    assert parse_qs(urlsplit(request.url).query)["login_hint"] == ["ada@example.com"]
    assert request.return_to == "/a?b=c#d"
    assert request.state
    assert "ada" not in repr(begun)


def test_a_server_alone_is_enough() -> None:
    """OC-31."""
    assert asked() == ThirdPartyLogin(issuer=ISSUER)
    assert asked(login_hint="", target_link_uri="") == ThirdPartyLogin(issuer=ISSUER)
    assert asked(target_link_uri="https://APP.example:443").return_to == "/"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://evil.example",
        "https://auth.example/",
        "https://AUTH.example",
        "http://auth.example",
    ],
)
def test_another_server_is_refused(issuer: str) -> None:
    """OC-31, AT-05: compared byte by byte, and not repeated."""
    with pytest.raises(CallbackError, match="none of ours") as caught:
        asked(iss=issuer)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "http://app.example/",
        "https://app.example:8443/",
        "//app.example/",
        "/inbox",
        "javascript:alert(1)",
        "https://app.example//evil.example",
        "https://app.example/%2f%2fevil.example",
        "https://app.example/\\evil.example",
        "https://app.example/a\r\nb",
    ],
)
def test_a_target_on_another_site_is_refused(target: str) -> None:
    """OC-31, AT-17."""
    with pytest.raises(CallbackError, match="not of this site"):
        asked(target_link_uri=target)


@pytest.mark.parametrize(
    "query", ["", "login_hint=ada", "iss=", f"iss={ISSUER}&iss={ISSUER}", None]
)
def test_what_is_no_such_request_is_refused(query: Any) -> None:
    """OC-31."""
    with pytest.raises((CallbackError, ConfigurationError), match=r"iss once|takes a text"):
        third_party_login(query, issuers=[ISSUER], site="https://app.example")


def test_the_site_must_be_an_origin() -> None:
    with pytest.raises(ConfigurationError, match="absolute"):
        third_party_login(f"iss={ISSUER}", issuers=[ISSUER], site="app.example")


def test_one_text_is_no_list_of_issuers() -> None:
    """OC-31: whatever stands in the text would be one of ours, `https` for example."""
    with pytest.raises(ConfigurationError, match="issuers= is a list"):
        third_party_login("iss=https", issuers=ISSUER, site="https://app.example")
