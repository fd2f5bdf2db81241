"""What a reader of a page has: a network, an environment, and a person at the keyboard."""

import asyncio
import builtins
import json
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from oauthkit import RedisStore, Token
from oauthkit.jose.signing import KeySigner
from tests.fleet.redis_server import RedisServer

from .certificates import Certificates
from .internet import Internet, served
from .providers import CLIENT_ID, CLIENT_SECRET
from .world import HOSTS, SERVICE_ACCOUNT_KEY, World


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made(tmp_path_factory.mktemp("certificates"), HOSTS)


@pytest.fixture(scope="session")
def internet(certificates: Certificates) -> Iterator[Internet]:
    internet = Internet()
    with served(internet, certificates, list(HOSTS)):
        yield internet


@pytest.fixture(scope="session")
def cache(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Have a Redis server at cache.example, which knows the token of a login."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        internet.route("cache.example", 6379, server.port)
        yield server


@pytest.fixture
def world(
    internet: Internet,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[World]:
    """Have servers, files, environment variables and a person, as the pages name them."""
    world = World(internet)
    signer = KeySigner(certificates.client_key.read_bytes(), key_id="2026-11")
    world.fake.client_jwks = {"keys": [signer.public_jwk]}
    shutil.copy(certificates.authority, tmp_path / "company-ca.pem")
    shutil.copy(certificates.client, tmp_path)
    shutil.copy(certificates.client_key, tmp_path)
    monkeypatch.chdir(tmp_path)
    # redis-py reads a file for each connection, which is none of our blocking
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: "0")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    # aiohttp reads that once, when it is imported
    trusting = ssl.create_default_context(cafile=str(certificates.authority))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    monkeypatch.setenv("CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("COOKIE_KEY", Fernet.generate_key().decode())
    pem = SERVICE_ACCOUNT_KEY.as_pem(private=True).decode()
    account = {"private_key": pem, "client_email": "reporter@acme.example", "project_id": "acme"}
    (tmp_path / "account.json").write_text(json.dumps(account), encoding="utf-8")
    (tmp_path / "key.pem").write_text(pem, encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("PRIVATE_KEY_FILE", str(tmp_path / "key.pem"))
    monkeypatch.setenv("REFRESH_TOKEN", str(world.fake.issue().refresh_token))
    monkeypatch.setattr(builtins, "input", world.browse)
    with internet.around(monkeypatch):
        yield world
    assert internet.errors == []
    assert world.systems.violations == ()


@pytest.fixture
def cached_login(world: World, cache: RedisServer) -> None:
    """Have the token of a login in Redis, under the key `erp`."""

    async def save() -> None:
        async with cache.client() as client:
            token = Token("stale", refresh_token=world.fake.issue().refresh_token)
            await RedisStore(client).save("erp", token)

    asyncio.run(save())
