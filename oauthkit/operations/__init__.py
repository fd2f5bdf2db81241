"""What is asked of an authorization server outside a session: a module for each endpoint."""

from oauthkit.operations.token import fetch_token

__all__ = ["fetch_token"]
