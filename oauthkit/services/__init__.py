"""Five documented systems: profiles of their token endpoints, and thin typed functions.

A service of one's own has the same form: values and one function an endpoint, beside a session
that is shared.
"""

from oauthkit.services import ads, auth_v1, hello, id_secret, put_auth
from oauthkit.services.ads import get_bibcode, test
from oauthkit.services.hello import say_hello

__all__ = [
    "ads",
    "auth_v1",
    "get_bibcode",
    "hello",
    "id_secret",
    "put_auth",
    "say_hello",
    "test",
]
