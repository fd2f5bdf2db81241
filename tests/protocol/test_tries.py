"""How pauses grow; the tries themselves are tested where requests are sent."""

import math

import pytest

from oauthkit.protocol.tries import growing_pause


@pytest.mark.parametrize(
    "failures, pause", [(-1, 0), (0, 0), (1, 0.5), (2, 1), (3, 2), (4, 3), (10_000, 3)]
)
def test_a_pause_doubles_up_to_the_longest(failures: int, pause: float) -> None:
    assert growing_pause(failures, first=0.5, longest=3) == pause


def test_a_pause_without_a_longest_does_not_grow_beyond_all_bounds() -> None:
    assert growing_pause(4, first=0.1) == pytest.approx(0.8)
    assert growing_pause(10_000, first=1.0) == growing_pause(100_000, first=1.0) < math.inf
