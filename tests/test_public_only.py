"""A server that somebody else has named, and that may be at public addresses alone."""

from types import ModuleType
from typing import Any

import attrs
import httpx
import httpx2
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientCredentials,
    ConfigurationError,
    Discovered,
    RegisteredClient,
    Token,
    discover,
    fetch_token,
    fetch_userinfo,
    read_registration,
    verify_id_token,
)
from oauthkit import delivery as delivery_module
from oauthkit.delivery import Delivery
from oauthkit.testing import FakeAuthorizationServer

REFUSED = r"an address that is not public"


class Stream:
    """A connection to an address."""

    def __init__(self, address: object) -> None:
        self.address = address

    def get_extra_info(self, name: str) -> object:
        assert name == "server_addr"
        return self.address


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:1.1.1.1"])
def test_a_public_address_is_one(address: str) -> None:
    Delivery(public_only=True).check_address(Stream((address, 443)))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "ff02::1",
        "no address",
    ],
)
def test_no_other_address_is_public(address: str) -> None:
    """AT-32: whatever was written to get there, a name, or a number in another notation."""
    with pytest.raises(ConfigurationError, match=REFUSED):
        Delivery(public_only=True).check_address(Stream((address, 443)))
    Delivery().check_address(Stream((address, 443)))


def test_a_connection_of_which_nothing_is_known_is_refused() -> None:
    """AT-32: such as one to a Unix socket."""
    with pytest.raises(ConfigurationError, match=REFUSED):
        Delivery(public_only=True).check_address(Stream(None))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_nothing_is_sent_to_an_address_that_is_not_public(library: ModuleType) -> None:
    """AT-32, AT-33: what was connected to counts, so a name cannot change in between."""
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, library.AsyncClient(trust_env=False) as http:
        server = attrs.evolve(fake.server, public_only=True)
        client = RegisteredClient(
            client_id="client",
            registration_client_uri=f"{url}/register/client",
            registration_access_token="r",
        )
        asked: list[Any] = [
            discover(http, url, public_only=True),
            Discovered(url, public_only=True).server(http),
            fetch_token(http, server, fake.client_auth, ClientCredentials()),
            fetch_userinfo(http, server, Token("t"), subject="ada"),
            read_registration(http, server, client),
            verify_id_token(
                http, server, fake.client_auth, fake.draft({}, began=0.0).signed(), nonce="n"
            ),
        ]
        for what in asked:
            with pytest.raises(ConfigurationError, match=REFUSED):
                await what

    assert fake.metadata_requests == []
    assert fake.token_requests == []
    assert not any(fake.endpoint_requests.values())


async def test_an_answer_over_a_connection_that_was_there_before_is_not_used() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient(trust_env=False) as http:
        await http.get(f"{url}/somewhere")
        with pytest.raises(ConfigurationError, match=REFUSED):
            await discover(http, url, public_only=True)


async def test_what_is_at_a_public_address_is_asked_and_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def is_public(_: object) -> bool:
        return True

    monkeypatch.setattr(delivery_module, "_is_public", is_public)
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient(trust_env=False) as http:
        found = await discover(http, url, public_only=True)
        known = await Discovered(url, public_only=True).server(http)
        token = await fetch_token(http, found, fake.client_auth, ClientCredentials())

    assert found.public_only
    assert known.public_only
    assert token.issuer == url


async def test_a_transport_that_does_not_tell_where_it_connects_to_is_refused() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with pytest.raises(ConfigurationError, match="tells which address"):
            await discover(http, fake.issuer, public_only=True)

    assert fake.metadata_requests == []


def test_a_server_written_by_hand_may_be_anywhere_unless_it_is_said() -> None:
    assert not AuthorizationServer("https://auth.example/token").public_only
