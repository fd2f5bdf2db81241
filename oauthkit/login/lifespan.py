"""What is open while an application with a login runs."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from oauthkit.login.settings import LoginSettings
from oauthkit.session import AsyncTokenSession


@asynccontextmanager
async def opened(session: AsyncTokenSession[Any], settings: LoginSettings) -> AsyncGenerator[None]:
    """Have what was given for a login open within the block, and closed after it.

    Args:
        session: The application's session; it is closed first, and its store after it.
        settings: Among them, stores of what was used and of who is whose.
    """
    given = (session.store, settings.get("used"), settings.get("logout_index"), session)
    async with AsyncExitStack() as stack:
        for one in given:
            if isinstance(one, AbstractAsyncContextManager):
                await stack.enter_async_context(one)
        yield
