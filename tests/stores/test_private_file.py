"""The file is its owner's alone, and what was deleted is in none of its files."""

# ruff: noqa: ASYNC240 - nobody waits for these tests

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from oauthkit import Recovery, StoreError, Token
from oauthkit.stores.private_file import check_private
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.stores.sqlite_file import overwritten

POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(path: Path) -> bytes:
    """Return all bytes of all files of a store."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


async def refused(path: Path, reason: str) -> None:
    before = path.read_bytes() if path.is_file() else None
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match=reason) as caught:
        await store.load("ada")
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert str(path.parent) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


async def saved(path: Path, token: str = "a") -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token(token))


# Whose file it is


@POSIX
@pytest.mark.parametrize("bits", [0o602, 0o622, 0o666, 0o777])
async def test_a_file_that_others_can_write_is_refused(path: Path, bits: int) -> None:
    await saved(path)
    path.chmod(bits)
    await refused(path, "can be written by other users .* chmod 600")


@POSIX
@pytest.mark.parametrize("bits", [0o620, 0o640, 0o660, 0o664])
async def test_a_file_that_a_group_has_becomes_its_owners_alone(path: Path, bits: int) -> None:
    """Volumes are mounted so, and a umask of 002 gives each user a group of his own."""
    await saved(path)
    path.chmod(bits)
    async with SQLiteStore(path) as store:
        assert await store.load("ada") == Token("a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@POSIX
async def test_an_empty_file_that_others_can_write_is_refused(path: Path) -> None:
    """Whoever has it open can write to it later."""
    path.touch()
    path.chmod(0o666)
    await refused(path, "can be written by other users")


@POSIX
@pytest.mark.parametrize("companion", ["-wal", "-shm", "-journal"])
async def test_what_sqlite_would_read_beside_the_file_is_looked_at_too(
    path: Path, companion: str
) -> None:
    """Somebody else may have put it there before, in a directory like /tmp."""
    await saved(path)
    beside = path.with_name(path.name + companion)
    beside.touch()
    beside.chmod(0o666)
    await refused(path, f"{companion} can be written by other users")


@POSIX
async def test_a_file_of_another_user_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(path)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    await refused(path, f"belongs to user {owner}, and this process runs as user {owner + 1}")


@POSIX
async def test_a_directory_in_which_anybody_can_replace_the_file_is_refused(path: Path) -> None:
    await saved(path)
    path.parent.chmod(0o777)
    await refused(path, r"directory .* can be written by every user .* chmod o-w")


@POSIX
async def test_no_file_is_made_where_anybody_can_replace_it(path: Path) -> None:
    path.parent.chmod(0o777)
    await refused(path, "can be written by every user")
    assert list(path.parent.iterdir()) == []


@POSIX
async def test_a_directory_is_looked_at_through_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    await saved(tmp_path / "open" / "tokens.db")
    path.symlink_to(tmp_path / "open" / "tokens.db")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StoreError, match="open can be written by every user"):
        await SQLiteStore(path).load("ada")


@POSIX
async def test_a_directory_like_tmp_is_good_enough(path: Path) -> None:
    """With the sticky bit, nobody replaces another's file."""
    path.parent.chmod(0o1777)
    await saved(path)
    await saved(path)


@POSIX
async def test_nobody_else_reads_the_file_from_then_on(path: Path) -> None:
    await saved(path)
    path.chmod(0o644)
    await saved(path)
    assert mode(path) == 0o600


@POSIX
async def test_all_files_are_the_owners_alone(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("a"))
        async with store.lease("ada"):
            files = list(path.parent.iterdir())
            assert len(files) == 3
            assert {mode(file) for file in files} == {0o600}


def test_a_system_without_owners_of_files_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid", raising=False)
    check_private(path)


# B9: what was deleted


def canaries(count: int) -> dict[str, Token]:
    """Return tokens of several sizes, each with text of its own."""
    return {
        f"key {number}": Token(f"canary-{number}-" * (1 + number * 7), refresh_token=f"r{number}")
        for number in range(count)
    }


async def test_a_deleted_token_is_in_no_file(path: Path) -> None:
    """While the store is open, and other keys are at work."""
    async with SQLiteStore(path) as store:
        for key, token in canaries(40).items():
            await store.save(key, token)
        assert b"canary-5-" in contents(path)
        for key in canaries(40):
            async with store.lease(key) as lease:
                await lease.save(Token("canary-of-a-renewal"))
            await store.delete(key)
        assert b"canary" not in contents(path)
        assert b'"r5"' not in contents(path)


async def test_what_a_login_replaced_is_in_no_file(path: Path) -> None:
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("canary"))
        await store.save("ada", Token("after"))
        assert b"canary" not in contents(path)
        assert b"after" in contents(path)


async def test_what_was_renewed_and_deleted_is_in_no_file(path: Path) -> None:
    async with SQLiteStore(path) as store, SQLiteStore(path) as elsewhere:
        await store.save("ada", Token("canary 1"))
        async with elsewhere.lease("ada") as lease:
            await lease.save(Token("canary 2"))
        await store.delete("ada")
        assert b"canary" not in contents(path)
        assert await elsewhere.load("ada") is None


async def test_what_cannot_be_overwritten_now_is_at_the_next_write(path: Path) -> None:
    """Another program reads the file for long, as a backup does."""
    reader = sqlite3.connect(path, isolation_level=None)
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("canary"))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM token").fetchone()
        await store.delete("ada")
        assert await store.load("ada") is None
        assert b"canary" in contents(path)
        reader.execute("COMMIT")
        async with store.lease("bob"):
            assert b"canary" not in contents(path)
    reader.close()


async def test_what_a_process_left_behind_is_overwritten_by_the_next_one(path: Path) -> None:
    """It died between the deletion and that."""
    async with SQLiteStore(path) as store:
        await store.save("ada", Token("canary"))
        died = sqlite3.connect(path, isolation_level=None)  # keeps the log there
        died.execute("DELETE FROM token")
    assert b"canary" in contents(path)
    async with SQLiteStore(path) as store:
        assert await store.load("ada") is None
        assert b"canary" not in contents(path)
    died.close()


def test_a_log_that_cannot_be_emptied_stops_no_logout(path: Path) -> None:
    """A connection cannot empty the log that it reads itself."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("PRAGMA journal_mode = WAL")
    reader.execute("CREATE TABLE anything (a)")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM anything").fetchone()
    assert not overwritten(reader)
    reader.execute("COMMIT")
    assert overwritten(reader)
    reader.close()
