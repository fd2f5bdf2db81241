"""Logouts of a provider that misbehaves: what is wrong is rejected, and nobody is logged out."""

from http import HTTPStatus
from typing import Final

import pytest

from oauthkit import CallbackError, InvalidJWT, LogoutRequest, LogoutToken, verify_logout_token
from oauthkit.jose.issuing import new_key
from oauthkit.protocol.id_token import LOGOUT_EVENT
from oauthkit.protocol.jwt import compact, signing_input
from oauthkit.testing.id_tokens import Draft, Edit
from tests.hostile.modules import RP, module
from tests.hostile.world import Party, more_of, says

BYE: Final = "https://app.example/bye"


async def told(rp: Party, edit: Edit | None) -> tuple[HTTPStatus, LogoutToken | None]:
    """Return what an application answers to a Logout Token (Back-Channel Logout §2.8)."""
    await rp.log_in()
    draft = rp.fake.logout_draft("ada", "session-1")
    text = (edit(draft) if edit else None) or draft.signed()
    try:
        said = await verify_logout_token(
            rp.http, rp.server, rp.fake.client_auth, text, clock=rp.fake.clock
        )
    except InvalidJWT:
        await rp.is_silent(metadata=1, token=1, jwks=1)
        return HTTPStatus.BAD_REQUEST, None
    return HTTPStatus.OK, said


async def refused(rp: Party, edit: Edit) -> None:
    assert await told(rp, edit) == (HTTPStatus.BAD_REQUEST, None)


@module(f"{RP}-rp-backchannel-rpinitlogout", server="a right Logout Token", client="answers 200")
async def test_a_right_logout_token_is_accepted(rp: Party) -> None:
    """BL-02."""
    status, said = await told(rp, None)

    assert status == HTTPStatus.OK
    assert said is not None
    assert (said.subject, said.session_id) == ("ada", "session-1")
    await rp.is_silent(metadata=1, token=1, jwks=1)


@module(f"{RP}-rp-backchannel-rpinitlogout-alg-none", server="no signature", client="answers 400")
async def test_no_signature_is_refused(rp: Party) -> None:
    """BL-05, AT-84."""

    def unsigned(draft: Draft) -> str:
        return compact(signing_input({**draft.header, "alg": "none"}, draft.claims), b"")

    await refused(rp, unsigned)


@module(f"{RP}-rp-backchannel-rpinitlogout-no-event", server="no event", client="answers 400")
async def test_no_event_is_refused(rp: Party) -> None:
    """BL-04, AT-84."""
    await refused(rp, says(events=...))


@module(f"{RP}-rp-backchannel-rpinitlogout-with-nonce", server="a `nonce`", client="answers 400")
async def test_a_nonce_is_refused(rp: Party) -> None:
    """BL-03, AT-84."""
    await refused(rp, says(nonce="n-1"))


@module(
    f"{RP}-rp-backchannel-rpinitlogout-wrong-alg",
    server="RS256 in place of ES256",
    client="answers 400",
)
async def test_another_algorithm_is_refused(rp: Party) -> None:
    """BL-05, AT-84."""

    def edit(draft: Draft) -> None:
        draft.header["alg"], draft.key = "RS256", new_key("RS256", 1)

    await refused(rp, edit)


@module(
    f"{RP}-rp-backchannel-rpinitlogout-wrong-aud", server="another audience", client="answers 400"
)
async def test_another_audience_is_refused(rp: Party) -> None:
    """BL-05, AT-84."""
    await refused(rp, more_of("aud"))


@module(
    f"{RP}-rp-backchannel-rpinitlogout-wrong-event", server="another event", client="answers 400"
)
async def test_another_event_is_refused(rp: Party) -> None:
    """BL-04, AT-84."""
    event = LOGOUT_EVENT.replace("backchannel-logout", "foobar")
    await refused(rp, says(events={event: {}}))


@module(
    f"{RP}-rp-backchannel-rpinitlogout-wrong-iss", server="another issuer", client="answers 400"
)
async def test_another_issuer_is_refused(rp: Party) -> None:
    """BL-05, AT-84."""
    await refused(rp, more_of("iss"))


# The browser logs out at the provider


async def returned(rp: Party) -> tuple[LogoutRequest, str]:
    """Log in, log out, and return where the provider sends the browser back."""
    result = await rp.log_in()
    logout = LogoutRequest.new(
        await rp.known(), post_logout_redirect_uri=BYE, id_token=result.token.id_token
    )
    page = await rp.browser.get(logout.url)
    return logout, str(page.headers["location"])


@module(f"{RP}-rp-init-logout", server="ends its session", client="knows the return")
async def test_a_logout_at_the_provider_comes_back(rp: Party) -> None:
    """LO-01."""
    logout, location = await returned(rp)

    logout.accept(location)
    assert location.startswith(f"{BYE}?state=")
    assert rp.fake.families_alive == 0


@module(f"{RP}-rp-init-logout-other-state", server="another `state`", client="refuses the return")
async def test_a_return_with_another_state_is_refused(rp: Party) -> None:
    """LO-03."""
    logout, location = await returned(rp)

    with pytest.raises(CallbackError, match="not that of this logout"):
        logout.accept(f"{location}1")


@module(f"{RP}-rp-init-logout-no-state", server="no `state`", client="refuses the return")
async def test_a_return_without_a_state_is_refused(rp: Party) -> None:
    """LO-03."""
    logout, _ = await returned(rp)

    with pytest.raises(CallbackError, match="the state is missing"):
        logout.accept(BYE)
