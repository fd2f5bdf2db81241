"""The fake that the other tests use does what a real server does with our scripts."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from oauthkit.stores.redis_scripts import ACQUIRE, DELETE, EXTEND, RELEASE, SAVE, Script
from tests.stores.conftest import FakeRedisServer

KEYS = ("same:{ada}:token", "same:{ada}:lease")
OWNERS = st.sampled_from(["one", "two"])
VERSIONS = st.sampled_from(["v1", "v2"])
LIVES = st.sampled_from(["", "300000", "90000000"])
CALLS = st.one_of(
    st.tuples(st.just(ACQUIRE), OWNERS, st.just("60000"), st.sampled_from(["", "none", "v1"])),
    st.tuples(st.just(EXTEND), OWNERS, st.just("70000")),
    st.tuples(st.just(SAVE), OWNERS | st.just(""), VERSIONS, LIVES, st.sampled_from(["t", "u"])),
    st.tuples(st.just(RELEASE), OWNERS),
    st.tuples(st.just(DELETE), OWNERS | st.just("")),
    st.tuples(st.just(None)),
)
"""A script with its arguments; None is the end of the lease by time."""


@pytest.fixture
def real(redis_port: int) -> Iterator[Any]:
    with redis.Redis(port=redis_port) as client:
        yield client


def kept(server: FakeRedisServer) -> dict[str, Any]:
    """Return what a fake has, and for how many seconds."""
    now = server.clock.time()
    return {
        name: (value, server.ends_at[name] - now if name in server.ends_at else None)
        for name, value in (server.hashes | server.strings).items()
    }


def really_kept(real: Any) -> dict[str, Any]:
    """Return the same of a real server."""
    found: dict[str, Any] = {}
    for key in KEYS:
        kind, left = real.type(key).decode(), real.pttl(key)
        if kind == "hash":
            fields = {name.decode(): value.decode() for name, value in real.hgetall(key).items()}
            found[key] = (fields, None if left < 0 else pytest.approx(left / 1000, abs=5))
        elif kind == "string":
            found[key] = (real.get(key).decode(), pytest.approx(left / 1000, abs=5))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(CALLS, max_size=12))
def same_answers(real: Any, calls: list[tuple[Script | None, *tuple[str, ...]]]) -> None:
    fake = FakeRedisServer()
    real.delete(*KEYS)
    for script, *arguments in calls:
        if script is None:
            fake.forget(KEYS[1])
            real.delete(KEYS[1])
        else:
            answer = real.eval(script.source, len(KEYS), *KEYS, *arguments)
            assert fake.eval(script.source, KEYS, arguments) == answer
        assert kept(fake) == really_kept(real)


def test_the_fake_and_a_real_server_answer_alike(real: Any) -> None:
    same_answers(real)
