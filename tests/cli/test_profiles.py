"""Profiles: what stands in the file, which one is used, and where its secrets are."""

import base64
import os
import stat
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from oauthkit import ClientSecretBasic, ClientSecretPost, ConfigurationError, PublicClient
from oauthkit.cli import places
from oauthkit.cli.access import Access
from oauthkit.cli.profile import Profile
from oauthkit.cli.profile_file import ProfileFile, default_path
from oauthkit.discovery import Discovered
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.stores.sealed import SealedStore
from oauthkit.stores.sqlite import SQLiteStore

WORK = Profile(name="work", client_id="app", issuer="https://auth.example", scope="read")
SECRET = "hidden-7f3a"
ENV = 'client_secret_env = "X"'
BY_KEY = 'token_endpoint_auth_method = "private_key_jwt"'


class Ring(KeyringBackend):
    """Be a keyring in memory."""

    priority: Any = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    """Let the system have a keyring."""
    before, found = keyring.get_keyring(), Ring()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


def written(home: Path, text: str) -> ProfileFile:
    path = home / "profiles.toml"
    path.write_text(text, encoding="utf-8")
    return ProfileFile.read(path)


def test_a_profile_is_written_below_what_stands_there_and_read_as_it_was(home: Path) -> None:
    comment = '# mine\n[profiles.play]\nclient_id = "toy"\ntoken_endpoint = "https://toy.example/t"'
    text = attrs.evolve(
        WORK,
        name="odd",
        scope='a\t"quoted" \\ \x7f ü',
        origins=("https://api.example", "https://b.example"),
        client_secret_keyring=True,
    )

    file = written(home, comment).with_profile(WORK).with_profile(text)

    assert file.path.read_text(encoding="utf-8").startswith(f"{comment}\n\n[profiles.work]\n")
    again = ProfileFile.read(file.path)
    assert again.profile("work") == WORK
    assert again.profile("odd") == text
    assert again.profile("play").client_id == "toy"
    assert again.with_profile(WORK) is again


def test_the_first_profile_makes_the_file_for_its_owner_alone(home: Path) -> None:
    path = home / "new" / "directory" / "profiles.toml"

    ProfileFile.read(path).with_profile(WORK)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert tomllib.loads(path.read_text())["profiles"]["work"]["client_id"] == "app"
    assert [found.name for found in path.parent.iterdir()] == ["profiles.toml"]


def test_a_link_to_the_file_stays_one(home: Path) -> None:
    """Settings may be kept elsewhere, and linked to where they are looked for."""
    (home / "kept.toml").touch()
    link = home / "profiles.toml"
    link.symlink_to("kept.toml")

    ProfileFile.read(link).with_profile(WORK)

    assert link.is_symlink()
    assert ProfileFile.read(home / "kept.toml").profile("work") == WORK


def test_another_profile_of_the_name_is_left_as_it_is(home: Path) -> None:
    file = ProfileFile.read(home / "profiles.toml").with_profile(WORK)

    with pytest.raises(ConfigurationError, match="has another profile 'work'"):
        file.with_profile(attrs.evolve(WORK, scope="write"))

    assert ProfileFile.read(file.path).profile(None) == WORK


def test_a_file_that_cannot_be_written_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_line = 'profiles = {play = {client_id = "toy", issuer = "https://toy.example"}}\n'
    with pytest.raises(ConfigurationError, match="could not be written"):
        written(home, in_one_line).with_profile(WORK)
    assert (home / "profiles.toml").read_text() == in_one_line

    def full(*_: object) -> None:
        message = "no space left"
        raise OSError(message)

    unwritable = attrs.evolve(WORK, scope="\udcff")
    with pytest.raises(ConfigurationError, match="surrogates not allowed"):
        ProfileFile.read(home / "other" / "profiles.toml").with_profile(unwritable)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigurationError, match="no space left"):
        ProfileFile.read(home / "other" / "profiles.toml").with_profile(WORK)
    assert list((home / "other").iterdir()) == []


@pytest.mark.parametrize(
    "text, name, found",
    [
        ('default = "b"', None, "b"),
        ('default = "b"', "a", "a"),
        ("", "a", "a"),
    ],
)
def test_a_profile_is_named_or_the_default(
    home: Path, text: str, name: str | None, found: str
) -> None:
    table = 'client_id = "x"\nissuer = "https://auth.example"\n'
    file = written(home, f"{text}\n[profiles.a]\n{table}[profiles.b]\n{table}")

    assert file.profile(name).name == found


@pytest.mark.parametrize("name", [None, "c"])
def test_a_profile_that_is_not_there_is_told_with_those_that_are(
    home: Path, name: str | None
) -> None:
    table = 'client_id = "x"\nissuer = "https://auth.example"\n'
    file = written(home, f"[profiles.a]\n{table}[profiles.b]\n{table}")

    with pytest.raises(ConfigurationError, match="has a, b; name one by --profile"):
        file.profile(name)


@pytest.mark.parametrize(
    "text",
    [
        "= nonsense",
        "colour = 3",
        "default = 3",
        'profiles = "work"',
        'store_key_keyring = "yes"',
    ],
)
def test_a_file_with_something_else_in_it_is_refused(home: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"profiles\.toml"):
        written(home, text)


def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ProfileFile.read(home)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        written(home, f"x = {'[' * 10_000}")


@pytest.mark.parametrize(
    "text, words",
    [
        ('issuer = "https://auth.example"', "client_id is empty"),
        ('client_id = "x"', "neither an issuer nor a token_endpoint"),
        (
            'client_id = "x"\nissuer = "https://a.example"\ntoken_endpoint = "https://a.example/t"',
            "give one of the two",
        ),
        ('client_id = "x"\ncolour = "red"', "a member 'colour', which means nothing"),
        ("client_id = 3", "client_id of the profile 'work' must be a text"),
        ('client_id = "x"\norigins = "https://api.example"', "must be a list of texts"),
        ('client_id = "x"\nclient_secret_keyring = 1', "must be true or false"),
        (
            f'client_id = "x"\nissuer = "https://a.example"\nclient_secret = "{SECRET}"\n{ENV}',
            "two places for one secret",
        ),
        (
            'client_id = "x"\nissuer = "https://a.example"\ngrant_type = "password"',
            "grant_type is one of",
        ),
        (
            f'client_id = "x"\nissuer = "https://a.example"\n{BY_KEY}',
            "token_endpoint_auth_method is one of",
        ),
        (
            'client_id = "x"\nissuer = "https://a.example"\nredirect_uri = "http://localhost/cb"',
            "by its literal address",
        ),
        (
            'client_id = "x"\nissuer = "https://a.example"\norigins = ["api.example"]',
            "must be an absolute https",
        ),
    ],
)
def test_a_profile_that_cannot_work_is_refused_in_words_and_by_no_secret(
    home: Path, text: str, words: str
) -> None:
    file = written(home, f"[profiles.work]\n{text}\n")

    with pytest.raises(ConfigurationError, match=words) as caught:
        file.profile(None)

    assert SECRET not in str(caught.value)


def test_the_name_of_a_profile_is_one_for_a_table() -> None:
    with pytest.raises(ConfigurationError, match="a name is up to 64 letters"):
        attrs.evolve(WORK, name="a b")


def test_profiles_of_other_servers_are_found_and_broken_ones_passed_over(home: Path) -> None:
    file = written(
        home,
        '[profiles]\nflat = "text"\n[profiles.same]\nclient_id = "x"\nissuer = "https://auth.example"\n'
        '[profiles.other]\nclient_id = "x"\nissuer = "https://other.example"\n'
        "[profiles.broken]\nclient_id = 3\n",
    )

    assert [profile.name for profile in file.others(WORK)] == ["other"]


def test_a_login_at_another_server_or_as_another_client_is_another_one() -> None:
    keys = {
        WORK.key,
        attrs.evolve(WORK, client_id="other").key,
        attrs.evolve(WORK, issuer="https://other.example").key,
    }

    assert len(keys) == 3


def test_each_profile_has_a_path_of_its_own_and_both_addresses() -> None:
    """NA-06, NA-07."""
    assert WORK.redirect_uris == (
        "http://127.0.0.1/callback/work",
        "http://[::1]/callback/work",
    )


def test_what_a_profile_names_is_what_a_session_is_made_of(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ProfileFile.read(home / "profiles.toml")
    by_hand = Profile(
        name="hand",
        client_id="app",
        token_endpoint="https://auth.example/token",
        authorization_endpoint="https://auth.example/authorize",
        device_authorization_endpoint="https://auth.example/device",
        revocation_endpoint="https://auth.example/revoke",
        client_secret=SECRET,
        token_endpoint_auth_method="client_secret_post",
        audience="api",
    )
    monkeypatch.setenv("WORK_SECRET", SECRET)

    found = Access.of(by_hand, file)
    public = Access.of(WORK, file)
    basic = Access.of(attrs.evolve(WORK, client_secret_env="WORK_SECRET"), file)

    assert isinstance(found.server, AuthorizationServer)
    assert found.server.revocation_endpoint == "https://auth.example/revoke"
    assert isinstance(found.client_auth, ClientSecretPost)
    assert found.further == {"audience": "api"}
    assert isinstance(public.server, Discovered)
    assert isinstance(public.client_auth, PublicClient)
    assert isinstance(public.store, SQLiteStore)
    assert isinstance(basic.client_auth, ClientSecretBasic)
    assert SECRET not in repr((by_hand, found, basic))


def test_a_variable_that_is_not_set_is_named(home: Path) -> None:
    profile = attrs.evolve(WORK, client_secret_env="NOT_SET_ANYWHERE")

    with pytest.raises(ConfigurationError, match="'NOT_SET_ANYWHERE'"):
        places.client_secret(profile)


def test_a_client_secret_comes_from_the_keyring(ring: Ring) -> None:
    profile = attrs.evolve(WORK, client_secret_keyring=True)
    with pytest.raises(ConfigurationError, match="keyring set oauthkit work"):
        places.client_secret(profile)
    ring.kept["oauthkit", "work"] = SECRET

    found = places.client_secret(profile)

    assert found == SECRET
    assert SECRET not in repr(found)


def test_where_there_is_no_keyring_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = attrs.evolve(WORK, client_secret_keyring=True)
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigurationError, match="NoKeyringError"):
        places.client_secret(profile)
    monkeypatch.setattr(keyring, "get_password", Mock(side_effect=RuntimeError(SECRET)))
    with pytest.raises(ConfigurationError, match="RuntimeError") as caught:
        places.client_secret(profile)  # such as without D-Bus, where a backend is named
    assert SECRET not in str(caught.value)
    keyring.set_keyring(before)

    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"oauthkit\[keyring\]"):
        places.client_secret(profile)


def test_the_store_is_sealed_with_the_key_of_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = places.sqlite_store()
    assert places.sealed(store, by_keyring=False) is store
    monkeypatch.setenv("OAUTHKIT_KEY", base64.urlsafe_b64encode(os.urandom(32)).decode())

    assert isinstance(places.sealed(store, by_keyring=False), SealedStore)
    assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("key", ["", "c2hvcnQ=", "not base64 at all", "ü"])
def test_a_key_that_is_none_does_not_leave_the_store_open(
    home: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OAUTHKIT_KEY", key)

    with pytest.raises(ConfigurationError, match="openssl rand -base64 32"):
        places.sealed(places.sqlite_store(), by_keyring=False)


def test_the_key_of_the_store_is_made_in_the_keyring_once(home: Path, ring: Ring) -> None:
    store = places.sqlite_store()

    first = places.sealed(store, by_keyring=True)
    kept = dict(ring.kept)
    places.sealed(store, by_keyring=True)

    assert isinstance(first, SealedStore)
    assert ring.kept == kept
    assert [*kept] == [("oauthkit", "store key")]


def test_without_a_word_files_are_where_the_system_has_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAUTHKIT_DATA")

    def there(*_: str, **__: Any) -> Path:
        return home / "there"

    monkeypatch.setattr("platformdirs.user_data_path", there)

    places.sqlite_store()

    assert (home / "there").is_dir()
    assert default_path().parts[-2:] == ("oauthkit", "profiles.toml")


@pytest.mark.parametrize("found", [RuntimeError("no home"), Path("~/.local/share/oauthkit")])
def test_nothing_is_made_where_a_command_runs_because_there_is_no_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, found: Exception | Path
) -> None:
    there = Mock(side_effect=[found])
    monkeypatch.chdir(home)
    monkeypatch.delenv("OAUTHKIT_DATA")
    monkeypatch.setattr("platformdirs.user_data_path", there)
    monkeypatch.setattr("platformdirs.user_config_path", there)

    with pytest.raises(ConfigurationError, match="name a place by OAUTHKIT_DATA"):
        places.sqlite_store()
    there.side_effect = [found]
    with pytest.raises(ConfigurationError, match="name a place by OAUTHKIT_CONFIG"):
        default_path()

    assert [*home.iterdir()] == []


def test_a_directory_that_cannot_be_made_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("OAUTHKIT_DATA", str(home / "file" / "below"))

    with pytest.raises(ConfigurationError, match="cannot be made"):
        places.sqlite_store()
