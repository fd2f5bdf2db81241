from collections.abc import Mapping
from typing import Any

import attrs
import pytest

import oauthkit
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import JSON, MULTIPART, ParameterValue
from oauthkit.protocol.grants import (
    AuthorizationCode,
    ClientCredentials,
    GrantStrategy,
    RefreshToken,
    Repeat,
    ResourceOwnerPassword,
    scope_text,
)
from oauthkit.protocol.secret import secret
from oauthkit.protocol.token import Token

VERIFIER = "v" * 43


@attrs.frozen(kw_only=True)
class OnBehalfOf(GrantStrategy):
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    repeat = Repeat.ALWAYS
    assertion: str = secret()

    def parameters(self) -> Mapping[str, ParameterValue]:
        return {"assertion": self.assertion, "requested_token_use": "on_behalf_of"}


@pytest.mark.parametrize(
    "scope, text",
    [
        (None, None),
        ("", None),
        ("  ", None),
        ([], None),
        ("read", "read"),
        (" read  write ", "read write"),
        (["read", "write"], "read write"),
        (("a:b/c", "!#[]~"), "a:b/c !#[]~"),
        ("urn:example:channel=HBO&urn:example:rating=G,PG-13",) * 2,
    ],
    ids=repr,
)
def test_a_scope_is_one_space_separated_text(
    scope: str | list[str] | None, text: str | None
) -> None:
    """O2-14."""
    assert scope_text(scope) == text
    assert ClientCredentials(scope=scope).scope == text


@pytest.mark.parametrize(
    "scope",
    ['a"b', "a\\b", "é", "a\x7f", "a\x00b", [""], ["a b"], ["a\n"], ["a", 'b"'], [1]],
    ids=repr,
)
def test_a_scope_token_with_a_forbidden_character_is_refused(scope: Any) -> None:
    """O2-14: RFC 6749 §3.3."""
    with pytest.raises(ConfigurationError, match="scope token"):
        scope_text(scope)


@pytest.mark.parametrize(
    "grant, grant_type, parameters",
    [
        (ClientCredentials(scope="a b"), "client_credentials", {"scope": "a b"}),
        (
            AuthorizationCode(code="c", redirect_uri="https://a.example/", code_verifier=VERIFIER),
            "authorization_code",
            {"code": "c", "redirect_uri": "https://a.example/", "code_verifier": VERIFIER},
        ),
        (
            AuthorizationCode(code="c"),
            "authorization_code",
            {"code": "c", "redirect_uri": None, "code_verifier": None},
        ),
        (
            RefreshToken(refresh_token="r", scope=["a"]),
            "refresh_token",
            {"refresh_token": "r", "scope": "a"},
        ),
        (
            ResourceOwnerPassword(username="u", password="p"),
            "password",
            {"username": "u", "password": "p", "scope": None},
        ),
    ],
    ids=["client", "code", "bare_code", "refresh", "password"],
)
def test_a_grant_gives_its_parameters(
    grant: GrantStrategy, grant_type: str, parameters: dict[str, str | None]
) -> None:
    """O2-21, PK-04."""
    assert grant.grant_type == grant_type
    assert grant.parameters() == parameters


def test_a_code_verifier_is_checked() -> None:
    """PK-02."""
    with pytest.raises(ConfigurationError, match="code_verifier"):
        AuthorizationCode(code="c", code_verifier="short")


def test_a_right_is_repeated_as_often_as_it_may_be() -> None:
    """AT-81."""
    assert AuthorizationCode.repeat is Repeat.NEVER
    assert RefreshToken.repeat is Repeat.ONCE
    assert ClientCredentials.repeat is Repeat.ALWAYS
    assert ResourceOwnerPassword.repeat is Repeat.ALWAYS


def test_client_credentials_ask_again_and_rely_on_no_refresh_token() -> None:
    """O2-25."""
    grant = ClientCredentials(scope="a")

    assert grant.renewal(Token("a", refresh_token="r")) is grant


@pytest.mark.parametrize(
    "grant",
    [
        AuthorizationCode(code="c", request_format=MULTIPART, additional={"tenant": "x"}),
        ResourceOwnerPassword(
            username="u", password="p", request_format=MULTIPART, additional={"tenant": "x"}
        ),
    ],
    ids=lambda grant: grant.grant_type,
)
def test_a_token_is_renewed_by_its_refresh_token_in_the_same_format(grant: GrantStrategy) -> None:
    assert grant.renewal(Token("a", refresh_token="r")) == RefreshToken(
        refresh_token="r", request_format=MULTIPART, additional={"tenant": "x"}
    )


def test_without_a_refresh_token_only_a_repeatable_right_renews() -> None:
    """AT-81: a code is never sent twice."""
    password = ResourceOwnerPassword(username="u", password="p")

    assert password.renewal(Token("a")) is password
    assert AuthorizationCode(code="c").renewal(Token("a")) is None
    assert RefreshToken(refresh_token="r").renewal(Token("a")) is None


def test_a_refresh_goes_on_with_the_newest_refresh_token() -> None:
    """O2-36."""
    grant = RefreshToken(refresh_token="old", scope="a", request_format=JSON)

    renewed = grant.renewal(Token("a", refresh_token="new", scope="a b"))

    assert renewed == RefreshToken(refresh_token="new", scope="a", request_format=JSON)


@pytest.mark.parametrize("granted", ["a", None])
def test_a_refresh_asks_for_no_more_than_was_granted(granted: str | None) -> None:
    """O2-37."""
    token = Token("a", refresh_token="r", scope=granted)

    assert RefreshToken(refresh_token="r", scope="a").renewal(token) is not None
    assert RefreshToken(refresh_token="r").renewal(token) is not None


def test_a_wider_refresh_is_refused_here() -> None:
    """O2-37."""
    grant = RefreshToken(refresh_token="r", scope="a c b")

    with pytest.raises(ConfigurationError, match="'b c'"):
        grant.renewal(Token("a", refresh_token="r", scope="a"))


def test_a_grant_of_ones_own_writes_two_things() -> None:
    """O2-26."""
    grant = OnBehalfOf(assertion="jwt")

    assert grant.renewal(Token("a")) is grant
    assert grant.renewal(Token("a", refresh_token="r")) == RefreshToken(refresh_token="r")


def test_one_grant_alone_sends_a_password_and_its_name_and_first_line_say_so() -> None:
    """O2-23."""
    public = {name: getattr(oauthkit, name) for name in oauthkit.__all__}
    grants = {
        name: value
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, GrantStrategy)
    }
    sending = {
        name: value
        for name, value in grants.items()
        if getattr(value, "grant_type", "") == "password" or "password" in attrs.fields_dict(value)
    }

    assert len(grants) > 4
    assert sending == {"ResourceOwnerPassword": ResourceOwnerPassword}
    first, *rest = (ResourceOwnerPassword.__doc__ or "").splitlines()
    assert "legacy" in first
    assert "must not be used" in " ".join(rest)


def test_what_was_given_with_a_grant_cannot_be_changed() -> None:
    additional: dict[str, ParameterValue] = {"tenant": "x"}
    grant = ClientCredentials(additional=additional)

    additional["tenant"] = "y"

    assert grant.additional == {"tenant": "x"}
    assert hash(grant) == hash(attrs.evolve(grant))
    with pytest.raises(TypeError):
        grant.additional["tenant"] = "z"  # type: ignore[index]


# What is missing, and white space


@pytest.mark.parametrize("missing", ["", None, 5, b"x"], ids=repr)
@pytest.mark.parametrize(
    "kind, given, name",
    [
        (AuthorizationCode, {}, "code"),
        (RefreshToken, {}, "refresh_token"),
        (ResourceOwnerPassword, {"username": "ada"}, "password"),
        (ResourceOwnerPassword, {"password": "p"}, "username"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_right_that_is_missing_is_refused_with_words(
    kind: Any, given: dict[str, str], name: str, missing: Any
) -> None:
    """It would vanish from the request, and the server would say no in words of its own."""
    words = f"{name} must be a text that is not empty" if missing == "" else "a text"
    with pytest.raises(ConfigurationError, match=words):
        kind(**given, **{name: missing})


@pytest.mark.parametrize(
    "space", ["\u00a0", "\t", "\n", "\r", "\x0b", "\u2003", "\u3000"], ids=ascii
)
def test_only_the_space_separates_scope_tokens(space: str) -> None:
    """RFC 6749 §3.3."""
    for scope in (f"read{space}write", f"read{space}", [f"read{space}write"]):
        with pytest.raises(ConfigurationError, match="separated by a space, or come as a list"):
            ClientCredentials(scope=scope)
    assert ClientCredentials(scope=" read  write ").scope == "read write"


def test_what_is_good_once_is_the_code_of_a_grant_that_is_never_repeated() -> None:
    class Again(AuthorizationCode):
        repeat = Repeat.ONCE

    assert AuthorizationCode(code="c").good_once == "c"
    assert Again(code="c").good_once is None
    assert RefreshToken(refresh_token="r").good_once is None
    assert ClientCredentials().good_once is None
