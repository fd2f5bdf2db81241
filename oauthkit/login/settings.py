"""What a `Login` of a framework takes beside the session, which is what `LoginFlow` takes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Required

from oauthkit.clock import Clock
from oauthkit.login.flow import LoginWishes
from oauthkit.login.messages import Notice
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.stores.logout_index import LogoutIndex
from oauthkit.stores.single_use import SingleUseStore


class LoginSettings(LoginWishes, total=False):
    """Say how visitors log in, as for `LoginFlow`."""

    cookie_keys: Required[Sequence[bytes]]
    client_id: str | None
    redirect_path: str
    scope: str | Iterable[str] | None
    public_url: str | None
    home: str
    post_logout_redirect_path: str | None
    visit_life: float
    name: str
    trusted_sites: Iterable[str]
    used: SingleUseStore | None
    logout_index: LogoutIndex | None
    client_metadata: ClientMetadata
    page: Callable[[Notice], str]
    clock: Clock
