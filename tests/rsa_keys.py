"""Two RSA keys for all tests of a process: each takes a tenth of a second to be made."""

from typing import Final

from joserfc.jwk import RSAKey

RSA: Final = RSAKey.generate_key(2_048)
OTHER_RSA: Final = RSAKey.generate_key(2_048)
