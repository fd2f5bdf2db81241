"""A relying party for each test."""

from collections.abc import AsyncGenerator

import pytest

from tests.hostile.world import Party, party


@pytest.fixture
async def rp() -> AsyncGenerator[Party]:
    async with party() as made:
        yield made
