"""Fixtures for pytest, which finds them by itself; a suite without them loads nothing but this."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oauthkit.testing.server import FakeAuthorizationServer


@pytest.fixture
def oauth_server() -> "FakeAuthorizationServer":
    """An authorization server, and an API behind it; each test has its own."""
    from oauthkit.testing.server import FakeAuthorizationServer  # noqa: PLC0415 - for who uses it

    return FakeAuthorizationServer()


@pytest.fixture
def oauth_server_url(oauth_server: "FakeAuthorizationServer") -> Iterator[str]:
    """The URL of `oauth_server`, and its issuer: it is on a socket of this machine.

    A thread of its own answers there, whether the test is asynchronous or not, and an application
    in another process too. The real time passes.
    """
    with oauth_server.serve_in_thread() as url:
        yield url
