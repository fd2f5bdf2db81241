"""How a data-contract service writes its answers, in JSON and in XML."""

import json
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from oauthkit.protocol.messages import Headers

NAMESPACE: Final = "http://schemas.datacontract.org/2004/07/IO.Swagger.Models"
JSON_TYPES: Final = ("application/json", "text/json")
XML_TYPES: Final = ("application/xml", "text/xml")

_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"


def negotiated(headers: Headers, kind: str) -> str:
    """Return the answer's format: what is accepted, or else the request's own."""
    accepted = [item.partition(";")[0].strip() for item in headers.get("accept", "").split(",")]
    formats = {*JSON_TYPES, *XML_TYPES}
    return next((name for name in (*accepted, kind) if name in formats), JSON_TYPES[0])


def data_contract_json(fields: Mapping[str, object]) -> bytes:
    """Return a JSON object with every member, `null` for what is absent, `/` escaped."""
    return json.dumps(fields, separators=(",", ":")).replace("/", "\\/").encode()


def data_contract_xml(root: str, fields: Mapping[str, object]) -> bytes:
    """Return an XML document: no declaration, ordinal order, `i:nil` for what is absent."""
    elements = "".join(_contract_member(name, fields[name]) for name in sorted(fields))
    namespaces = f'xmlns:i="{_INSTANCE}" xmlns="{NAMESPACE}"'
    return f"<{root} {namespaces}>{elements}</{root}>".encode()


def data_contract_error(kind: str, message: str) -> bytes:
    """Return what its framework says about a request that it refuses.

    Args:
        kind: The format, of those above.
        message: Why.
    """
    if kind in XML_TYPES:
        return f"<Error><Message>{escape(message)}</Message></Error>".encode()
    return data_contract_json({"Message": message})


def _contract_member(name: str, value: object) -> str:
    if value is None:
        return f'<{name} i:nil="true"/>'
    text = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{text}</{name}>"
