import subprocess
import sys

import pytest

import oauthkit.testing

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
