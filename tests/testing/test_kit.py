import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import oauthkit.testing
from oauthkit import ConfigurationError
from oauthkit.testing import FakeAuthorizationServer

ABSENT = ("aiohttp", "httpx2", "pytest", "redis", "respx", "starlette", "trio", "uvicorn")


def test_the_kit_is_imported_without_what_its_user_may_not_have() -> None:
    program = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None
import oauthkit.testing
"""
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter


def test_the_public_names_are_sorted_and_there() -> None:
    names = oauthkit.testing.__all__
    assert names == sorted(names)
    assert all(hasattr(oauthkit.testing, name) for name in names)


def test_the_kit_says_what_it_has_before_anything_is_loaded() -> None:
    program = "import oauthkit.testing; print(*dir(oauthkit.testing))"
    listed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert set(oauthkit.testing.__all__) <= set(listed.stdout.split())


def test_what_the_kit_does_not_have_is_named() -> None:
    with pytest.raises(AttributeError, match=r"'oauthkit\.testing' has no attribute 'Other'"):
        _ = vars(oauthkit.testing)["__getattr__"]("Other")


def test_settings_show_no_secrets() -> None:
    fake = oauthkit.testing.FakeAuthorizationServer(client_secret="canary-1", password="canary-2")
    systems = oauthkit.testing.DocumentedSystems(client_secret="canary-3", password="canary-4")
    assert "canary" not in repr(fake) + repr(systems)


@pytest.mark.parametrize("name", ["revok", "token"])
def test_requests_to_what_is_no_further_endpoint_are_an_error_and_not_none(name: str) -> None:
    fake = FakeAuthorizationServer()

    assert fake.endpoint_requests["revoke"] == []
    with pytest.raises(KeyError, match="token_requests" if name == "token" else "revoke, "):
        assert not fake.endpoint_requests[name]


def test_a_fault_at_what_is_no_endpoint_names_those_that_there_are() -> None:
    fake = FakeAuthorizationServer()
    faults: list[Callable[..., Any]] = [
        fake.fail_next,
        fake.lose_next_answer,
        partial(fake.slow_next, 1),
        fake.hold,
    ]

    for order in faults:
        with pytest.raises(KeyError, match="'revok'; there are token, authorize, "):
            order(endpoint="revok")


@pytest.mark.parametrize(
    "setting, words",
    [
        ({"clock": 5}, "clock= takes a Clock with time"),
        ({"scope": ["read"]}, "scope= takes a text, not a list"),
        ({"claims": [("email", "a@b")]}, "claims= takes a mapping"),
    ],
    ids=str,
)
def test_a_setting_of_another_kind_is_refused_at_once(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        FakeAuthorizationServer(**setting)
