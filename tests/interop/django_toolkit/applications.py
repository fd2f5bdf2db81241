"""Who is registered at the server: an application for each grant, and who can log in."""

from collections.abc import Mapping
from typing import Any, Final

CALLBACK: Final = "https://app.example/callback"
SECRET: Final = "a secret of thirty-two characters"
RESERVED: Final = "a+b/c d%e:f&g=h~?"
ADA: Final = {"username": "ada", "password": "lovelace"}
PEOPLE: Final = {ADA["username"]: ADA["password"]}


def _application(
    client_id: str, grant_type: str, *, public: bool = False, **further: Any
) -> Mapping[str, Any]:
    return {
        "client_id": client_id,
        "client_secret": "" if public else SECRET,
        "client_type": "public" if public else "confidential",
        "authorization_grant_type": grant_type,
        "redirect_uris": CALLBACK,
        "post_logout_redirect_uris": f"{CALLBACK}/out",
        "algorithm": "RS256",
        **further,
    }


APPLICATIONS: Final = (
    _application("web", "authorization-code"),
    _application("app", "authorization-code", public=True),
    _application("signed-RS256", "authorization-code"),
    _application("signed-HS256", "authorization-code", algorithm="HS256"),
    _application("service", "client-credentials"),
    _application("reserved characters", "client-credentials", client_secret=RESERVED),
    _application("legacy", "password"),
    _application("device", "urn:ietf:params:oauth:grant-type:device_code", public=True),
)
