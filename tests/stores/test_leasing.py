import itertools

import anyio
import pytest

from oauthkit.errors import StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.leasing import extended, pauses
from oauthkit.stores.records import decode_token, encode_token

DEADLINE = 10.0


def test_pauses_grow_from_2_to_40_milliseconds_and_are_spread() -> None:
    """So a change is known within 50 ms, and looks do not come in step."""
    found = [list(itertools.islice(pauses(), 12)) for _ in range(50)]
    assert all(0.001 <= first[0] <= 0.002 for first in found)
    assert all(0.015 <= pause <= 0.03 for some in found for pause in some[6:])
    assert len({some[-1] for some in found}) > 1


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
