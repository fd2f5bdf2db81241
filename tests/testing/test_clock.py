import time

import anyio
import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.testing import DocumentedSystems, FakeAuthorizationServer, FakeClock


def test_both_clocks_move_together_when_time_passes() -> None:
    clock = FakeClock(start=100.0)
    monotonic = clock.monotonic()

    clock.advance(2.5)

    assert clock.time() == 102.5
    assert clock.monotonic() == monotonic + 2.5


def test_a_jump_moves_the_wall_clock_alone() -> None:
    clock = FakeClock()
    wall, monotonic = clock.time(), clock.monotonic()

    clock.jump(-3600)

    assert clock.time() == wall - 3600
    assert clock.monotonic() == monotonic


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="jump"):
        FakeClock().advance(-1)


def test_the_real_clock_cannot_be_advanced() -> None:
    with pytest.raises(ConfigurationError, match="FakeClock"):
        FakeAuthorizationServer(clock=time).advance(1)


async def test_the_own_clock_of_a_fake_begins_today_and_stands_still() -> None:
    clock = FakeAuthorizationServer().clock

    before = clock.time(), clock.monotonic()
    await anyio.sleep(0.01)

    assert (clock.time(), clock.monotonic()) == before
    assert abs(time.time() - clock.time()) < 60


@pytest.mark.parametrize("kind", [FakeAuthorizationServer, DocumentedSystems])
async def test_on_a_socket_the_real_time_passes_and_more_where_told(
    kind: type[FakeAuthorizationServer | DocumentedSystems],
) -> None:
    fake = kind()
    began = fake.clock.time()
    async with fake.serve(), fake.serve():
        await anyio.sleep(0.02)
        fake.advance(100)
        wall, monotonic = fake.clock.time(), fake.clock.monotonic()
        await anyio.sleep(0.02)
        assert fake.clock.monotonic() - monotonic >= 0.02

    assert wall - began >= 100.02
    after = fake.clock.time()
    await anyio.sleep(0.01)
    assert fake.clock.time() == after > wall, "it stands still again, and keeps what passed"


async def test_a_clock_that_was_given_moves_when_told_alone() -> None:
    fake = FakeAuthorizationServer(clock=FakeClock())
    async with fake.serve():
        await anyio.sleep(0.01)
        assert fake.clock.time() == 1_700_000_000.0
