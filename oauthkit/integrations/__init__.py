"""What fits oauthkit into a framework: one module or package for each, which knows no other."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def installed_by(requirements: str) -> Generator[None]:
    """Have a framework that is not installed named together with how to install it.

    Args:
        requirements: What `pip install` is given for it.

    Raises:
        ModuleNotFoundError: It is not installed; so `except ImportError` still goes without it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed: pip install {requirements}"
        raise ModuleNotFoundError(message, name=error.name) from error
