"""From the bytes of a request to its parameters, as a server reads them.

Nothing here is shared with what the package writes requests with, so a mistake there cannot hide.
"""

import json
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from email.message import Message
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, unquote_plus
from xml.etree import ElementTree as ET

import attrs

from oauthkit.protocol.messages import Headers, HTTPRequest
from oauthkit.protocol.secret import SecretStr, Unprintable

Pairs = list[tuple[str, object]]
"""Names and values, in order, repeated ones too."""

_REPEATABLE: Final = frozenset({"resource", "audience"})  # RFC 8707 §2, RFC 8693 §2.1
_CREDENTIALS: Final = re.compile(r"(\S+) +([A-Za-z0-9+/=._~-]+)")


class UnreadableError(ValueError):
    """The request is not what its content type says."""


@attrs.frozen
class Part:
    """One part of a multipart body (RFC 7578)."""

    name: str | None
    filename: str | None
    content_type: str | None
    text: str = attrs.field(repr=False)


@attrs.frozen
class Element:
    """One element of an XML body."""

    namespace: str
    name: str
    text: str = attrs.field(repr=False)
    attributes: tuple[str, ...] = ()
    children: tuple["Element", ...] = ()


def media_type(headers: Headers) -> str:
    """Return the content type without its parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def read_pairs(request: HTTPRequest) -> Pairs:
    """Return the parameters of a body, whatever its format.

    Raises:
        UnreadableError: The format is not known, or the body is not in it.
    """
    reader = _READERS.get(media_type(request.headers))
    if reader is None:
        message = f"no token request has the content type {media_type(request.headers)!r}"
        raise UnreadableError(message)
    return reader(request)


def read_parameters(request: HTTPRequest) -> Mapping[str, object]:
    """Return the parameters of a body, empty ones left out (RFC 6749 §3.2).

    A `resource` or an `audience` that occurs several times is a list.

    Raises:
        UnreadableError: The body cannot be read, or another parameter occurs twice.
    """
    pairs = _gathered(read_pairs(request))
    parameters = Unprintable(pairs)
    if len(parameters) != len(pairs):
        message = "a parameter occurs twice"
        raise UnreadableError(message)
    return Unprintable((name, value) for name, value in pairs if value is not None and value != "")


def form_pairs(content: bytes) -> list[tuple[str, str]]:
    """Return the pairs of an `application/x-www-form-urlencoded` body.

    Raises:
        UnreadableError: It is not one.
    """
    try:
        return parse_qsl(
            content.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(content),
            errors="strict",
        )
    except ValueError as error:
        message = "the body is not form-urlencoded"
        raise UnreadableError(message) from error


def json_pairs(content: bytes) -> Pairs:
    """Return the members of a JSON object.

    Raises:
        UnreadableError: It is not one.
    """
    try:
        value: object = json.loads(content, object_pairs_hook=_Members)
    except (ValueError, RecursionError) as error:
        message = "the body is not JSON"
        raise UnreadableError(message) from error
    if not isinstance(value, _Members):
        message = "the body is not a JSON object"
        raise UnreadableError(message)
    return value


def multipart_parts(headers: Headers, content: bytes) -> list[Part]:
    """Return the parts of a `multipart/form-data` body.

    Raises:
        UnreadableError: It is not one.
    """
    boundary = _options(headers.get("content-type", "")).get("boundary")
    if boundary is None:
        message = "the multipart body's content type names no boundary"
        raise UnreadableError(message)
    first, *parts = (b"\r\n" + content).split(b"\r\n--" + boundary.encode())
    if first or not parts or parts.pop().rstrip(b"\r\n") != b"--":
        message = "the multipart body does not begin and end with its boundary"
        raise UnreadableError(message)
    return [_part(part) for part in parts]


def xml_document(content: bytes) -> Element:
    """Return the root element.

    Raises:
        UnreadableError: It is not an XML document.
    """
    try:
        return _element(ET.fromstring(content))  # noqa: S314 - a test's own client wrote it
    except ET.ParseError as error:
        message = "the body is not XML"
        raise UnreadableError(message) from error


def authorization(headers: Headers) -> tuple[str, str] | None:
    """Return scheme, in lower case, and credentials of the `Authorization` header, if it is there.

    Raises:
        UnreadableError: It is not one scheme with credentials (RFC 9110 §11.6.2).
    """
    values = headers.get_all("authorization")
    if not values:
        return None
    match = _CREDENTIALS.fullmatch(values[0])
    if match is None or len(values) != 1:
        message = "the Authorization header is not one scheme with its credentials"
        raise UnreadableError(message)
    return match[1].lower(), SecretStr(match[2])


def basic_credentials(token: str) -> tuple[str, str]:
    """Return the two halves of Basic credentials as they stand there, not form-decoded.

    Raises:
        UnreadableError: They are not Base64 of UTF-8 text with a colon in it.
    """
    try:
        text = b64decode(token, validate=True).decode()
    except ValueError as error:
        message = "the Basic credentials are not Base64 of UTF-8"
        raise UnreadableError(message) from error
    name, colon, password = text.partition(":")
    if not colon:
        message = "the Basic credentials have no colon"
        raise UnreadableError(message)
    return name, SecretStr(password)


def form_decoded(text: str) -> str:
    """Return text with its form-encoding undone (RFC 6749 Appendix B)."""
    return SecretStr(unquote_plus(text, errors="replace"))


def code_challenge(code_verifier: object) -> str | None:
    """Return the S256 challenge of a verifier (RFC 7636 §4.6); None where there is none."""
    if not isinstance(code_verifier, str):
        return None
    digest = sha256(code_verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _gathered(pairs: Pairs) -> Pairs:
    """Return the pairs with each name that may be repeated once, and all its values."""
    names = [name for name, _ in pairs]
    several = {name for name in _REPEATABLE if names.count(name) > 1}
    gathered: Pairs = [(name, value) for name, value in pairs if name not in several]
    return gathered + [(name, [v for n, v in pairs if n == name]) for name in sorted(several)]


class _Members(Pairs):
    """The members of a JSON object, told apart from a JSON array."""


def _options(header: str) -> Mapping[str, str]:
    message = Message()
    message["content-type"] = header
    return {name.lower(): str(value) for name, value in message.get_params(failobj=[])}


def _part(raw: bytes) -> Part:
    head, blank, body = raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not blank:
        message = "a part of the multipart body has no blank line"
        raise UnreadableError(message)
    fields = Headers(
        (name.strip(), value.strip())
        for name, _, value in (
            line.partition(":") for line in head.decode(errors="replace").split("\r\n")
        )
    )
    disposition = _options(fields.get("content-disposition", ""))
    return Part(
        disposition.get("name"),
        disposition.get("filename"),
        fields.get("content-type"),
        body.decode(errors="replace"),
    )


def _element(element: ET.Element) -> Element:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    return Element(
        namespace,
        name,
        element.text or "",
        tuple(element.attrib),
        tuple(_element(child) for child in element),
    )


def _json_body(request: HTTPRequest) -> Pairs:
    return json_pairs(request.content)


def _xml_body(request: HTTPRequest) -> Pairs:
    return [(child.name, child.text) for child in xml_document(request.content).children]


_READERS: Final[Mapping[str, Callable[[HTTPRequest], Pairs]]] = {
    "application/x-www-form-urlencoded": lambda request: [*form_pairs(request.content)],
    "multipart/form-data": lambda request: [
        (part.name or "", part.text) for part in multipart_parts(request.headers, request.content)
    ],
    "application/json": _json_body,
    "text/json": _json_body,
    "application/xml": _xml_body,
    "text/xml": _xml_body,
}
