from threading import Barrier, Thread

import pytest

from oauthkit.protocol.single_use import CODES, LOGINS, SingleUse


def test_the_first_use_is_told_from_every_later_one() -> None:
    codes = SingleUse()

    assert codes.claim("https://auth.example/token", "c")
    assert not codes.claim("https://auth.example/token", "c")
    assert codes.claim("https://other.example/token", "c")
    assert codes.claim("https://auth.example/token", "d")


def test_a_use_that_came_to_nothing_is_none() -> None:
    codes = SingleUse()
    codes.claim("a", "b")

    codes.release("a", "b")
    codes.release("a", "b")

    assert codes.claim("a", "b")
    assert not codes.claim("a", "b")


def test_the_oldest_uses_are_forgotten_first() -> None:
    codes = SingleUse(most=3)
    for name in "abc":
        codes.claim(name)
    codes.claim("a")  # a look at it makes it no younger

    codes.claim("d")

    assert [codes.claim(name) for name in "dcb"] == [False, False, False]
    assert codes.claim("a")
    assert len(codes._used) == 3


def test_a_use_that_was_released_and_claimed_again_is_young() -> None:
    codes = SingleUse(most=2)
    codes.claim("a")
    codes.claim("b")
    codes.release("a")
    codes.claim("a")

    codes.claim("c")

    assert not codes.claim("a")
    assert codes.claim("b")


@pytest.mark.parametrize("memory", [CODES, LOGINS])
def test_the_memory_of_the_process_is_bounded(memory: SingleUse) -> None:
    assert memory.most == 10_000


def test_one_of_many_threads_is_the_first() -> None:
    codes = SingleUse()
    barrier = Barrier(8)
    first: list[int] = []

    def claim() -> None:
        for number in range(1_000):
            barrier.wait(timeout=10)
            if codes.claim("a", str(number)):
                first.append(number)

    threads = [Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(first) == list(range(1_000))


def test_no_code_is_kept_or_printed() -> None:
    """O2-40."""
    codes = SingleUse()
    codes.claim("https://auth.example/token", "canary\ud800\0")

    assert "canary" not in f"{codes!r}{codes._used}"
    assert all(len(digest) == 32 for digest in codes._used)
