"""`oauthkit serve`: the fake server on a port, for tests in any language and for browsers."""

import json
from typing import Any

import httpx
import pytest

from oauthkit import ClientSecretBasic, PublicClient
from oauthkit.cli.commands import serve as module
from oauthkit.testing import FakeAuthorizationServer

from .conftest import Invoke

FORM = {"response_type": "code", "redirect_uri": "https://app.example/callback"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[FakeAuthorizationServer]:
    """Remember what is served, and end as soon as it has been looked at."""
    found: list[FakeAuthorizationServer] = []

    class Remembered(FakeAuthorizationServer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            found.append(self)

    async def look() -> None:
        async with httpx.AsyncClient() as http:
            asked = {**FORM, "client_id": found[0].client_id}
            if found[0].client_secret is None:
                asked |= {"code_challenge": "x" * 43, "code_challenge_method": "S256"}
            page = await http.get(f"{found[0].issuer}/authorize", params=asked)
            found[0].metadata = {"page": page}

    monkeypatch.setattr(module, "FakeAuthorizationServer", Remembered)
    monkeypatch.setattr("anyio.sleep_forever", look)
    return found


def test_a_public_client_and_a_page_are_what_is_served_unless_told_otherwise(
    invoke: Invoke, served: list[FakeAuthorizationServer]
) -> None:
    result = invoke("serve")

    page: Any = served[0].metadata["page"]
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("http://127.0.0.1:")
    assert isinstance(served[0].client_auth, PublicClient)
    assert "<option>ada</option><option>bob</option>" in page.text


def test_everything_can_be_told(
    invoke: Invoke, served: list[FakeAuthorizationServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", "s3cret-7f3a")

    result = invoke(
        *("serve", "--client-id", "app", "--client-secret-env", "TEST_SECRET", "--no-page"),
        *("--scope", "write", "--life", "7", "--json"),
    )

    page: Any = served[0].metadata["page"]
    said = json.loads(result.stdout)
    assert said["client_id"] == "app"
    assert said["issuer"].startswith("http://127.0.0.1:")
    assert isinstance(served[0].client_auth, ClientSecretBasic)
    assert (served[0].scope, served[0].expires_in) == ("write", 7)
    assert page.status_code == 302
    assert "7f3a" not in result.output


def test_people_can_be_named(invoke: Invoke, served: list[FakeAuthorizationServer]) -> None:
    invoke("serve", "--person", "grace", "--person", "joan")

    assert tuple(served[0].people) == ("grace", "joan")


def test_a_secret_that_is_not_there_is_wrong_usage(invoke: Invoke) -> None:
    result = invoke("serve", "--client-secret-env", "NOT_SET_ANYWHERE")

    assert result.exit_code == 2
    assert "'NOT_SET_ANYWHERE'" in result.stderr
