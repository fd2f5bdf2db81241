"""What the endpoint functions share, and all of them through one session."""

from typing import Any

import httpx
import pytest

from oauthkit import ClientSecretBasic, EndpointError, Recovery, ResourceOwnerPassword, services
from oauthkit.services import _call, ads, get_bibcode, hello, say_hello
from oauthkit.services import test as call_test
from oauthkit.testing import DocumentedSystems, FakeClock


async def test_three_functions_of_two_systems_share_one_session(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    assert isinstance(systems.clock, FakeClock)
    async with documented_session(
        server=ads.authorization_server(allow_plain_http=True),
        client_auth=ClientSecretBasic("the client", "p:s/+%"),
        grant=ResourceOwnerPassword(username="ada", password="lovelace"),
    ) as session:
        greeting = await say_hello(session, first_name="Ada")
        bibcode = await get_bibcode(session, bibcode="b", db_key="AST", data_type="SHORT")
        first = await call_test(session, counter=1)
        systems.clock.advance(systems.expires_in)
        second = await call_test(session, counter=2)

    assert greeting == hello.SayHelloResponse("Hello, Ada!")
    assert bibcode == ads.ReturnBibcode("b AST SHORT")
    assert (first, second) == ({"counter": 1}, {"counter": 2})
    assert systems.violations == ()
    assert [exchange.operation for exchange in systems.log] == [
        "sayHello",
        "getBibcode",
        "token",
        "Test",
        "token",
        "Test",
    ]


async def test_a_rejected_token_is_renewed_and_the_call_repeated(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    async with documented_session(
        server=ads.authorization_server(allow_plain_http=True),
        client_auth=ClientSecretBasic("the client", "p:s/+%"),
        grant=ResourceOwnerPassword(username="ada", password="lovelace"),
    ) as session:
        await session.token()
        systems.revoke_access_tokens()
        assert await call_test(session, counter=228) == {"counter": 228}

    assert [exchange.status_code for exchange in systems.log] == [200, 401, 200, 200]


@pytest.mark.parametrize(
    "status_code,recovery",
    [
        (201, Recovery.CHANGE_REQUEST),
        (302, Recovery.CHANGE_REQUEST),
        (400, Recovery.CHANGE_REQUEST),
        (401, Recovery.REAUTHORIZE),
        (403, Recovery.CHANGE_REQUEST),
        (429, Recovery.RETRY_LATER),
        (500, Recovery.RETRY_LATER),
        (503, Recovery.RETRY_LATER),
    ],
)
async def test_another_status_is_an_endpoint_error_that_says_what_to_do(
    wire: Any, status_code: int, recovery: Recovery
) -> None:
    documented = wire(httpx.Response(status_code, content=b"out of order"))
    async with documented.session() as session:
        with pytest.raises(EndpointError, match=r"/SayHello/sayHello .*out of order") as caught:
            await say_hello(session, first_name="Ada")

    assert caught.value.status_code == status_code
    assert caught.value.recovery is recovery
    assert caught.value.required_scope is None


@pytest.mark.parametrize("status_code,scope", [(403, "write"), (400, None)])
async def test_a_403_names_the_scope_it_asks_for(
    wire: Any, status_code: int, scope: str | None
) -> None:
    challenge = 'Bearer error="insufficient_scope", scope="write"'
    documented = wire(httpx.Response(status_code, headers={"www-authenticate": challenge}))
    async with documented.session() as session:
        with pytest.raises(EndpointError) as caught:
            await say_hello(session, first_name="Ada")

    assert caught.value.required_scope == scope


async def test_json_nested_without_end_is_an_endpoint_error(wire: Any) -> None:
    documented = wire(httpx.Response(200, content=b"[" * 100_000))
    async with documented.session() as session:
        with pytest.raises(EndpointError, match="not the documented JSON"):
            await say_hello(session, first_name="Ada")


@pytest.mark.parametrize(
    "url,expected",
    [
        ("http://localhost", "http://localhost/"),
        ("http://localhost//", "http://localhost/"),
        ("https://www.examples.com/SayHello", "https://www.examples.com/SayHello/"),
        ("WWW.FOOFLE.COM", "https://www.foofle.com/"),
        ("WWW.FOOFLE.COM/Api", "https://www.foofle.com/Api/"),
    ],
)
def test_a_base_url_has_a_scheme_and_one_slash_at_its_end(url: str, expected: str) -> None:
    assert _call.base_url(url) == expected


def test_the_functions_are_within_reach() -> None:
    assert services.get_bibcode is ads.get_bibcode
    assert services.test is ads.test
    assert services.say_hello is hello.say_hello


def test_pytest_does_not_collect_the_endpoint_named_test() -> None:
    assert vars(ads.test)["__test__"] is False
