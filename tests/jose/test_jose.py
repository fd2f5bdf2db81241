"""The room that knows joserfc: what is said where that is not installed."""

import sys

import pytest

from oauthkit import ConfigurationError
from oauthkit.jose import require_joserfc


def test_without_joserfc_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)

    with pytest.raises(ConfigurationError, match=r"this needs joserfc.*oauthkit\[jose\]"):
        require_joserfc("this")
