import anyio
import pytest

from oauthkit.errors import StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.leasing import extended, pauses
from oauthkit.stores.records import decode_token, encode_token
from oauthkit.testing import FakeClock

DEADLINE = 10.0


def waits(seconds: float, **options: float) -> list[tuple[float, float]]:
    """Return when a wait of so many seconds is interrupted by pauses, and by which."""
    clock = FakeClock()
    pause = pauses(clock.monotonic, **options)
    began, found = clock.monotonic(), list[tuple[float, float]]()
    while clock.monotonic() < began + seconds:
        found.append((clock.monotonic() - began, next(pause)))
        clock.advance(found[-1][1])
    return found


def test_pauses_begin_at_2_milliseconds_and_are_spread() -> None:
    """Looks of a fleet do not come in step."""
    first = {next(pauses(FakeClock().monotonic)) for _ in range(50)}
    assert len(first) > 1
    assert 0.0016 <= min(first) <= max(first) <= 0.002


def test_a_change_is_known_within_50_milliseconds() -> None:
    assert 0.04 < max(pause for _, pause in waits(60)) <= 0.045


def test_pauses_grow_with_the_wait_where_they_may() -> None:
    """It lasts longer by no more than a twentieth."""
    waited = waits(60, longest=1)
    assert all(pause <= 0.045 for now, pause in waited if now <= 1)
    assert all(pause <= now / 20 for now, pause in waited if now >= 1)
    assert 0.8 <= waited[-1][1] <= 1


def test_the_longer_a_wait_the_fewer_the_looks() -> None:
    assert len(waits(1)) < 40
    assert len(waits(5, longest=1)) < 90
    assert len(waits(60, longest=1)) < 180


async def test_a_holder_that_hangs_is_not_kept_alive_for_ever() -> None:
    count, enough = 0, anyio.Event()

    async def extend() -> bool:
        nonlocal count
        count += 1
        if count == 30:
            enough.set()
        return True

    with anyio.fail_after(DEADLINE):
        async with extended(extend, lease_seconds=0.003):
            await enough.wait()
            await anyio.sleep(0.02)
    assert count == 30


async def test_errors_leave_the_block_as_they_are() -> None:
    async def extend() -> bool:
        raise StoreError

    async def fail() -> None:
        async with extended(extend, lease_seconds=0.003):
            await anyio.sleep(0.01)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()


def test_a_kept_token_has_no_printable_form() -> None:
    text = encode_token(Token("secret-canary"))
    assert "canary" not in repr(text)
    assert decode_token(text) == Token("secret-canary")


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"access_token": 1}', "[" * 100_000, '{"access_token": "canary'],
    ids=["nothing", "null", "a list", "empty", "a number", "deep", "cut off"],
)
def test_what_is_no_token_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(StoreError, match="not a token") as caught:
        decode_token(text)
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)
