"""How large the demo is, and how far."""

from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class Plan:
    """How large the demo is.

    Attributes:
        crowd: How many calls are under way at once.
        life: Seconds that a token lives.
        expiries: How many times every token ends under the crowd.
    """

    crowd: int = 500
    life: int = 2
    expiries: int = 3

    @property
    def seconds(self) -> float:
        """How long the crowd calls at least: to the middle of the life after the last expiry."""
        return self.life * (self.expiries + 0.5)

    @property
    def patience(self) -> float:
        """Seconds in which each token must have ended so often, however slow the machine is."""
        return 10 * self.seconds


@attrs.frozen(kw_only=True)
class Progress:
    """How far the demo is.

    Attributes:
        step: What it is at.
        share: How much of the step is done, from 0 to 1.
        detail: What has come out so far.
    """

    step: str
    share: float = 0.0
    detail: str = ""


Watch = Callable[[Progress], None]
"""Is told how far the demo is."""
