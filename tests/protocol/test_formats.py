import json
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import (
    FORM,
    JSON,
    MULTIPART,
    XML,
    JSONRequest,
    ParameterValue,
    RequestFormat,
    XMLRequest,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6749.json").read_text())
CONTRACT = "{http://schemas.datacontract.org/2004/07/IO.Swagger.Models}"
ALL = pytest.mark.parametrize("fmt", [FORM, MULTIPART, JSON, XML], ids=lambda f: type(f).__name__)


def multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: %b\r\n\r\n%b" % (content_type.encode(), body)
    )
    assert isinstance(message.get_payload(), list)
    found: list[tuple[str, str]] = []
    for part in list(message.walk())[1:]:
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        assert isinstance(content, bytes)
        assert isinstance(name, str)
        found.append((name, content.decode()))
    return found


def test_the_form_of_rfc_6749_is_decoded_to_what_was_meant() -> None:
    """O2-02: Appendix B, with a space as %20, which every decoder reads."""
    published = VECTORS["form_encoding"]
    text = "".join(map(chr, published["code_points"]))

    content_type, body = FORM.encode({"v": text})

    assert content_type == "application/x-www-form-urlencoded"
    assert body == b"v=%20%25%26%2B%C2%A3%E2%82%AC"
    assert parse_qsl(body.decode()) == parse_qsl(f"v={published['encoded']}")


@pytest.mark.parametrize("name", ["post_body", "code_body", "refresh_body"])
def test_the_published_bodies_are_written(name: str) -> None:
    """O2-11: RFC 6749 §2.3.1, §4.1.3, §6."""
    published = parse_qsl(VECTORS[name]["body"])

    assert parse_qsl(FORM.encode(dict(published))[1].decode()) == published


@pytest.mark.parametrize(
    "text", ["a&b", "a#b", "a=b", "a+b", "a%26b", "a;b", "a\r\nb", "a\x00b", "\u202e"]
)
def test_no_character_breaks_out_of_a_form(text: str) -> None:
    """AT-64."""
    body = FORM.encode({text: text, "scope": "x"})[1].decode()

    assert parse_qsl(body) == [(text, text), ("scope", "x")]


@ALL
@pytest.mark.parametrize("nothing", [None, "", (), []], ids=repr)
def test_what_is_empty_is_left_out(fmt: RequestFormat, nothing: ParameterValue) -> None:
    """O2-06."""
    assert fmt.encode({"scope": nothing, "a": "b"}) == fmt.encode({"a": "b"})


@ALL
def test_zero_and_false_are_not_empty(fmt: RequestFormat) -> None:
    """OC-03."""
    assert fmt.encode({"max_age": 0, "b": False}) != fmt.encode({})


def test_a_boolean_and_a_number_keep_their_form() -> None:
    parameters: dict[str, ParameterValue] = {"yes": True, "no": False, "n": 5}

    assert FORM.encode(parameters)[1] == b"yes=true&no=false&n=5"
    assert multipart(*MULTIPART.encode(parameters)) == [
        ("yes", "true"),
        ("no", "false"),
        ("n", "5"),
    ]
    assert JSON.encode(parameters)[1] == b'{"yes":true,"no":false,"n":5}'
    assert b"<n>5</n><no>false</no><yes>true</yes>" in XML.encode(parameters)[1]


@pytest.mark.parametrize("name", ["resource", "audience"])
def test_resource_and_audience_may_be_lists(name: str) -> None:
    """O2-06, RI-02: RFC 8707 §2."""
    parameters: Mapping[str, ParameterValue] = {name: ["https://a.example", "b"]}
    pairs = [(name, "https://a.example"), (name, "b")]

    assert parse_qsl(FORM.encode(parameters)[1].decode()) == pairs
    assert multipart(*MULTIPART.encode(parameters)) == pairs
    assert json.loads(JSON.encode(parameters)[1]) == {name: ["https://a.example", "b"]}
    assert XML.encode(parameters)[1].count(f"</{name}>".encode()) == 2


@ALL
@pytest.mark.parametrize("value", [["a", "b"], ("a",), 1.5, b"a", {"a": "b"}], ids=repr)
def test_no_other_parameter_may_be_more_than_one_text(
    fmt: RequestFormat, value: ParameterValue
) -> None:
    """O2-06: RFC 6749 §3.2."""
    with pytest.raises(ConfigurationError, match="occurs once"):
        fmt.encode({"scope": value})


@ALL
@pytest.mark.parametrize(
    "parameters",
    [{"a": "\ud800"}, {"\udfff": "a"}, {"resource": ["a", "\ud800"]}],
    ids=ascii,
)
def test_a_lone_surrogate_is_refused_before_anything_is_written(
    fmt: RequestFormat, parameters: Mapping[str, ParameterValue]
) -> None:
    """AT-58."""
    with pytest.raises(ConfigurationError, match="lone surrogate"):
        fmt.encode(parameters)


@ALL
def test_what_is_no_text_is_no_name(fmt: RequestFormat) -> None:
    parameters: Any = {1: "canary"}
    with pytest.raises(ConfigurationError, match="the name of a parameter is a text") as caught:
        fmt.encode(parameters)
    assert "canary" not in str(caught.value)


def test_multipart_is_read_by_an_independent_reader() -> None:
    parameters = {"grant_type": "password", "password": "p\r\n--x\r\nä € 😀", "scope": "a b"}

    content_type, body = MULTIPART.encode(parameters)

    assert content_type.startswith("multipart/form-data; boundary=")
    assert multipart(content_type, body) == list(parameters.items())
    assert b"filename" not in body
    assert b"Content-Type" not in body


def test_equal_parameters_give_equal_multipart_bodies() -> None:
    assert MULTIPART.encode({"a": "b"}) == MULTIPART.encode({"a": "b"})
    assert MULTIPART.encode({"a": "b"})[0] != MULTIPART.encode({"a": "c"})[0]


def test_a_multipart_body_without_parameters_ends_at_once() -> None:
    content_type, body = MULTIPART.encode({})

    assert body == f"--{content_type.partition('=')[2]}--\r\n".encode()


def test_a_name_cannot_break_out_of_its_part() -> None:
    """AT-64."""
    body = MULTIPART.encode({'a"\r\nX: y': "v"})[1]

    assert b'name="a%22%0D%0AX: y"\r\n\r\nv\r\n' in body


def test_json_is_ascii_and_keeps_the_text() -> None:
    content_type, body = JSON.encode({"password": 'ä"\\\n€😀'})

    assert content_type == "application/json"
    assert body.isascii()
    assert json.loads(body) == {"password": 'ä"\\\n€😀'}


def test_another_content_type_can_be_asked_for() -> None:
    """System D documents text/json and text/xml."""
    xml = XMLRequest(root="a", namespace="urn:a", content_type="text/xml")

    assert JSONRequest(content_type="text/json").encode({})[0] == "text/json"
    assert xml.encode({})[0] == "text/xml"


def test_xml_elements_stand_in_ordinal_order() -> None:
    """System D's reader drops what is out of order in silence."""
    parameters: dict[str, ParameterValue] = {
        "username": "u",
        "scope": "s",
        "refresh_token": "r",
        "password": "p",
        "grant_type": "g",
        "client_secret": "cs",
        "client_id": "c",
        "WindowsAuthentication": True,
    }

    content_type, body = XML.encode(parameters)

    root = ET.fromstring(body)  # noqa: S314 - our own
    assert content_type == "application/xml"
    assert root.tag == f"{CONTRACT}TokenRequest"
    assert [(child.tag, child.text) for child in root] == [
        (f"{CONTRACT}WindowsAuthentication", "true"),
        (f"{CONTRACT}client_id", "c"),
        (f"{CONTRACT}client_secret", "cs"),
        (f"{CONTRACT}grant_type", "g"),
        (f"{CONTRACT}password", "p"),
        (f"{CONTRACT}refresh_token", "r"),
        (f"{CONTRACT}scope", "s"),
        (f"{CONTRACT}username", "u"),
    ]


def test_xml_text_is_escaped_and_ascii() -> None:
    """AT-64."""
    text = "<a>&amp;</a>]]>\r\n\t'\"ä€😀"

    body = XML.encode({"password": text})[1]

    assert body.isascii()
    assert ET.fromstring(body)[0].text == text  # noqa: S314 - our own


def test_an_xml_namespace_is_escaped() -> None:
    body = XMLRequest(root="r", namespace='urn:"<&>').encode({})[1]

    assert ET.fromstring(body).tag == '{urn:"<&>}r'  # noqa: S314 - our own


@pytest.mark.parametrize("text", ["\x00", "a\x0bb", "\x1f", "\ufffe", "\uffff"], ids=ascii)
def test_a_character_that_xml_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot hold"):
        XML.encode({"password": text})


@pytest.mark.parametrize("name", ["", "1a", "a b", "a>b", "ä", "-a", "a:b"])
def test_a_name_that_is_no_element_name_is_refused(name: str) -> None:
    """AT-64."""
    with pytest.raises(ConfigurationError, match="name of an XML element"):
        XML.encode({name: "a"})
    with pytest.raises(ConfigurationError, match="name of an XML element"):
        XMLRequest(root=name, namespace="urn:a").encode({})
