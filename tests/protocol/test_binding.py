"""Whose a token is."""

from typing import Any, Final

import attrs
import pytest

from oauthkit import AuthorizationServer, ConfigurationError, Token
from oauthkit.protocol.binding import Binding

A: Final = "https://a.example"
B: Final = "https://b.example"
ALL: Final = Binding(A, f"{A}/token", "app")


@pytest.mark.parametrize(
    "ours, theirs, fits",
    [
        (ALL, ALL, True),
        (ALL, Binding(), True),
        (Binding(), ALL, True),
        (Binding(), Binding(), True),
        # the issuers decide where both are known
        (Binding(A), Binding(A), True),
        (Binding(A), Binding(B), False),
        (Binding(A), Binding(f"{A}/"), False),
        (Binding(A, f"{A}/token"), Binding(A, f"{B}/token"), True),
        (Binding(A, f"{A}/token"), Binding(B, f"{A}/token"), False),
        # else the origins of the token endpoints, where both are known
        (Binding(A, f"{A}/token"), Binding(None, f"{A}/oauth2/token"), True),
        (Binding(A, f"{A}/token"), Binding(None, f"{B}/token"), False),
        (Binding(None, f"{A}/token"), Binding(A, f"{A}:443/token"), True),
        (Binding(None, f"{A}/token"), Binding(B, f"{B}/token"), False),
        (Binding(None, f"{A}/token"), Binding(None, "http://a.example/token"), False),
        (Binding(None, f"{A}/token"), Binding(None, f"{A}:8443/token"), False),
        (Binding(A), Binding(None, f"{B}/token"), True),
        (Binding(None, f"{A}/token"), Binding(B), True),
        # what is no URL is nobody's
        (Binding(None, f"{A}/token"), Binding(None, "no url"), False),
        # and the clients, where both are known
        (Binding(A, None, "app"), Binding(A, None, "app"), True),
        (Binding(A, None, "app"), Binding(A, None, "other"), False),
        (Binding(None, None, "app"), Binding(None, None, "other"), False),
        (Binding(A, None, "app"), Binding(A), True),
        (Binding(A), Binding(A, None, "app"), True),
        (Binding(A, None, "app"), Binding(B, None, "app"), False),
    ],
)
def test_a_token_fits_by_what_both_sides_know(
    ours: Binding, theirs: Binding, *, fits: bool
) -> None:
    token = theirs.bind(Token("a"))

    assert Binding.of_token(token) == theirs
    assert ours.fits(token) is fits


@pytest.mark.parametrize("empty", [None, ""])
def test_what_is_empty_is_not_known(empty: Any) -> None:
    nothing = Binding(empty, empty, empty)

    assert nothing.fits(ALL.bind(Token("a")))
    assert ALL.fits(nothing.bind(Token("a")))
    assert str(nothing) == "an unnamed server for an unnamed client"


def test_a_token_is_bound_to_who_issued_it_and_to_whom() -> None:
    server = AuthorizationServer(f"{A}/token?tenant=secret-canary", issuer=A)
    token = Binding.of(server, "app").bind(Token("a", scope="read"))

    assert token == Token("a", scope="read", issuer=A, token_endpoint=f"{A}/token", client_id="app")


def test_the_error_names_both_and_no_secret() -> None:
    theirs = Token(
        "secret-canary",
        token_endpoint="https://me:secret-canary@b.example/token?key=secret-canary",
        client_id="their\nclient",
        refresh_token="secret-canary",
    )

    with pytest.raises(ConfigurationError) as caught:
        ALL.check(theirs, key="ada")
    told = str(caught.value)
    assert "'ada'" in told
    assert "https://b.example/token for client 'their\\nclient'" in told
    assert f"{A} for client 'app'" in told
    assert "nothing was sent" in told
    assert "canary" not in told


def test_the_error_names_what_is_known() -> None:
    with pytest.raises(ConfigurationError, match=f"by {B} for an unnamed client, and .* asks {A} "):
        ALL.check(Token("a", issuer=B), key="ada")
    with pytest.raises(ConfigurationError, match="by an unnamed server for client 'other'"):
        ALL.check(Token("a", client_id="other", token_endpoint=None), key="ada")
    ALL.check(attrs.evolve(ALL.bind(Token("a")), client_id=None), key="ada")
