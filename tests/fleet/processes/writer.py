"""Save one token after the other into an SQLite file, and say so after each."""

import itertools
import sys

import anyio

from oauthkit import Token
from oauthkit.stores.sqlite import SQLiteStore


async def main() -> None:
    store = SQLiteStore(sys.argv[1], lease_seconds=0.2)
    found = await store.load("key")
    first = 1 if found is None else int(found.access_token) + 1
    for number in itertools.count(first):
        token = Token(str(number), refresh_token="r" * (number % 5_000))
        if number % 2:
            await store.save("key", token)
        else:
            async with store.lease("key") as lease:
                await lease.save(token)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


anyio.run(main, backend=sys.argv[2])
