"""From the bytes of an answer to its fields: JSON, form-urlencoded or XML, by content type.

What comes from a server is not trusted: size, depth, duplicates, encodings and entities are
bounded or refused, and every refusal is a `ResponseError` with an excerpt that shows no secret.
"""

import json
import math
import re
from collections.abc import Collection
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from oauthkit.errors import ResponseError, printable
from oauthkit.protocol.echoes import MASK, without_cut_secret, without_secrets
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.secret import Unprintable

_DEEPEST: Final = 64
_MOST_CONTAINERS: Final = 10_000
_MOST_PARTS: Final = 50_000
_MOST_FIELDS: Final = 1_000
_LONGEST_FORM: Final = 262_144
_MOST_SHOWN: Final = 4_096
_SHORTEST_OPAQUE: Final = 24
# Every repetition below is possessive, or ends where the next part begins: an answer made to be
# slow to read is read in one pass.
_UP_TO_BRACKET: Final = re.compile(
    r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"?)*+([\[\]{}]?)', re.DOTALL
)
_FORM: Final = re.compile(r"[\w.~%+-]++=[^\s<>\"{}&]*+(?:&[\w.~%+-]++=[^\s<>\"{}&]*+)*+", re.ASCII)
_NAMED_SECRET: Final = re.compile(
    r"((?:token|secret|pass|pwd|code|verifier|assertion|authorization|credential|jwt|"
    r"cookie|session|api_?key)\w*+[\"']?\s*+[=:>]\s*+(?:(?:basic|bearer|dpop)\s++)?)"
    r"(?:[\[{][^\]}]*+[\]}]?|\"(?:[^\"\\]++|\\.)*+\"?|'[^']*+'?|[^\"'&<\s,}]++)",
    re.IGNORECASE | re.DOTALL,
)
_OPAQUE: Final = re.compile(rf"[\w.~+/=%-]{{{_SHORTEST_OPAQUE},}}+", re.ASCII)


def decode_fields(response: HTTPResponse, *, secrets: Collection[str] = ()) -> Unprintable:
    """Return the fields of an answer.

    JSON and form-urlencoded text are also understood where they are labelled as text, as some
    servers do; HTML never is.

    Args:
        response: The answer.
        secrets: What must not be shown, should the answer echo it.

    Raises:
        ResponseError: It is not an object of named fields in a format that is understood.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return _fields(response.content, kind)
    except (ValueError, RecursionError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    message = f"the answer cannot be read as {printable(kind, 60) or 'anything'}: {reason}"
    raise unusable(response, message, secrets=secrets)


def unusable(
    response: HTTPResponse, message: str, *, secrets: Collection[str] = (), **details: Any
) -> ResponseError:
    """Return the error for an answer that cannot be used, with its status and an excerpt.

    Args:
        response: The answer.
        message: What was expected and what came.
        secrets: What must not be shown, should the answer echo it.
        details: Further arguments of `ResponseError`.
    """
    shown = excerpt(response.content, secrets=secrets)
    return ResponseError(message, status_code=response.status_code, excerpt=shown, **details)


def excerpt(content: bytes, *, secrets: Collection[str] = ()) -> str:
    """Return the beginning of an answer, escaped, with whatever may be a secret masked.

    Args:
        content: The answer's body.
        secrets: What must not be shown.
    """
    head = content[: 4 * _MOST_SHOWN + 4]  # a character has at most four bytes
    # In UTF-16, which an answer may not have, a secret would not be found between the zeros.
    text = head.decode(json.detect_encoding(head), errors="replace")
    return printable(masked(text, secrets=secrets))


def masked(text: str, *, secrets: Collection[str] = ()) -> str:
    """Return the beginning of a text from a server, with whatever may be a secret masked.

    Args:
        text: What came.
        secrets: Values that are known to be secret.
    """
    head = text[:_MOST_SHOWN]
    if len(text) > _MOST_SHOWN:
        head = without_cut_secret(head, secrets)
    shown = _NAMED_SECRET.sub(rf"\1{MASK}", without_secrets(head, secrets))
    shown = without_opaque(shown)
    # The cut may have gone through a secret that is not known, and what is left looks like none.
    return shown if len(text) <= _MOST_SHOWN else shown[:-_SHORTEST_OPAQUE]


def without_opaque(text: str) -> str:
    """Return a text with every long run of letters and digits masked: a token looks like that."""
    return _OPAQUE.sub(_mask_opaque, text)


def _mask_opaque(match: re.Match[str]) -> str:
    return MASK if any(map(str.isdigit, match[0])) else match[0]


def _fields(content: bytes, kind: str) -> Unprintable:
    text = content.decode("utf-8-sig")
    if kind.endswith(("/json", "+json")):
        return json_object(text)
    if kind == "application/x-www-form-urlencoded":
        return _form_fields(text)
    if kind.endswith(("/xml", "+xml")) and "html" not in kind:
        # XML is rare: its reader is loaded by who meets it.
        from oauthkit.protocol.xml_fields import xml_fields  # noqa: PLC0415

        return xml_fields(content)
    return _guessed_fields(text, kind)


def _guessed_fields(text: str, kind: str) -> Unprintable:
    stripped = text.strip()
    if stripped.startswith("{"):
        return json_object(text)
    if not kind.endswith("html") and _FORM.match(stripped):
        return _form_fields(stripped)
    message = "it is neither JSON nor form-urlencoded" if stripped else "it is empty"
    raise ValueError(message)


def json_object(text: str) -> Unprintable:
    """Return the members of a JSON object: none twice, all of them finite and bounded.

    Args:
        text: What came.

    Raises:
        ValueError: It is no such object; the message shows nothing of it.
        RecursionError: It is nested too deeply.
    """
    _check_depth(text)
    value: object = json.loads(
        text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
    )
    if not isinstance(value, Unprintable):
        message = f"a JSON object was expected, not {type(value).__name__}"
        raise ValueError(message)  # noqa: TRY004 - all refusals are one kind
    if "\\ud" in text.lower():
        _check_surrogates(value)
    return value


def _check_depth(text: str) -> None:
    message = "it is nested too deeply, or has too many parts"
    if text.count(",") > _MOST_PARTS:
        raise ValueError(message)
    if text.count("{") + text.count("[") <= _DEEPEST:
        return
    depth = containers = 0
    for match in _UP_TO_BRACKET.finditer(text):
        if match[1] in {"{", "["}:
            depth, containers = depth + 1, containers + 1
        elif match[1]:
            depth -= 1
        if not 0 <= depth <= _DEEPEST or containers > _MOST_CONTAINERS:
            raise ValueError(message)


def _check_surrogates(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        message = "it has a lone surrogate, which is not text"
        raise ValueError(message) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = Unprintable(pairs)
    if len(found) != len(pairs):
        message = "a member stands there twice"
        raise ValueError(message)
    return found


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        return math.copysign(1e308, number)
    return number


def _form_fields(text: str) -> Unprintable:
    stripped = text.strip()
    if len(stripped) > _LONGEST_FORM or not _FORM.fullmatch(stripped):
        message = "it is not form-urlencoded, or is longer than 256 KiB"
        raise ValueError(message)
    pairs = parse_qsl(
        stripped, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
    )
    return Unprintable(_object(list(pairs)))
