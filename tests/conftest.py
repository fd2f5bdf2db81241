"""What every test shares: both event loops, and a guard against blocking one of them."""

import os
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

settings.register_profile(
    "oauthkit",
    settings.get_profile("ci" if "CI" in os.environ else "default"),
    deadline=None,
)
settings.load_profile("oauthkit")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail a test in which the package blocks a running asyncio loop."""
    with blockbuster_ctx("oauthkit"):
        yield
