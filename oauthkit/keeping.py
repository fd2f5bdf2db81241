"""Keep a session's token fresh whatever the traffic."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from oauthkit.kinds import check_kind
from oauthkit.session import AsyncTokenSession


@asynccontextmanager
async def keeper(session: AsyncTokenSession[Any], *, in_use: bool = False) -> AsyncGenerator[None]:
    """Renew ahead while the block is open, so that no call ever waits for a renewal.

    Without it a token is renewed when a call comes in its leeway, and a call that comes seldom
    waits. With it the token is renewed in its leeway by itself, and before its refresh token dies
    for not being used (`RenewalPolicy.idle_life`). In a fleet one process renews and the others
    adopt: each looks at the store first, and takes its lease; their moments are jittered
    (`RenewalPolicy.jitter`).

    Example:
        ::

            async with keeper(session):
                await serve()

    Args:
        session: Whose own key is kept.
        in_use: Keep the keys of `session.for_key` too, each as long as a call comes for it between
            one renewal and the next. They are renewed by what the store holds, or by the grant that
            `for_key` was given; keys that other sessions use over the same store are theirs.

    Raises:
        ConfigurationError: It is no session, or one that is closed, or in use in the event loop of
            another thread.
    """
    check_kind("keeper: session", session, AsyncTokenSession)
    check_kind("keeper: in_use=", in_use, bool)
    stop = session._keep(in_use=in_use)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        await stop()
