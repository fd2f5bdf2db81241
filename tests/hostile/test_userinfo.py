"""Claims about who has logged in, of a provider that misbehaves or is particular."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from oauthkit import (
    ClientMetadata,
    InvalidJWT,
    LoggedIn,
    ResponseError,
    UserInfo,
    fetch_userinfo,
)
from oauthkit.testing.records import EndpointRequest
from tests.hostile.modules import RP, module
from tests.hostile.world import Party, damaged


async def asked(rp: Party, result: LoggedIn | None = None, **how: Any) -> UserInfo:
    """Log in, and ask who that was."""
    result = result or await rp.log_in(await rp.begun("openid profile email"))
    assert result.identity is not None
    return await fetch_userinfo(
        rp.http, rp.server, result.token, result.identity.subject, clock=rp.fake.clock, **how
    )


def request_of(rp: Party) -> EndpointRequest:
    (request,) = rp.fake.endpoint_requests["userinfo"]
    return request


@module(
    f"{RP}-userinfo-invalid-sub", server="claims about somebody else", client="shows none of them"
)
async def test_claims_about_somebody_else_are_not_shown(rp: Party) -> None:
    """OC-23."""
    result = await rp.log_in()
    rp.fake.claims = {"sub": "adainvalid", "email": "grace@example.com"}

    with pytest.raises(ResponseError) as caught:
        await asked(rp, result)
    assert "grace@example.com" not in f"{caught.value}{vars(caught.value)}"
    await rp.is_silent(metadata=1, token=1, jwks=1, userinfo=1)


@module(
    f"{RP}-scope-userinfo-claims",
    server="claims by the scopes that were asked for",
    client="shows them",
)
async def test_claims_by_scope_are_shown(rp: Party) -> None:
    rp.fake.claims = {"name": "Ada Lovelace", "email": "ada@example.com"}

    said = await asked(rp)

    assert said.subject == "ada"
    assert said.claims["email"] == "ada@example.com"


@module(f"{RP}-userinfo-signed", server="signed claims", client="verifies them")
async def test_signed_claims_are_verified(rp: Party) -> None:
    """OC-26."""
    signed = ClientMetadata(userinfo_signed_response_alg="ES256")
    result = await rp.log_in()
    assert (await asked(rp, result, client_metadata=signed)).subject == "ada"

    draft = rp.fake.draft({}, began=rp.fake.clock.time())
    kind = {"content-type": "application/jwt"}
    rp.fake.fail_next(200, headers=kind, content=damaged(draft).encode(), endpoint="userinfo")
    with pytest.raises(InvalidJWT, match="the signature of"):
        await asked(rp, result, client_metadata=signed)
    await rp.is_silent(metadata=1, token=1, jwks=1, userinfo=2)


@module(
    f"{RP}-userinfo-bearer-header",
    server="reads the token in the header alone",
    client="sends it there, and nowhere else",
)
async def test_the_token_goes_into_the_header(rp: Party) -> None:
    """OC-25."""
    assert (await asked(rp)).subject == "ada"
    request = request_of(rp)

    assert request.headers["authorization"].startswith("Bearer ")
    assert (request.method, request.parameters) == ("GET", {})
    assert urlsplit(request.url).query == ""


@module(
    f"{RP}-userinfo-bearer-body",
    server="reads the token in the body alone",
    client="sends it there, where it is told to",
)
async def test_the_token_goes_into_the_body_where_that_is_said(rp: Party) -> None:
    """OC-25."""
    assert (await asked(rp, method="POST", in_body=True)).subject == "ada"
    request = request_of(rp)

    assert "authorization" not in request.headers
    assert request.parameters.keys() == {"access_token"}
    assert urlsplit(request.url).query == ""
