"""What we write is read back by readers that we did not write, and what they write by us."""

import json
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st

from oauthkit.protocol.answers import decode_fields
from oauthkit.protocol.formats import FORM, JSON, MULTIPART, XML, ParameterValue
from oauthkit.protocol.messages import HTTPResponse

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
XML_TEXT = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"],
        include_characters="\t\n\r",
        exclude_characters="\ufffe\uffff",
    ),
    min_size=1,
)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
VALUE = st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.just(""))


def texts(parameters: Mapping[str, ParameterValue]) -> list[tuple[str, str]]:
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in parameters.items()
        if value is not None and value != ""
    ]


@given(st.dictionaries(TEXT, VALUE))
def test_a_form_is_read_back(parameters: dict[str, ParameterValue]) -> None:
    body = FORM.encode(parameters)[1]

    assert parse_qsl(body.decode("ascii"), strict_parsing=bool(body)) == texts(parameters)


@given(st.dictionaries(TEXT, VALUE))
def test_json_is_read_back(parameters: dict[str, ParameterValue]) -> None:
    body = JSON.encode(parameters)[1]

    present = {n: v for n, v in parameters.items() if v is not None and v != ""}
    assert json.loads(body.decode("ascii")) == present


@given(st.dictionaries(NAME, VALUE))
def test_multipart_is_read_back(parameters: dict[str, ParameterValue]) -> None:
    content_type, body = MULTIPART.encode(parameters)

    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    parts = [part for part in message.walk() if not part.is_multipart() and texts(parameters)]
    read = [(part.get_param("name", header="content-disposition"), content(part)) for part in parts]
    assert read == texts(parameters)


def content(part: object) -> str:
    payload = getattr(part, "get_payload")(decode=True)  # noqa: B009 - typed per policy
    assert isinstance(payload, bytes)
    return payload.decode()


@given(st.dictionaries(NAME, st.one_of(XML_TEXT, st.integers(), st.booleans(), st.none())))
def test_xml_is_read_back_in_ordinal_order(parameters: dict[str, ParameterValue]) -> None:
    root = ET.fromstring(XML.encode(parameters)[1])  # noqa: S314 - our own

    read = [(child.tag.rpartition("}")[2], child.text) for child in root]
    assert read == sorted(texts(parameters))


@given(st.dictionaries(st.from_regex(r"[\w.~-]+", fullmatch=True), TEXT, min_size=1, max_size=20))
def test_a_form_answer_of_another_writer_is_read(fields: dict[str, str]) -> None:
    response = HTTPResponse(
        200, {"content-type": "application/x-www-form-urlencoded"}, urlencode(fields).encode()
    )

    assert decode_fields(response) == fields


JSON_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(fields=st.dictionaries(TEXT, JSON_VALUE, max_size=5), ascii_only=st.booleans())
def test_a_json_answer_of_another_writer_is_read(
    fields: dict[str, object], *, ascii_only: bool
) -> None:
    text = json.dumps(fields, ensure_ascii=ascii_only)
    response = HTTPResponse(200, {"content-type": "application/json"}, text.encode())

    assert decode_fields(response) == fields


@given(st.dictionaries(NAME, XML_TEXT, max_size=10))
def test_an_xml_answer_of_another_writer_is_read(fields: dict[str, str]) -> None:
    children = "".join(f"<{n}>{escape(t, {chr(13): '&#13;'})}</{n}>" for n, t in fields.items())
    response = HTTPResponse(200, {"content-type": "text/xml"}, f"<r>{children}</r>".encode())

    assert decode_fields(response) == fields
