"""What is open while an application with a login runs."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, cast

from oauthkit.session import AsyncTokenSession


@asynccontextmanager
async def opened(session: AsyncTokenSession[Any], *stores: object) -> AsyncGenerator[None]:
    """Have what was given for a login open within the block, and closed after it.

    Args:
        session: The application's session; it is closed first, and its store after it.
        stores: Further ones: of what was used, and of who is whose; None is none.
    """
    given = (session.store, *stores, session)
    async with AsyncExitStack() as stack:
        for one in given:
            if isinstance(one, AbstractAsyncContextManager):
                await stack.enter_async_context(cast("AbstractAsyncContextManager[object]", one))
        yield
