import errno
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from oauthkit.errors import ConfigurationError, LeaseLost, Recovery, StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores import sqlite_file, sqlite_table
from oauthkit.stores.base import Lease
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.stores.sqlite_table import Claim, Row, TokenTable
from oauthkit.testing import FakeClock
from oauthkit.testing.holders import is_lent, lease_and_leave

DEADLINE = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@contextmanager
def raw(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def saved(path: Path, token: str = "one") -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token(token))


async def refusal(path: Path) -> StoreError:
    """Return why a file is refused, having seen that it was left as it was."""
    before = await anyio.Path(path).read_bytes()
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError) as caught:
            await store.load("ada")
        with pytest.raises(StoreError):
            await store.save("ada", Token("secret-canary"))
    assert await anyio.Path(path).read_bytes() == before
    assert str(path) in str(caught.value)
    return caught.value


@asynccontextmanager
async def orphaned(store: SQLiteStore) -> AsyncGenerator[Lease]:
    """Leave a lease behind, as a process that dies does."""
    async with store.lease("ada") as lease:
        yield lease
        await store.aclose()


def migrations() -> tuple[tuple[str, ...], ...]:
    return tuple(vars(sqlite_file)["_MIGRATIONS"])


def modes(path: Path) -> dict[str, int]:
    return {
        name.name.removeprefix(path.name): stat.S_IMODE(name.stat().st_mode)
        for name in path.parent.iterdir()
    }


async def test_only_the_owner_can_read_the_files(path: Path) -> None:
    """AT-72: whatever the umask, and nothing else is left in the directory."""
    before = os.umask(0)
    try:
        async with SQLiteStore(path) as store:
            await store.save("ada", Token("one"))
            assert modes(path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    finally:
        os.umask(before)
    assert modes(path) == {"": 0o600}


async def test_an_empty_file_is_made_ours(path: Path) -> None:
    await anyio.Path(path).touch(mode=0o644)
    await saved(path)
    assert modes(path) == {"": 0o600}


async def test_a_file_that_somebody_else_just_made_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(path)

    def no(_: Path) -> bool:
        return False

    monkeypatch.setattr(Path, "exists", no)
    async with SQLiteStore(path) as store:
        assert await store.load("ada") == Token("one")
    assert [found.name for found in path.parent.iterdir()] == [path.name]


async def test_many_may_open_a_new_file_at_once(path: Path) -> None:
    async def save(number: int) -> None:
        async with SQLiteStore(path) as store:
            await store.save(f"user-{number}", Token(str(number)))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(save, number)
    async with SQLiteStore(path) as store:
        for number in range(8):
            assert await store.load(f"user-{number}") == Token(str(number))


def test_what_is_saved_is_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    monkeypatch.setattr(sqlite_file, "_SYNCHRONOUS", synchronous)
    file = sqlite_file.SQLiteFile(path)
    with file.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    file.close()


async def test_a_deleted_token_is_not_left_in_the_file(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("secret-canary"))
        await store.delete("ada")
    assert b"secret-canary" not in await anyio.Path(path).read_bytes()


async def test_a_text_file_is_refused(path: Path) -> None:
    await anyio.Path(path).write_text("[tokens]\nada = 1\n" * 100)
    error = await refusal(path)
    assert "not an SQLite database" in str(error)
    assert error.recovery is Recovery.CHANGE_REQUEST


async def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE token (key, token)")
    error = await refusal(path)
    assert "another program" in str(error)
    assert error.recovery is Recovery.CHANGE_REQUEST


async def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    await saved(path)
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    error = await refusal(path)
    assert "newer oauthkit" in str(error)
    assert error.recovery is Recovery.CHANGE_REQUEST


async def test_a_damaged_file_is_refused(path: Path) -> None:
    await saved(path)
    content = bytearray(await anyio.Path(path).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    await anyio.Path(path).write_bytes(content)
    error = await refusal(path)
    assert "damaged" in str(error)
    assert error.recovery is Recovery.CHANGE_REQUEST


async def test_an_older_file_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration keeps the tokens, and the older version then refuses the file."""
    await saved(path)
    more = ("ALTER TABLE token ADD COLUMN note TEXT",)
    with monkeypatch.context() as newer:
        newer.setattr(sqlite_file, "_MIGRATIONS", (*migrations(), more))
        async with SQLiteStore(path) as store:
            assert await store.load("ada") == Token("one")
            await store.save("ada", Token("two"))
    with raw(path) as connection:
        assert connection.execute("SELECT note FROM token").fetchall() == [(None,)]
    assert "newer oauthkit" in str(await refusal(path))


async def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(path)
    broken = ("ALTER TABLE token ADD COLUMN note TEXT", "no SQL at all")
    with monkeypatch.context() as newer:
        newer.setattr(sqlite_file, "_MIGRATIONS", (*migrations(), broken))
        async with SQLiteStore(path) as store:
            with pytest.raises(StoreError):
                await store.load("ada")
    async with SQLiteStore(path) as store:
        assert await store.load("ada") == Token("one")


async def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "missing" / "tokens.db") as store:
        with pytest.raises(StoreError, match="No such file or directory") as caught:
            await store.load("ada")
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


async def test_a_full_disk_may_have_room_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match="No space left") as caught:
            await store.save("ada", Token("one"))
    assert caught.value.recovery is Recovery.RETRY_LATER
    assert list(path.parent.iterdir()) == []


async def test_a_file_in_use_for_too_long_may_be_free_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(path)
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.01)
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        async with SQLiteStore(path) as store:
            assert await store.load("ada") == Token("one")
            with pytest.raises(StoreError, match="locked") as caught:
                await store.save("ada", Token("two"))
            other.execute("ROLLBACK")
            await store.save("ada", Token("two"))
    assert caught.value.recovery is Recovery.RETRY_LATER


async def test_a_row_that_is_no_token_is_kept(path: Path) -> None:
    """What cannot be read is neither renewed over nor shown; a login replaces it."""
    await saved(path)
    with raw(path) as connection:
        connection.execute("UPDATE token SET token = '{\"secret-canary\": 1'")
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match="not a token") as caught:
            await store.load("ada")
        assert "secret-canary" not in str(caught.value)
        with pytest.raises(StoreError, match="not a token"):
            async with store.lease("ada") as lease:
                await lease.load()
        with raw(path) as connection:
            assert "secret-canary" in connection.execute("SELECT token FROM token").fetchone()[0]
        await store.save("ada", Token("two"))
        assert await store.load("ada") == Token("two")


async def test_a_token_that_json_cannot_say_is_not_stored(path: Path) -> None:
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match="JSON") as caught:
            await store.save("ada", Token("one", extra={"when": object()}))
        assert await store.load("ada") is None
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


async def test_any_text_is_a_key(path: Path) -> None:
    """Half a surrogate pair among them, which UTF-8 does not know."""
    async with SQLiteStore(path) as store:
        await store.save("\ud83d", Token("one"))
        assert await store.load("\ud83d") == Token("one")


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SQLiteStore(path)
    await store.save("ada", Token("one"))
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError, match="closed") as caught:
        await store.load("ada")
    assert caught.value.recovery is Recovery.CHANGE_REQUEST


def test_a_lease_has_a_length(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lease_seconds"):
        SQLiteStore(path, lease_seconds=0)


async def test_a_relative_path_stays_where_it_was_first_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLiteStore("tokens.db") as store:
        await store.save("ada", Token("one"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await store.save("ada", Token("two"))
    assert (tmp_path / "tokens.db").exists()


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_file_that_was_moved_away_is_not_written_to(path: Path, *, replaced: bool) -> None:
    """What is saved there would be gone with this process, and others would not see its leases."""
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("one"))
        await anyio.Path(path).rename(path.with_name("moved.db"))
        if replaced:
            await saved(path, "another's")
        for use in (store.load("ada"), store.save("ada", Token("two")), store.delete("ada")):
            with pytest.raises(StoreError, match="was moved, deleted or replaced") as caught:
                await use
            assert caught.value.recovery is Recovery.CHANGE_REQUEST


async def test_a_file_that_is_put_back_is_used_on(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("one"))
        moved = await anyio.Path(path).rename(path.with_name("moved.db"))
        with pytest.raises(StoreError, match="put it back"):
            await store.load("ada")
        await moved.rename(path)
        assert await store.load("ada") == Token("one")


async def test_another_process_has_a_connection_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection must not be used on both sides of a fork."""
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("one"))
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            assert await store.load("ada") == Token("one")
            await store.aclose()
        assert await store.load("ada") == Token("one")


def test_threads_with_event_loops_of_their_own_share_a_store(path: Path) -> None:
    store = SQLiteStore(path)

    async def count() -> None:
        for _ in range(10):
            held = False
            while not held:
                async with store.lease("ada") as lease:
                    token, held = await lease.load(), lease.held
                    if held:
                        number = 0 if token is None else int(token.access_token)
                        await lease.save(Token(str(number + 1)))

    async def total() -> Token | None:
        async with store:
            return await store.load("ada")

    threads = [
        threading.Thread(target=anyio.run, args=(count,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio", "asyncio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert anyio.run(total) == Token("30")


async def test_a_waiter_is_answered_when_the_token_changes(path: Path) -> None:
    """It does not queue for a lease that it needs no more, and cannot save."""
    async with SQLiteStore(path) as here, SQLiteStore(path) as there:
        await here.save("ada", Token("one"))
        answered = anyio.Event()

        async def wait() -> None:
            async with there.lease("ada") as lease:
                assert not lease.held
                assert await lease.load() == Token("two")
                assert await lease.load() == Token("two")
                with pytest.raises(LeaseLost):
                    await lease.save(Token("three"))
            answered.set()

        with anyio.fail_after(DEADLINE):
            async with here.lease("ada") as lease, anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                for _ in range(2):  # one at a time: the waiter's look comes before the second
                    await there.load("ada")
                await lease.save(Token("two"))
                await answered.wait()


async def test_of_all_who_wait_for_a_key_one_looks_for_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as one alone would."""
    looks, answered = 0, list[Token | None]()
    claim = TokenTable.claim

    def counted(table: TokenTable, *arguments: Any) -> Row:
        nonlocal looks
        looks += 1
        return claim(table, *arguments)

    async def wait(store: SQLiteStore) -> None:
        async with store.lease("ada") as lease:
            assert not lease.held
            answered.append(await lease.load())

    async with SQLiteStore(path) as here, SQLiteStore(path) as there:
        await here.save("ada", Token("one"))
        with anyio.fail_after(DEADLINE):
            async with here.lease("ada") as lease, anyio.create_task_group() as tasks:
                monkeypatch.setattr(TokenTable, "claim", counted)
                for _ in range(50):
                    tasks.start_soon(wait, there)
                await anyio.sleep(0.5)
                assert 50 < looks < 100
                await lease.save(Token("two"))
    assert answered == [Token("two")] * 50


async def test_a_row_is_read_again_only_where_something_has_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process, or by this one."""
    read, reads = sqlite_table._row, 0

    def counted(connection: sqlite3.Connection, key: str) -> Row:
        nonlocal reads
        reads += 1
        return read(connection, key)

    async with SQLiteStore(path) as here, SQLiteStore(path) as there:
        await here.save("ada", Token("one"))
        async with here.lease("ada") as lease, anyio.create_task_group() as tasks:
            await there.load("ada")
            monkeypatch.setattr(sqlite_table, "_row", counted)
            tasks.start_soon(lease_and_leave, there, "ada")
            for number, store in enumerate((None, here, there), 1):
                if store is not None:
                    await store.save("grace", Token("one"))
                with anyio.fail_after(DEADLINE):
                    while reads < number:  # noqa: ASYNC110 - the store tells nobody
                        await anyio.sleep(0.02)
                await anyio.sleep(0.2)  # many looks
                assert reads <= 2 * number  # each of two connections may see one change
            await lease.save(Token("two"))


async def test_a_lease_of_the_dead_ends_by_the_clock(path: Path, clock: FakeClock) -> None:
    store = SQLiteStore(path, clock=clock)
    async with orphaned(SQLiteStore(path, clock=clock)):
        pass
    clock.advance(59)
    with anyio.move_on_after(0.05) as scope:
        async with store.lease("ada"):
            pytest.fail("the lease has not run out yet")
    assert scope.cancelled_caught
    clock.advance(1)
    with anyio.fail_after(DEADLINE):
        async with store.lease("ada") as lease:
            assert lease.held
    await store.aclose()


async def test_a_holder_knows_when_the_lease_has_run_out(path: Path, clock: FakeClock) -> None:
    """Who wakes up late looks before the server is asked; what it gave is saved all the same."""
    async with SQLiteStore(path, clock=clock) as store, store.lease("ada") as lease:
        held = [lease.held]
        for seconds in (59, 1):
            clock.advance(seconds)
            held.append(lease.held)
        assert held == [True, True, False]
        await lease.save(Token("late"))
        assert await store.load("ada") == Token("late")


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be in another boot of the machine; one without a name is what other systems have."""

    def set_boot(name: str) -> None:
        monkeypatch.setattr("oauthkit.stores.sqlite_table.boot_id", lambda: name)

    return set_boot


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
async def test_a_clock_that_is_set_neither_ends_nor_delays_a_lease(
    path: Path, clock: FakeClock, boot: Callable[[str], None], seconds: float
) -> None:
    boot("this")
    async with orphaned(SQLiteStore(path, clock=clock)):
        pass
    clock.jump(seconds)
    async with SQLiteStore(path, clock=clock) as store:
        clock.advance(59)
        assert not await is_lent(store, "ada", 0.05)
        clock.advance(1)
        assert await is_lent(store, "ada", DEADLINE)


def test_an_extended_lease_is_not_ended_by_a_clock_that_is_set(
    table: TokenTable, clock: FakeClock, boot: Callable[[str], None]
) -> None:
    boot("this")
    claim, other = Claim("ada"), Claim("ada")
    table.claim(claim)
    clock.advance(40)
    assert table.extend(claim)
    clock.jump(86_400)
    clock.advance(59)
    table.claim(other)
    assert other.fence is None
    clock.advance(1)
    table.claim(other)
    assert other.fence is not None


async def test_a_reboot_ends_every_lease(
    path: Path, clock: FakeClock, boot: Callable[[str], None]
) -> None:
    boot("the one before")
    async with orphaned(SQLiteStore(path, clock=clock)):
        pass
    boot("this")
    async with SQLiteStore(path, clock=clock) as store:
        assert await is_lent(store, "ada", DEADLINE)


@pytest.mark.parametrize("names", [("", "this"), ("this", "")])
async def test_who_does_not_know_the_boot_goes_by_the_wall_clock(
    path: Path, clock: FakeClock, boot: Callable[[str], None], names: tuple[str, str]
) -> None:
    boot(names[0])
    async with orphaned(SQLiteStore(path, clock=clock)):
        pass
    boot(names[1])
    async with SQLiteStore(path, clock=clock) as store:
        assert not await is_lent(store, "ada", 0.05)
        clock.jump(60)
        assert await is_lent(store, "ada", DEADLINE)


VERSION_1 = (
    "CREATE TABLE fence (last INTEGER NOT NULL)",
    "INSERT INTO fence VALUES (7)",
    """CREATE TABLE token (
        key BLOB PRIMARY KEY,
        token TEXT,
        fence INTEGER NOT NULL,
        leased_until REAL NOT NULL,
        lease_seconds REAL NOT NULL
    ) WITHOUT ROWID""",
    "PRAGMA application_id = 0x6F617574",
    "PRAGMA user_version = 1",
    "PRAGMA journal_mode = WAL",
)
LEASE_OF_VERSION_1 = (
    "INSERT OR REPLACE INTO token (key, token, fence, leased_until, lease_seconds)"
    " VALUES (?, ?, ?, ?, ?)"
)


async def test_a_file_of_version_1_is_brought_up_to_date_with_a_lease_in_it(
    path: Path, clock: FakeClock
) -> None:
    """Its lease ends by the wall clock, as whoever has it believes; the token stays."""
    with raw(path) as connection:
        for statement in VERSION_1:
            connection.execute(statement)
        row = (b"ada", '{"access_token":"one"}', 7, clock.time() + 60, 60.0)
        connection.execute(LEASE_OF_VERSION_1, row)
    async with SQLiteStore(path, clock=clock) as store:
        assert await store.load("ada") == Token("one")
        assert not await is_lent(store, "ada", 0.05)
        clock.advance(60)
        async with store.lease("ada") as lease:
            assert await lease.load() == Token("one")
            await lease.save(Token("two"))
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT last FROM fence").fetchone() == (8,)


async def test_a_process_of_version_1_that_has_the_file_open_goes_on(
    path: Path, clock: FakeClock
) -> None:
    """Until it is restarted, both keep out of each other's leases."""
    with raw(path) as older:
        for statement in VERSION_1:
            older.execute(statement)
        async with SQLiteStore(path, clock=clock) as store:
            async with store.lease("ada") as lease:
                await lease.save(Token("one"))
                question = "SELECT leased_until, lease_seconds FROM token"
                assert older.execute(question).fetchone() == (clock.time() + 60, 60.0)
            older.execute("UPDATE fence SET last = last + 1")
            row = (b"ada", '{"access_token":"one"}', 9, clock.time() + 60, 60.0)
            older.execute(LEASE_OF_VERSION_1, row)
            assert not await is_lent(store, "ada", 0.05)
            older.execute("UPDATE token SET leased_until = 0 WHERE fence = 9")
            assert await is_lent(store, "ada", DEADLINE)


async def test_a_clock_set_back_delays_a_lease_by_no_more_than_its_length(
    path: Path, clock: FakeClock, boot: Callable[[str], None]
) -> None:
    boot("")
    async with orphaned(SQLiteStore(path, clock=clock)):
        pass
    clock.jump(-86_400)
    had = anyio.Event()
    async with SQLiteStore(path, clock=clock) as store, anyio.create_task_group() as tasks:

        async def wait() -> None:
            async with store.lease("ada") as lease:
                assert lease.held
                had.set()

        tasks.start_soon(wait)
        with anyio.fail_after(DEADLINE):
            for seconds in (30, 29):
                await anyio.sleep(0.1)
                assert not had.is_set()
                clock.advance(seconds)
            await anyio.sleep(0.1)
            assert not had.is_set()
            clock.advance(1)
            await had.wait()


async def test_a_clock_set_forward_never_lets_the_older_answer_win(
    path: Path, clock: FakeClock, boot: Callable[[str], None]
) -> None:
    boot("")
    async with SQLiteStore(path, clock=clock) as here, SQLiteStore(path, clock=clock) as there:
        async with here.lease("ada") as first:
            clock.jump(3600)
            await first.save(Token("one"))
            async with there.lease("ada") as second:
                await second.save(Token("two"))
                with pytest.raises(LeaseLost):
                    await first.save(Token("late"))
        assert await here.load("ada") == Token("two")


async def test_a_lease_is_extended_while_it_is_held(path: Path) -> None:
    """A renewal that takes longer than a lease keeps it."""
    async with SQLiteStore(path, lease_seconds=0.3) as store, store.lease("ada") as lease:
        with raw(path) as connection, anyio.fail_after(DEADLINE):
            question = "SELECT leased_until FROM token"
            first = connection.execute(question).fetchone()
            while connection.execute(question).fetchone() == first:  # noqa: ASYNC110 - a file tells nobody
                await anyio.sleep(0.01)
        await lease.save(Token("one"))


@pytest.fixture
def table(path: Path, clock: FakeClock) -> Generator[TokenTable]:
    table = TokenTable(path, lease_seconds=60, clock=clock)
    yield table
    table.close()


def test_an_extended_lease_lives_on(table: TokenTable, clock: FakeClock) -> None:
    claim = Claim("ada")
    table.claim(claim)
    for _ in range(3):
        clock.advance(40)
        assert table.extend(claim)
    table.put_leased(claim, "one")
    clock.advance(60)
    assert not table.extend(claim)


def test_a_lease_that_ran_out_stays_so(table: TokenTable, clock: FakeClock) -> None:
    """Whoever looked at `held` may have acted on it; only the save is still taken."""
    claim = Claim("ada")
    table.claim(claim)
    clock.advance(60)
    assert not table.extend(claim)
    table.put_leased(claim, "late")
    other = Claim("ada")
    table.claim(other)
    assert other.fence is not None


def test_a_save_that_began_before_its_task_left_goes_on(table: TokenTable) -> None:
    """Cancelled by asyncio itself, the task goes, and the thread has the answer of the server."""
    claim = Claim("ada")
    table.claim(claim)
    claim.given_up = True
    table.put_leased(claim, "one")
    table.release(claim)
    assert table.read("ada").text == "one"
    with pytest.raises(LeaseLost):
        table.put_leased(claim, "two")


def test_a_lease_that_was_taken_away_is_not_extended(table: TokenTable) -> None:
    claim = Claim("ada")
    table.claim(claim)
    table.remove("ada")
    assert not table.extend(claim)
    assert claim.good_until == 0


def test_a_claim_that_was_given_up_takes_no_lease(table: TokenTable) -> None:
    """The thread may begin after the task that wanted the lease has gone."""
    claim = Claim("ada", given_up=True)
    table.release(claim)
    table.claim(claim)
    assert claim.fence is None
    late = Claim("ada")
    table.claim(late)
    assert late.fence is not None


def test_a_lease_of_an_unknown_key_leaves_nothing_behind(table: TokenTable, path: Path) -> None:
    claim = Claim("ada")
    table.claim(claim)
    table.release(claim)
    with raw(path) as connection:
        assert connection.execute("SELECT count(*) FROM token").fetchone() == (0,)


def test_fences_only_grow(table: TokenTable, path: Path, clock: FakeClock) -> None:
    """Also across logouts, and when the file is opened again."""
    fences: list[int] = []
    for _ in range(3):
        again = TokenTable(path, lease_seconds=60, clock=clock)
        claim = Claim("ada")
        again.claim(claim)
        assert claim.fence is not None
        fences.append(claim.fence)
        again.remove("ada")
        again.close()
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_cancellation_leaves_no_lease_behind(path: Path) -> None:
    """AT-78: a shield of anyio does not stop it, so a thread may claim for a task that has gone."""
    import asyncio

    async def renew(store: SQLiteStore) -> None:
        async with store.lease("ada"):
            pass

    async with SQLiteStore(path) as store:
        await store.load("ada")
        for steps in range(60):
            task = asyncio.create_task(renew(store))
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            task.cancel()
            await asyncio.wait([task])
            with anyio.fail_after(DEADLINE):
                await renew(store)
