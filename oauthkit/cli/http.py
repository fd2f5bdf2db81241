"""The HTTP client of the command line, as the environment wants it."""

import httpx

from oauthkit.errors import ConfigurationError


def http_client() -> httpx.AsyncClient:
    """Return a client that goes by the proxies and certificates of the environment.

    Raises:
        ConfigurationError: It names some that cannot be used.
    """
    try:
        return httpx.AsyncClient(timeout=30.0)
    except OSError as error:
        message = (
            "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: "
            f"{error.strerror}"
        )
        raise ConfigurationError(message) from error
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        message = (
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY names a proxy that cannot be used; it "
            "is an http:// or https:// URL, or a socks5:// one by: pip install 'httpx[socks]'"
        )
        raise ConfigurationError(message) from error
