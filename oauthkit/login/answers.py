"""What visitors and programs are told: which error is whose, and what is said of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast
from urllib.parse import quote

import attrs

from oauthkit.errors import (
    AccessDenied,
    ErrorResponse,
    OAuthKitError,
    Recovery,
    StoreError,
    TransportError,
)
from oauthkit.labels import LOGGER, log_fields
from oauthkit.login.cookies import Cookie
from oauthkit.login.messages import LoginReply, LoginRequest, Notice, page, problem, redirect
from oauthkit.login.sites import Site, return_path

_RETRY_SECONDS: Final = 5.0
_TOO_MANY_REQUESTS: Final = 429

UNKNOWN: Final = Notice(status=400, text="This login is over, or was begun in another browser.")
FORGED: Final = Notice(status=400, text="This is not the answer to your login.")
OUTSIDE: Final = Notice(status=400, text="A login ends at a page of this site.")
ANOTHER_HOST: Final = Notice(status=400, text="This site has another name.")
ANOTHER_SITE: Final = Notice(status=403, text="Another site cannot log you out.")
_FAILED: Final = Notice(status=400, text="The login did not work.")
_REFUSED: Final = Notice(status=403, text="You were not logged in.")
_LATER: Final = Notice(
    status=503, text="A service that we need is out of order; try again in a moment."
)


@attrs.frozen
class Answers:
    """Give the answers that are no success.

    Attributes:
        site: Where the login is.
        html_of: Makes the HTML of a notice.
    """

    site: Site
    html_of: Callable[[Notice], str]

    def shown(
        self,
        notice: Notice,
        request: LoginRequest,
        cookies: Iterable[Cookie] = (),
        *,
        retry_after: float | None = None,
    ) -> LoginReply:
        """Show a page; nothing of what came stands on it."""
        notice = attrs.evolve(notice, link=self.site.login_of(request))
        return page(notice, self.html_of(notice), cookies, retry_after=retry_after)

    def challenge(self, request: LoginRequest) -> LoginReply:
        """Answer who needs to log in: a page is sent to the login, a program told."""
        login = self.site.login_of(request)
        if not request.wants_page:
            detail = f"nobody has logged in; a browser does that at {login}"
            return problem(401, "Unauthorized", detail)
        return_to = return_path(request.path) if request.reads else None
        if return_to is None:
            return redirect(login)
        return redirect(f"{login}?return_to={quote(return_to, safe='', errors='replace')}")

    def out_of_order(
        self, error: OAuthKitError, request: LoginRequest, cookies: Iterable[Cookie] = ()
    ) -> LoginReply:
        """Answer that something is out of order for a moment."""
        seconds = _RETRY_SECONDS if error.retry_after is None else error.retry_after
        fields = log_fields("VisitorToldLater", error=error)
        LOGGER.warning("a visitor was told to come again later: %s", error, extra=fields)
        if request.wants_page:
            return self.shown(_LATER, request, cookies, retry_after=seconds)
        reply = problem(503, "Service Unavailable", _LATER.text, retry_after=seconds)
        return attrs.evolve(reply, cookies=tuple(cookies))

    def unfinished(
        self, error: OAuthKitError, request: LoginRequest, cookies: Iterable[Cookie]
    ) -> LoginReply:
        """Answer a callback that belongs to a login, which has failed all the same.

        Raises:
            OAuthKitError: The fault is in a setting.
        """
        if isinstance(error, AccessDenied):
            return self.shown(_REFUSED, request, cookies)
        if _is_outage(error):
            return self.out_of_order(error, request, cookies)
        if error.recovery is Recovery.CHANGE_REQUEST and not _came_by_callback(error):
            raise error
        LOGGER.warning("a login failed: %s", error, extra=log_fields("LoginFailed", error=error))
        return self.shown(_FAILED, request, cookies)


def each(error: Exception) -> Iterator[Exception]:
    """Give the errors of a group, and of those in it; of another error, that one."""
    if isinstance(error, ExceptionGroup):
        for one in cast("ExceptionGroup[Exception]", error).exceptions:
            yield from each(one)
    else:
        yield error


def _is_outage(error: OAuthKitError) -> bool:
    """Tell whether something is out of order, and not the login.

    The recovery does not say: a code that was sent is spent, also where no answer came.
    """
    if isinstance(error, TransportError | StoreError) or error.recovery is Recovery.RETRY_LATER:
        return True
    return (getattr(error, "status_code", None) or 0) >= _TOO_MANY_REQUESTS


def _came_by_callback(error: OAuthKitError) -> bool:
    """Tell whether a browser has brought an error, which need be no fault of a setting then."""
    return isinstance(error, ErrorResponse) and error.status_code is None
