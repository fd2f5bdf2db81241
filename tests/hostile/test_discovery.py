"""What a provider says of itself, and a client that was told no more than its issuer."""

import pytest

from oauthkit import Discovered, ResponseError
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.conversion import App
from oauthkit.testing.dialects import json_response
from oauthkit.testing.sockets import LoopbackServer
from tests.hostile.modules import RP, module
from tests.hostile.world import Party, party


@module(
    f"{RP}-discovery-openid-config",
    server="its endpoints stand in its metadata alone",
    client="finds and uses them",
)
async def test_the_endpoints_are_found(rp: Party) -> None:
    """MD-02."""
    known = await rp.known()

    assert known.authorization_endpoint == f"{rp.server.issuer}/authorize"
    assert (await rp.log_in()).identity is not None
    await rp.is_silent(metadata=1, token=1, jwks=1)


@module(
    f"{RP}-discovery-issuer-mismatch",
    server="an issuer with `INVALID` behind it in its metadata",
    client="stops before anything else",
)
async def test_metadata_of_another_issuer_ends_it(rp: Party) -> None:
    """MD-03, AT-04, AT-05."""
    rp.fake.metadata = {"issuer": f"{rp.server.issuer}INVALID"}

    with pytest.raises(ResponseError, match="nothing of it is used"):
        await rp.begun()
    await rp.is_silent(metadata=1)


@module(
    f"{RP}-discovery-jwks-uri-keys",
    server="its keys are at another place each time",
    client="reads that place from the metadata",
)
async def test_the_keys_are_where_the_metadata_says() -> None:
    """MD-02."""
    async with party() as rp, LoopbackServer(keys_of(rp)) as elsewhere:
        for place in ("a", "b"):
            rp.fake.metadata = {"jwks_uri": f"{elsewhere.url}/{place}"}
            rp.server = Discovered(rp.server.issuer, clock=rp.fake.clock)
            assert (await rp.log_in()).identity is not None
        await rp.is_silent(metadata=2, token=2)


async def test_keys_that_move_while_the_client_runs_are_found() -> None:
    """MD-12, OC-34: the metadata is looked at again where a key is nowhere, and not at once."""
    async with party() as rp, LoopbackServer(keys_of(rp)) as elsewhere:
        await rp.log_in()
        rp.fake.keys.rotate()
        rp.fake.metadata = {"jwks_uri": f"{elsewhere.url}/moved"}
        rp.fake.fail_next(404, endpoint="jwks")
        rp.fake.advance(31)

        assert (await rp.log_in()).identity is not None
        await rp.is_silent(metadata=2, token=2, jwks=2)


def keys_of(rp: Party) -> App:
    """Return what answers with the keys of a provider."""

    async def answer(_: HTTPRequest) -> HTTPResponse:
        return json_response(200, rp.fake.keys.jwks())

    return answer


async def test_metadata_at_another_path_than_the_issuers_is_not_found(rp: Party) -> None:
    """MD-03."""
    rp.server = Discovered(f"{rp.server.issuer}/tenant", clock=rp.fake.clock)

    with pytest.raises(ResponseError, match="could not be had"):
        await rp.begun()
    assert rp.fake.token_requests == []
