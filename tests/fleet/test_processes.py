"""What two processes and a person do at the same time, one case each."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from oauthkit import TokenStore

from .attribution import repetitions
from .running import KEY, LEASE_SECONDS, Fleet, fleet, opened_store, until


@pytest.fixture
def backend(place: dict[str, Any]) -> str:
    """Use both event loops, and not each with each store: every test takes seconds."""
    return "trio" if "path" in place else "asyncio"


async def exchanged(running: Fleet, more_than: int = 0) -> None:
    """Wait until so many refresh tokens were exchanged."""
    with anyio.fail_after(20):
        while (await running.told("state"))["renewals"] <= more_than:  # noqa: ASYNC110 - likewise
            await anyio.sleep(0.01)


async def watched(store: TokenStore, seconds: float) -> list[int]:
    """Return the numbers of the stored refresh tokens, in the order in which they were there."""
    seen: list[int] = []
    with anyio.move_on_after(seconds):
        while True:
            token = await store.load(KEY)
            if token is not None and token.refresh_token is not None:
                seen.append(int(token.refresh_token.rpartition("-")[2]))
            await anyio.sleep(0.01)
    return seen


async def test_a_logout_while_a_token_is_renewed_is_final(
    tmp_path: Path, place: dict[str, Any], backend: str
) -> None:
    async with opened_store(place) as store, fleet(tmp_path, place) as running:
        await running.login(store)
        await running.told("order", what="delay", seconds=0.5)
        running.tasks = 5
        running.start("a", backend=backend)
        running.start("b", backend=backend)
        await exchanged(running)

        await store.delete(KEY)

        for _ in range(75):
            assert await store.load(KEY) is None
            await anyio.sleep(0.02)
        await running.end()
        wanted = sum(
            tick["counted"].get("login wanted", 0) for tick in running.journal.lines("tick")
        )
        assert wanted > 0
        assert running.journal.lines("saved") == []


async def test_a_process_that_wakes_up_never_replaces_a_newer_token(
    tmp_path: Path, place: dict[str, Any], backend: str
) -> None:
    async with opened_store(place) as store, fleet(tmp_path, place, grace=5.0) as running:
        await running.login(store)
        await running.told("order", what="stop", seconds=LEASE_SECONDS + 1)
        running.tasks = 5
        running.start("sleeper", backend=backend)
        await exchanged(running)
        running.start("other", backend=backend)

        seen = await watched(store, LEASE_SECONDS + 3)

        assert seen == sorted(seen)
        sleeper = running.pid("sleeper")
        (stopped,) = (await running.record()).stops
        saved = [line for line in running.journal.lines("saved") if line["pid"] == sleeper]
        assert all(line["number"] > 1 for line in saved), "its late save was refused"
        adopted = running.journal.lines("adopted")
        assert any(line["pid"] == sleeper and line["at"] > stopped.until for line in adopted)
        assert (await running.told("state"))["lost"] == 0


@pytest.mark.parametrize("where", ["under the lease", "before sending"])
async def test_a_process_stopped_with_a_refresh_token_in_its_hand_does_not_spend_it_late(
    tmp_path: Path, place: dict[str, Any], where: str, backend: str
) -> None:
    """The server has no grace window: one late request, and the family would be lost."""
    async with opened_store(place) as store, fleet(tmp_path, place) as running:
        await running.login(store)
        running.tasks = 5
        running.start("sleeper", backend=backend, stop=where)
        await until(lambda: bool(running.journal.lines("stopping")))
        running.start("other", backend=backend)
        await exchanged(running, more_than=2)

        running.resume("sleeper")
        await exchanged(running, more_than=(await running.told("state"))["renewals"] + 2)
        await running.end()

        assert repetitions(await running.record()) == []
        assert (await running.told("state"))["lost"] == 0
        sleeper = running.pid("sleeper")
        assert any(line["pid"] == sleeper for line in running.journal.lines("adopted"))


async def test_a_lone_process_stopped_before_its_save_keeps_what_the_server_gave_it(
    tmp_path: Path, place: dict[str, Any], backend: str
) -> None:
    """The lease is lost, and nobody took over: the token is saved under the next lease."""
    async with opened_store(place) as store, fleet(tmp_path, place) as running:
        await running.login(store)
        running.tasks = 5
        running.start("lone", backend=backend, stop="before saving")
        await until(lambda: bool(running.journal.lines("stopping")))
        await anyio.sleep(LEASE_SECONDS + 0.5)
        running.resume("lone")
        await exchanged(running, more_than=2)
        await running.end()

        assert repetitions(await running.record()) == []
        assert (await running.told("state"))["lost"] == 0


async def test_the_death_of_who_renews_goes_unnoticed_with_leeway_enough(
    tmp_path: Path, place: dict[str, Any], backend: str
) -> None:
    """The leeway, 5 s of a life of 10 s, is longer than lease and timeout together."""
    async with (
        opened_store(place) as store,
        fleet(tmp_path, place, grace=5.0, expires_in=10.0) as running,
    ):
        await running.login(store)
        await running.told("order", what="kill", seconds=0.0)
        running.tasks, running.pause = 20, 0.2
        for name in ("a", "b", "c"):
            running.start(name, backend=backend)
        await exchanged(running)
        await until(lambda: len(running.dead()) == 1)
        await until(lambda: bool(running.journal.lines("saved")))
        await anyio.sleep(3.0)  # the token from before has expired by now
        await running.end()

        calls: Counter[str] = Counter()
        for tick in running.journal.lines("tick"):
            calls.update(tick["counted"])
        assert calls["no token"] == 0
        assert calls["status 200"] > 500
        assert [repetition.cause for repetition in repetitions(await running.record())] == [
            "killed"
        ]
        assert (await running.told("state"))["lost"] == 0
