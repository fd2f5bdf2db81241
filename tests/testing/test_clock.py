import time

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.testing import FakeAuthorizationServer, FakeClock


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
