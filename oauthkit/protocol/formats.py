"""How the parameters of a token request become bytes.

RFC 6749 §4 knows one way, form-urlencoded. Servers document others: multipart, JSON and XML.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Final, Protocol, cast
from urllib.parse import quote

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.kinds import Checked
from oauthkit.protocol.secret import Unprintable, hidden_items

ParameterValue = str | int | bool | None | Sequence[str]
"""What a parameter may be; None and the empty text leave it out (RFC 6749 §3.2)."""

_REPEATABLE: Final = frozenset({"resource", "audience"})  # RFC 8707 §2, RFC 8693 §2.1
_XML_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_XML_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"


class RequestFormat(Protocol):
    """Say how parameters are written into a request body."""

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        """Return the content type and the body.

        Raises:
            ConfigurationError: A parameter cannot be written in this format.
        """
        ...


@attrs.frozen
class FormRequest:
    """Write `application/x-www-form-urlencoded` (RFC 6749 Appendix B), a space as `%20`."""

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        """Return the content type and the body."""
        pairs = (f"{quote(n, safe='')}={quote(t, safe='')}" for n, t in _pairs(parameters))
        return "application/x-www-form-urlencoded", "&".join(pairs).encode("ascii")


@attrs.frozen
class MultipartRequest:
    """Write `multipart/form-data` (RFC 7578), one part a parameter, no file names."""

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        """Return the content type, which names the boundary, and the body."""
        parts = [
            f'Content-Disposition: form-data; name="{_part_name(name)}"\r\n\r\n{text}\r\n'.encode()
            for name, text in _pairs(parameters)
        ]
        # A digest of the parts cannot stand in one of them, so nothing has to be searched, and
        # equal parameters give equal bodies.
        boundary = sha256(b"".join(parts)).hexdigest()[:40]
        body = b"".join(b"--%b\r\n%b" % (boundary.encode(), part) for part in parts)
        closing = f"--{boundary}--\r\n".encode()
        return f"multipart/form-data; boundary={boundary}", body + closing


@attrs.frozen
class JSONRequest(Checked):
    """Write a JSON object; booleans and numbers stay what they are.

    Attributes:
        content_type: Some servers document `text/json`.
    """

    content_type: str = "application/json"

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        """Return the content type and the body, in ASCII, so that no charset can be mistaken."""
        present = Unprintable(_present(parameters))
        return self.content_type, json.dumps(present, separators=(",", ":")).encode("ascii")


@attrs.frozen(kw_only=True)
class XMLRequest(Checked):
    """Write an XML document as a data contract reads it: elements in ordinal order of their names.

    A data-contract reader drops an element that is out of order in silence, so the order is part
    of the format. The body is ASCII, other characters as references, and so needs no charset.

    Attributes:
        root: Name of the root element.
        namespace: Its namespace, and its children's.
        content_type: Some servers document `text/xml`.
    """

    root: str
    namespace: str
    content_type: str = "application/xml"

    def encode(self, parameters: Mapping[str, ParameterValue], /) -> tuple[str, bytes]:
        """Return the content type and the body."""
        elements = "".join(
            f"<{name}>{_xml_text(name, text)}</{name}>"
            for name, text in sorted(_pairs(parameters), key=lambda pair: _xml_name(pair[0]))
        )
        namespaces = f'xmlns:i="{_INSTANCE}" xmlns="{escape(self.namespace)}"'
        document = f"<{_xml_name(self.root)} {namespaces}>{elements}</{self.root}>"
        return self.content_type, document.encode("ascii", "xmlcharrefreplace")


FORM: Final = FormRequest()
"""`application/x-www-form-urlencoded`, the format of RFC 6749."""
MULTIPART: Final = MultipartRequest()
"""`multipart/form-data`."""
JSON: Final = JSONRequest()
"""`application/json`."""
XML: Final = XMLRequest(
    root="TokenRequest", namespace="http://schemas.datacontract.org/2004/07/IO.Swagger.Models"
)
"""`application/xml`: the data contract of `oauthkit.services.auth_v1`."""


def _present(parameters: Mapping[str, ParameterValue]) -> Iterator[tuple[str, ParameterValue]]:
    for name, value in hidden_items(parameters):
        if value is None or value in ("", (), []):
            continue
        if not isinstance(cast("object", name), str):
            message = f"the name of a parameter is a text, not of the type {type(name).__name__}"
            raise ConfigurationError(message)
        if not isinstance(value, str | int) and name not in _REPEATABLE:
            kind = type(value).__name__
            del value  # a traceback that shows local values would show it
            message = (
                f"the parameter {printable(name)!r} is a {kind}; a parameter occurs once "
                "(RFC 6749 §3.2), only resource and audience may be lists"
            )
            raise ConfigurationError(message)
        for text in (name, *((value,) if isinstance(value, str | int) else value)):
            if not _encodable(text):
                message = f"the parameter {printable(name)!r} has a lone surrogate: that is no text"
                raise ConfigurationError(message)
        yield name, value


def _encodable(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _pairs(parameters: Mapping[str, ParameterValue]) -> Iterator[tuple[str, str]]:
    for name, value in _present(parameters):
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str | int):
            yield name, value if isinstance(value, str) else str(value)
        else:
            for text in value or ():
                yield name, text


def _part_name(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _xml_name(name: str) -> str:
    if not _XML_NAME.fullmatch(name):
        message = f"the parameter {printable(name)!r} cannot be the name of an XML element"
        raise ConfigurationError(message)
    return name


def _xml_text(name: str, text: str) -> str:
    if _XML_FORBIDDEN.search(text):
        message = f"the parameter {name!r} has a character that XML 1.0 cannot hold"
        raise ConfigurationError(message)
    return escape(text, quote=False).replace("\r", "&#13;")
