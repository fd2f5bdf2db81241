"""A program without an integration's framework is told how to install it."""

import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "framework, module, requirements",
    [
        ("fastapi", "fastapi", "'oauthkit[fastapi]'"),
        ("starlette", "fastapi", "'oauthkit[fastapi]'"),
        ("starlette", "starlette", "'oauthkit[login]' starlette"),
        ("opentelemetry", "opentelemetry", "'oauthkit[otel]'"),
    ],
)
def test_a_framework_that_is_missing_is_named_with_what_installs_it(
    framework: str, module: str, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fastapi", "starlette", "opentelemetry"):
        monkeypatch.delitem(sys.modules, f"oauthkit.integrations.{name}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == framework]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(ModuleNotFoundError) as caught:
        import_module(f"oauthkit.integrations.{module}")

    assert caught.value.name is not None
    assert caught.value.name.partition(".")[0] == framework
    assert str(caught.value).endswith(f" is not installed: pip install {requirements}")


def test_aiohttp_is_named_when_something_that_needs_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = import_module("oauthkit.integrations.aiohttp")
    monkeypatch.delitem(vars(package), "token_middleware", raising=False)
    monkeypatch.delitem(sys.modules, f"{package.__name__}.client", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'oauthkit\[aiohttp\]'"):
        _ = package.token_middleware
