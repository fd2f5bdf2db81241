"""Fleets of 1,000 workers, whose bounds docs/fleet.md shows (`nox -s model`)."""

from tests.simulation.stories import be_at_work, find_the_token_expired


def test_a_thousand_that_find_their_token_expired_ask_the_server_once() -> None:
    find_the_token_expired(1000)


def test_a_thousand_at_work_ask_the_server_once_per_expiry_and_hardly_wait() -> None:
    be_at_work(1000)
