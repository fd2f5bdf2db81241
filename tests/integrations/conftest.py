"""What the tests of telemetry share."""

from collections.abc import Iterator

import pytest

from tests.integrations.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Have what a listener tells kept in memory."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.meters.shutdown()
    telemetry.tracers.shutdown()
