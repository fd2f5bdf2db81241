"""The parameters of a callback, in whatever form a framework gives them (RFC 6749 §4.1.2).

They come in the query of the redirect URI, or, where the login asks for `response_mode=form_post`,
in the body of a form that the browser posts there (OAuth 2.0 Form Post Response Mode §2).
"""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from oauthkit.errors import AccessDenied, ErrorResponse, InteractionRequired, UnmetRequirements
from oauthkit.protocol.secret import Unprintable

Callback = str | Mapping[str, Any] | Iterable[tuple[str, str]]
"""A callback's parameters: its URL or query, a form's body, a mapping as frameworks give, pairs.

Mappings that may hold a name twice are asked for all their values: those of Starlette, FastAPI,
Flask, Quart, Django, aiohttp and Bottle.
"""

_LONGEST_CALLBACK: Final = 65_536
_MOST_PARAMETERS: Final = 100
_ALL_PAIRS: Final = ("multi_items", "lists", "allitems")
"""How frameworks give every value: Starlette, Litestar; Flask, Quart, Django; Bottle."""

_URL: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/|[^=?]*\?)")
_FORM: Final = "application/x-www-form-urlencoded"
_ANSWERS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
_TOKENS: Final = frozenset({"access_token", "id_token"})
_KINDS: Final[Mapping[str, type[ErrorResponse]]] = {
    "access_denied": AccessDenied,
    "login_required": InteractionRequired,
    "interaction_required": InteractionRequired,
    "consent_required": InteractionRequired,
    "account_selection_required": InteractionRequired,
    "unmet_authentication_requirements": UnmetRequirements,
}


def parameters_of(callback: Callback) -> Unprintable | None:
    """Return the parameters of a callback; None where it is malformed."""
    try:
        pairs = list(islice(_pairs(callback), _MOST_PARAMETERS + 1))
        found = Unprintable(pairs)
    except (AttributeError, TypeError, ValueError):
        return None
    texts = all(isinstance(text, str) for pair in found.items() for text in pair)
    return found if texts and len(found) == len(pairs) <= _MOST_PARAMETERS else None


def is_url(callback: Callback) -> bool:
    """Tell whether a callback is given as a URL or as what stands behind its path."""
    return isinstance(callback, str) and bool(_URL.match(callback) or callback.startswith("#"))


def stands_in_fragment(callback: Callback) -> bool:
    """Tell whether a callback's parameters stand in the fragment of its URL.

    No server ever sees them there: a page's script or a person has handed the URL over.
    """
    if not isinstance(callback, str) or len(callback) > _LONGEST_CALLBACK:
        return False
    return "state" in {name for name, _ in parse_qsl(callback.partition("#")[2])}


def misdelivered(
    mode: str | None, *, url: bool, method: str | None, content_type: str | None
) -> str | None:
    """Return why a callback did not come in the way that was asked for; None where nothing says so.

    Args:
        mode: The `response_mode` of the login.
        url: Whether its parameters stand in a URL.
        method: By which HTTP method it came, where that is known.
        content_type: The `Content-Type` of what was posted, where that is known.
    """
    form_post = mode == "form_post"
    wanted = "POST" if form_post else "GET"
    if (form_post and url) or (method is not None and method.upper() != wanted):
        came = "another" if method is None else method.upper()[:10]
        return f"the callback must come by {wanted}, as the login asked for, and came by {came}"
    media_type = (content_type or _FORM).partition(";")[0].strip().lower()
    if form_post and media_type != _FORM:
        return f"the posted callback must be {_FORM} (Form Post Response Mode §2)"
    return None


def has_token(parameters: Mapping[str, str]) -> str | None:
    """Return why a callback with a token beside its code is refused; None where it has none."""
    if "code" not in parameters or not _TOKENS & parameters.keys():
        return None
    return (
        "the callback has a token in it, which was not asked for: tokens come from the token "
        "endpoint alone (RFC 9700 §2.1.2)"
    )


def further(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """Return what else came with a callback."""
    return Unprintable((name, text) for name, text in parameters.items() if name not in _ANSWERS)


def refusal_of(parameters: Mapping[str, str]) -> ErrorResponse | None:
    """Return the error that a callback brings (RFC 6749 §4.1.2.1); None where it brings none."""
    name = parameters.get("error")
    if name is None:
        return None
    described = parameters.get("error_description"), parameters.get("error_uri")
    return _KINDS.get(name, ErrorResponse)(name, *described)


def _pairs(callback: Callback) -> Iterable[tuple[str, Any]]:
    if isinstance(callback, str):
        return parse_qsl(_query(callback), keep_blank_values=True)
    for method in _ALL_PAIRS:  # what `items` of these gives has one of each alone
        give = getattr(callback, method, None)
        if callable(give):
            return _single_pairs(cast("Iterable[tuple[str, Any]]", give()))
    if not isinstance(callback, Mapping):
        return callback
    return _single_pairs(cast("Mapping[str, Any]", callback).items())


def _single_pairs(pairs: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name, text) for name, value in pairs for text in _values(value))


def _values(value: object) -> list[object]:
    """Return one name's values: several where they come as a list, as parse_qs gives them."""
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _query(callback: str) -> str:
    """Return the query of a URL, or a bare query, which may have a question mark in it too."""
    if len(callback) > _LONGEST_CALLBACK:
        raise ValueError
    if not _URL.match(callback):
        return callback
    return callback.partition("#")[0].partition("?")[2]
