"""SAML assertions as grants, as values."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from oauthkit import (
    AnonymousClient,
    AuthorizationServer,
    ConfigurationError,
    Repeat,
    SAML2Bearer,
)
from tests.asking import token_request

SERVER = AuthorizationServer("https://auth.example/token")
XML = "<saml:Assertion>canary é ÿ?</saml:Assertion>"
ENCODED = "PHNhbWw6QXNzZXJ0aW9uPmNhbmFyeSDDqSDDvz88L3NhbWw6QXNzZXJ0aW9uPg"


@pytest.mark.parametrize("document", [XML, XML.encode()])
def test_the_document_is_sent_in_base64url_without_padding(document: Any) -> None:
    """JA-15."""
    request = token_request(SERVER, AnonymousClient(), SAML2Bearer(assertion=document, scope="x"))
    assert parse_qsl(request.content.decode()) == [
        ("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"),
        ("assertion", ENCODED),
        ("scope", "x"),
    ]
    assert "authorization" not in request.headers
    assert ENCODED in request.secrets


def test_the_document_is_not_read() -> None:
    """JA-15: a bomb of entities costs nothing here."""
    bomb = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><x>&b;</x> and no XML at all <'
    assert SAML2Bearer(assertion=bomb).parameters()["assertion"]
    assert SAML2Bearer(assertion=bomb.encode("utf-16")).parameters()["assertion"]


@pytest.mark.parametrize("wrong", ["<\ud800>", "", ENCODED, ENCODED.encode(), None, 7], ids=ascii)
def test_what_is_no_xml_or_was_encoded_before_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="SAML2Bearer") as caught:
        SAML2Bearer(assertion=wrong)
    assert ENCODED not in str(caught.value)


def test_a_document_that_was_given_is_no_endless_right() -> None:
    assert SAML2Bearer(assertion=XML).repeat is Repeat.ONCE
    assert "canary" not in repr(SAML2Bearer(assertion=XML))


async def test_a_document_that_is_supplied_is_asked_for_each_time() -> None:
    async def supply() -> bytes:
        return XML.encode()

    grant = SAML2Bearer(assertion=supply, scope="read")
    assert grant.repeat is Repeat.ALWAYS
    assert grant.parameters()["assertion"] is None
    assert grant.requested_scope == "read"
    ready = await grant.prepared(SERVER, client_id="app", now=0.0)
    assert ready.parameters()["assertion"] == ENCODED
    assert await ready.prepared(SERVER, client_id="app", now=0.0) is ready


async def test_what_is_supplied_must_be_the_document() -> None:
    async def nested() -> Any:
        return nested

    async def encoded() -> Any:
        return ENCODED

    def at_once() -> Any:
        return XML

    for supply, told in [
        (nested, "must return the XML document"),
        (encoded, "takes the XML document itself"),
        (at_once, "the function returned a str at once"),
    ]:
        with pytest.raises(ConfigurationError, match=told):
            await SAML2Bearer(assertion=supply).prepared(SERVER, client_id="app", now=0.0)
