"""Cookies that a browser can neither read nor make up."""

import sys

import pytest

from oauthkit import ConfigurationError
from oauthkit.login import Cookie
from oauthkit.login.cookies import CookieKeys

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_700_000_000.0


def sealed(keys: CookieKeys, name: str = "a", bound_to: str = "us", content: str = "x") -> str:
    return keys.seal(name, {"content": content}, bound_to=bound_to, expires_at=NOW + 10)


def test_what_was_sealed_is_opened_until_its_end() -> None:
    keys = CookieKeys([NEW])
    value = sealed(keys)

    assert keys.open("a", value, bound_to="us", now=NOW + 9) == {"content": "x"}
    assert keys.open("a", value, bound_to="us", now=NOW + 10) is None


def test_no_two_are_alike() -> None:
    keys = CookieKeys([NEW])

    assert sealed(keys) != sealed(keys)


def test_keys_rotate() -> None:
    """AT-16: the first key encrypts, all of them decrypt."""
    before, between, after = CookieKeys([OLD]), CookieKeys([NEW, OLD]), CookieKeys([NEW])

    assert between.open("a", sealed(before), bound_to="us", now=NOW) == {"content": "x"}
    assert after.open("a", sealed(between), bound_to="us", now=NOW) == {"content": "x"}
    assert after.open("a", sealed(before), bound_to="us", now=NOW) is None


def test_every_character_that_is_changed_is_noticed() -> None:
    """AT-16: tampered with, cut short, of another version, or nothing at all."""
    keys = CookieKeys([NEW])
    value = str(sealed(keys))
    other = {"A": "B"}
    for position, character in enumerate(value):
        if position == len(value) - 1:
            continue  # its last bits are padding
        changed = value[:position] + other.get(character, "A") + value[position + 1 :]
        assert keys.open("a", changed, bound_to="us", now=NOW) is None
    for wrong in (None, "", "A", "AQ", value[:30], value[:-4], "é", "!" * 40, value * 40):
        assert keys.open("a", wrong, bound_to="us", now=NOW) is None


def test_one_does_not_pass_for_another() -> None:
    """AT-16: swapped with another cookie's, or another application's."""
    keys = CookieKeys([NEW])
    value = sealed(keys)

    assert keys.open("b", value, bound_to="us", now=NOW) is None
    assert keys.open("a", value, bound_to="them", now=NOW) is None


def test_a_cookie_shows_its_value_to_the_browser_alone() -> None:
    cookie = Cookie(name="__Host-a", value="s3cret", max_age=9)

    assert str(cookie.header) == (
        "__Host-a=s3cret; Max-Age=9; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert "s3cret" not in f"{cookie!r}{cookie.header!r}"


def test_without_cryptography_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    with pytest.raises(ConfigurationError, match=r"oauthkit\[login\]"):
        CookieKeys([NEW])
