import subprocess
import sys

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


def test_settings_show_no_secrets() -> None:
    fake = oauthkit.testing.FakeAuthorizationServer(client_secret="canary-1", password="canary-2")
    systems = oauthkit.testing.DocumentedSystems(client_secret="canary-3", password="canary-4")
    assert "canary" not in repr(fake) + repr(systems)
