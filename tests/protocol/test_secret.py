import copy
import pickle

import attrs
import pytest

from oauthkit.protocol.secret import (
    NoPickle,
    SecretBytes,
    SecretStr,
    Unprintable,
    secret,
    secrets_of,
    unprintable,
)

CANARY = "canary-5c7e"


@attrs.frozen
class Login(NoPickle):
    name: str
    password: str = secret()
    pin: str | None = secret(default=None, kw_only=True)


def test_a_secret_text_is_a_text_without_a_printed_form() -> None:
    text = SecretStr(CANARY)

    assert text == CANARY
    assert repr(text) == "'***'"
    assert CANARY not in repr([text, {"a": text}])


def test_secret_bytes_tell_their_number_only() -> None:
    content = SecretBytes(CANARY.encode())

    assert content == CANARY.encode()
    assert (repr(content), str(content), f"{content}") == ("<11 bytes>",) * 3


def test_an_unprintable_mapping_shows_its_names() -> None:
    assert repr(Unprintable(a=CANARY, b=1)) == "<'a', 'b'>"
    assert CANARY not in str(unprintable({"a": CANARY}))


def test_an_unprintable_copy_stays_what_it_was() -> None:
    given = {"a": CANARY}
    kept = unprintable(given)

    given["a"] = "changed"

    assert kept == {"a": CANARY}
    with pytest.raises(TypeError):
        kept["a"] = "changed"  # type: ignore[index]


def test_a_secret_field_is_masked_and_none_is_shown() -> None:
    assert repr(Login("ada", CANARY)) == "Login(name='ada', password='***', pin=None)"
    assert repr(Login("ada", CANARY, pin=CANARY)) == "Login(name='ada', password='***', pin='***')"


def test_a_dump_of_a_secret_field_is_masked() -> None:
    """AT-70."""
    assert CANARY not in repr(attrs.asdict(Login("ada", CANARY)))
    assert CANARY not in repr(attrs.astuple(Login("ada", CANARY)))


def test_the_secrets_of_a_value_are_found() -> None:
    assert secrets_of(Login("ada", CANARY)) == {CANARY}
    assert secrets_of(Login("ada", CANARY, pin="1234")) == {CANARY, "1234"}
    assert secrets_of(Login("ada", "")) == frozenset()


def test_what_is_no_attrs_value_has_no_secrets() -> None:
    assert secrets_of("text") == frozenset()


@pytest.mark.parametrize("version", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_with_secrets_is_not_pickled(version: int) -> None:
    """O2-40, AT-70."""
    with pytest.raises(TypeError, match="Login holds secrets"):
        pickle.dumps(Login("ada", CANARY), version)


def test_a_copy_of_an_immutable_value_is_the_value() -> None:
    login = Login("ada", CANARY)

    assert copy.copy(login) is login
    assert copy.deepcopy([login])[0] is login


def test_values_that_are_compared_by_identity_stay_so() -> None:
    @attrs.frozen(eq=False)
    class Own(NoPickle):
        text: str = secret()

    one = Own("a")

    assert one == one  # noqa: PLR0124 - by identity
    assert one != Own("a")
