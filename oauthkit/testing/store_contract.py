"""What any token store must do, as tests for whoever writes one.

Example:
    ::

        class TestMyStore(SharedStoreContract):
            @pytest.fixture(autouse=True)
            def _place(self, tmp_path):
                self.path = tmp_path / "tokens"

            def open(self, *, lease_seconds):
                return MyStore(self.path, lease_seconds=lease_seconds)

The tests are plain `async def` methods: run them by anyio's pytest plugin (`anyio_mode = "auto"`,
or `pytest.mark.anyio` on the class), or any other. Nothing here needs pytest itself.
"""

import weakref
from functools import partial
from typing import Final

import attrs

from oauthkit.protocol.token import Token
from oauthkit.testing.holders import (
    holding,
    is_lent,
    lease_and_leave,
    require,
    require_refusal,
    require_same,
)
from oauthkit.testing.lease_contract import LeaseContract

ODD_KEYS: Final = (
    " ",
    "%",
    "a",
    "A",
    "a b",
    "a:b",
    "a/b",
    "../a",
    "a\0b",
    "{a}",
    "}{",
    "{}",
    "a'; DROP TABLE token; --",
    "*",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{RIGHT-TO-LEFT OVERRIDE}ada",
    "\N{GRINNING FACE}",
    "a" * 1_000,
)
"""Keys that a store must tell apart."""

_MANY: Final = 200


@attrs.frozen
class DocumentedToken(Token):
    """A token with fields of its own, as a documented system has them."""

    tenant: str | None = None
    level: int | None = None


RICH_TOKEN: Final = DocumentedToken(
    "access.\N{GRINNING FACE}",
    token_type="bEaReR",  # noqa: S106 - not a password
    issued_at=1_700_000_000.25,
    expires_at=4_102_444_800.5,
    refresh_token="refresh \u2028\"\\'",  # noqa: S106 - made up
    refresh_expires_at=4_133_980_800.0,
    scope="read write:é",
    id_token="a.b.c",  # noqa: S106 - made up
    tenant="Zürich",
    level=0,
    extra={
        "text": "\0\x7f",
        "numbers": [0, -1, 2**53, 0.1],
        "nothing": None,
        "yes": True,
        "deep": {"list": [[], {}], "": ""},
    },
    issuer="https://auth.example/\N{GREEK SMALL LETTER ALPHA}",
    token_endpoint="https://auth.example/token",  # noqa: S106 - no password
    client_id="app\0",
    unknown={"a member of a later version": {"list": [None]}},
)
"""A token with something in every place."""


class StoreContract(LeaseContract):
    """Test a store by subclassing this; see the module's example."""

    async def test_an_unknown_key_has_no_token(self) -> None:
        """Nothing was saved, so nothing is there."""
        async with self._store() as store:
            require_same(await store.load("ada"), None, "load of an unknown key")

    async def test_a_saved_token_is_loaded(self) -> None:
        """The latest token that was saved is the one that is there."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            require_same(await store.load("ada"), Token("one"), "load after save")
            await store.save("ada", Token("two"))
            require_same(await store.load("ada"), Token("two"), "load after a second save")

    async def test_everything_in_a_token_is_kept(self) -> None:
        """Every field comes back, those of a subclass and unknown members among them."""
        async with self._store() as store:
            await store.save("ada", RICH_TOKEN)
            loaded = await store.load("ada")
            again = loaded and DocumentedToken.from_dict(loaded.to_dict())
            require_same(
                again and again.to_dict(), RICH_TOKEN.to_dict(), "every member of the token"
            )

    async def test_a_deleted_token_is_gone(self) -> None:
        """A key can be deleted, also when there is nothing under it, and used again."""
        async with self._store() as store:
            await store.delete("ada")
            await store.save("ada", Token("one"))
            await store.delete("ada")
            require_same(await store.load("ada"), None, "load after delete")
            await store.save("ada", Token("two"))
            require_same(await store.load("ada"), Token("two"), "load after a save after delete")

    async def test_odd_keys_are_kept_apart(self) -> None:
        """Any text is a key, and no two texts are the same key."""
        async with self._store() as store:
            for number, key in enumerate(ODD_KEYS):
                await store.save(key, Token(f"token-{number}"))
            for number, key in enumerate(ODD_KEYS):
                require_same(
                    await store.load(key), Token(f"token-{number}"), f"load of {key[:40]!a}"
                )
                async with store.lease(key) as lease:
                    require_same(
                        await lease.load(), Token(f"token-{number}"), f"lease of {key[:40]!a}"
                    )

    async def test_many_keys_are_kept(self) -> None:
        """Keys do not push each other out, and deleting one leaves the others."""
        async with self._store() as store:
            for number in range(_MANY):
                await store.save(f"user-{number}", Token(f"token-{number}"))
            await store.delete("user-0")
            for number in range(1, _MANY):
                found = await store.load(f"user-{number}")
                require_same(found, Token(f"token-{number}"), f"load of user-{number}")

    async def test_a_store_says_how_long_its_leases_live(self) -> None:
        """A session refuses a store whose leases do not outlive a renewal."""
        async with self._store(self.lease_seconds) as store:
            require_same(store.lease_seconds, self.lease_seconds, "lease_seconds")

    async def test_a_store_can_be_a_weak_key(self) -> None:
        """Sessions find what they share by their store."""
        async with self._store() as store:
            shared = weakref.WeakKeyDictionary({store: "shared"})
            require_same(shared[store], "shared", "what is kept by the store")


class SharedStoreContract(StoreContract):
    """Test a store that several processes share: opened twice, it is the same place."""

    async def test_a_token_is_seen_by_others(self) -> None:
        """What one saves or deletes, another finds."""
        async with self._store() as here, self._store() as there:
            await here.save("ada", RICH_TOKEN)
            loaded = await there.load("ada")
            require_same(loaded and loaded.to_dict(), RICH_TOKEN.to_dict(), "load by another")
            await there.delete("ada")
            require_same(await here.load("ada"), None, "load after another's delete")

    async def test_a_token_outlives_the_store_object(self) -> None:
        """What was saved is there when the store is opened again."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
        async with self._store() as store:
            require_same(await store.load("ada"), Token("one"), "load after opening again")

    async def test_a_lease_has_one_holder_among_all(self) -> None:
        """Nobody else has a lease that is held here."""
        async with self._store() as here, self._store() as there, holding(here, "ada") as first:
            require(
                not await is_lent(there, "ada", self.moment), "a lease held by another is not lent"
            )
            first.leave()
            await self._free(there, "ada")

    async def test_another_login_or_logout_takes_the_lease_away(self) -> None:
        """A save here is refused after what happened there."""
        async with self._store() as here, self._store() as there:
            async with holding(here, "ada") as first:
                await there.save("ada", Token("login"))
                await require_refusal(first.lease)
            async with holding(here, "ada") as first:
                await there.delete("ada")
                await require_refusal(first.lease)
            require_same(await here.load("ada"), None, "load after the logout")

    async def test_a_late_save_is_refused_after_what_another_did(self) -> None:
        """A login, a logout, a renewal, or a lease that was only had there."""
        async with self._store(self.lease_seconds) as here, self._store() as there:

            async def renew() -> None:
                async with there.lease("ada") as lease:
                    await lease.save(Token("there"))

            for act in (
                partial(there.save, "ada", Token("there")),
                partial(there.delete, "ada"),
                partial(lease_and_leave, there, "ada"),
                renew,
            ):
                async with holding(here, "ada") as first:
                    await self.stand_still(self.lease_seconds * 1.5)
                    await act()
                    found = await there.load("ada")
                    await require_refusal(first.lease)
                    require_same(await here.load("ada"), found, "the token after a refused save")

    async def test_a_lease_runs_out_for_all(self) -> None:
        """A process that stopped does not overwrite what another has renewed meanwhile."""
        async with self._store(self.lease_seconds) as here, self._store() as there:
            async with holding(here, "ada") as first:
                await self.stand_still(self.lease_seconds * 1.5)
                async with holding(there, "ada") as second:
                    await second.lease.save(Token("two"))
                await require_refusal(first.lease)
            require_same(await here.load("ada"), Token("two"), "the token of the one in time")
