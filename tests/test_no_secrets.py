"""Canaries in every place for a secret, and a look at everything that can be printed."""

import io
import json
import logging
import pickle
import traceback
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pprint import pformat
from types import TracebackType
from typing import Any

import attrs
import cattrs
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

import oauthkit
from oauthkit.client_keys import ClientSecretJWT, PrivateKeyJWT
from oauthkit.errors import OAuthKitError
from oauthkit.jose.jwt_bearer import JWTBearer
from oauthkit.operations import fetch_token
from oauthkit.operations.login import LoggedIn
from oauthkit.operations.registered_client import RegisteredClient
from oauthkit.protocol.assertion_grants import SAML2Bearer
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.client_auth import ClientSecretBasic, ClientSecretPost
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.compact import read_signed
from oauthkit.protocol.device_login import DeviceLogin
from oauthkit.protocol.formats import FORM, JSON, MULTIPART, XML, RequestFormat
from oauthkit.protocol.grants import (
    AuthorizationCode,
    ClientCredentials,
    GrantStrategy,
    RefreshToken,
    ResourceOwnerPassword,
)
from oauthkit.protocol.id_token import Expected, Identity
from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.protocol.pkce import new_verifier
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.secret import NoPickle, SecretStr, secret
from oauthkit.protocol.server import AuthorizationServer, rename_fields
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.protocol.token_exchange import TokenExchange
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.memory import MemoryStore
from tests.asking import authenticated, token_request
from tests.tokens import written

CANARY = "canary"
VERIFIER = f"{CANARY}-verifier-{'v' * 40}"
PACKAGE = str(Path(oauthkit.__file__).parent)


@attrs.frozen
class RichToken(Token):
    pin: str | None = secret(default=None)
    level: int = 0


SERVER = AuthorizationServer(
    "https://auth.example/token",
    issuer="https://auth.example",
    authorization_endpoint="https://auth.example/authorize",
    token_class=RichToken,
)
TOKEN = RichToken(
    f"{CANARY}-access",
    refresh_token=f"{CANARY}-refresh",
    id_token=f"{CANARY}-id",
    pin=f"{CANARY}-pin",
    extra={"other": f"{CANARY}-other", "nested": {"deep": [f"{CANARY}-deep"]}},
)
LOGIN = AuthorizationRequest(
    url=f"https://auth.example/authorize?state={CANARY}-state",
    state=f"{CANARY}-state",
    nonce=f"{CANARY}-nonce",
    code_verifier=VERIFIER,
    redirect_uri="https://app.example/callback",
    token_endpoint="https://auth.example/token",
    issuer="https://auth.example",
)
SCALAR = int.from_bytes(urlsafe_b64decode(f"{CANARY}{'A' * 37}="), "big")
KEY = ECKey.import_key(ec.derive_private_key(SCALAR, ec.SECP256R1())).as_dict(private=True)
DEVICE_LOGIN = DeviceLogin(
    device_code=f"{CANARY}-device",
    user_code=f"{CANARY}-user",
    verification_uri="https://auth.example/device",
    verification_uri_complete=f"https://auth.example/device?user_code={CANARY}-user",
    expires_at=1.0,
    token_endpoint="https://auth.example/token",
    extra={"other": f"{CANARY}-other"},
)
REGISTERED = RegisteredClient(
    client_id="reporter",
    client_secret=f"{CANARY}-secret",
    client_secret_expires_at=1.0,
    registration_access_token=f"{CANARY}-registration",
    registration_client_uri="https://auth.example/register/reporter",
    metadata={"other": f"{CANARY}-other"},
)
CLIENTS = [
    ClientSecretBasic("reporter", f"{CANARY}-secret"),
    ClientSecretBasic("reporter", f"{CANARY}-secret", raw=True),
    ClientSecretPost("reporter", f"{CANARY}-secret"),
    ClientSecretJWT("reporter", f"{CANARY}-secret-{'s' * 32}"),
    PrivateKeyJWT("reporter", KEY),
]
ADDITIONAL = {"user_assertion": f"{CANARY}-assertion"}
GRANTS: list[GrantStrategy] = [
    ClientCredentials(additional=ADDITIONAL),
    AuthorizationCode(
        code=f"{CANARY}-code",
        code_verifier=VERIFIER,
        additional=ADDITIONAL,
        extra={"id_token": f"{CANARY}-id"},
    ),
    RefreshToken(refresh_token=f"{CANARY}-refresh", additional=ADDITIONAL),
    ResourceOwnerPassword(username="ada", password=f"{CANARY} password", additional=ADDITIONAL),
    TokenExchange(
        subject_token=f"{CANARY}-subject",
        subject_token_type="jwt",
        actor_token=f"{CANARY}-actor",
        actor_token_type="jwt",
        additional=ADDITIONAL,
    ),
    JWTBearer(assertion=f"{CANARY}.jwt.assertion", additional=ADDITIONAL),
    SAML2Bearer(assertion=f"<{CANARY}-saml/>", additional=ADDITIONAL),
]
REQUESTS = [
    token_request(SERVER, client_auth, attrs.evolve(grant, request_format=request_format))
    for client_auth in CLIENTS
    for grant in GRANTS
    for request_format in (FORM, MULTIPART, JSON, XML)
]
RESPONSE = HTTPResponse(
    200,
    {"set-cookie": f"a={CANARY}"},
    json.dumps({"access_token": f"{CANARY}-access"}).encode(),
)
HEADERS = Headers({"authorization": f"Bearer {CANARY}-access"})
SIGNED = read_signed(
    written({"alg": "RS256", "jku": f"{CANARY}-jku"}, {"sub": CANARY}, CANARY.encode())
)
IDENTITY = Identity(
    issuer="https://auth.example",
    subject="ada",
    claims={"email": f"{CANARY}-email", "address": {"locality": f"{CANARY}-town"}},
    expires_at=1.0,
)
VALUES: list[Any] = [
    IDENTITY,
    LoggedIn(TOKEN, IDENTITY),
    SIGNED,
    Expected(
        is_issuer=bool,
        issuer="https://auth.example",
        client_id="reporter",
        nonce=f"{CANARY}-nonce",
        access_token=f"{CANARY}-access",
        follows=IDENTITY,
    ),
    ClientMetadata(decryption_keys=(f"{CANARY}-pem".encode(), {"kty": "RSA", "d": f"{CANARY}-d"})),
    TOKEN,
    LOGIN,
    DEVICE_LOGIN,
    REGISTERED,
    *CLIENTS,
    *(authenticated(client_auth, SERVER) for client_auth in CLIENTS),
    *GRANTS,
    *(grant.parameters() for grant in GRANTS),
    *(grant.renewal(TOKEN) for grant in GRANTS),
    LOGIN.accept({"code": f"{CANARY}-code", "state": f"{CANARY}-state", "more": CANARY}),
    *REQUESTS,
    RESPONSE,
    HEADERS,
]


def named(values: Sequence[object]) -> dict[str, Any]:
    return {
        "argvalues": values,
        "ids": [f"{type(value).__name__}-{number}" for number, value in enumerate(values)],
    }


def logged(value: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("oauthkit.canaries")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(level, "%s %r %s", value, value, [value])
            logger.log(level, value)
        if isinstance(value, BaseException):
            logger.error("failed", exc_info=value)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def printed(value: object) -> str:
    return "\n".join([repr(value), str(value), f"{value} {value!r}", pformat(value), logged(value)])


@pytest.mark.parametrize("value", **named(VALUES))
def test_no_value_prints_or_logs_its_secrets(value: object) -> None:
    """O2-40, PK-08, AT-69, AT-70."""
    assert CANARY not in printed(value)
    assert CANARY not in printed([value])
    assert CANARY not in printed({"value": value})


def test_no_dump_of_a_value_prints_its_secrets() -> None:
    """AT-70."""
    attributed: list[Any] = [v for v in VALUES if hasattr(v, "__attrs_attrs__")]
    for value in attributed:
        assert CANARY not in repr(attrs.asdict(value)), value
        assert CANARY not in repr(attrs.asdict(value, recurse=False)), value
        assert CANARY not in repr(attrs.astuple(value)), value


@pytest.mark.parametrize("value", **named([attrs.evolve(TOKEN, extra={}), LOGIN, *CLIENTS]))
def test_what_cattrs_makes_of_a_value_prints_no_secret(value: object) -> None:
    """AT-70."""
    assert CANARY not in repr(cattrs.unstructure(value))
    assert CANARY not in repr(cattrs.Converter().unstructure(value))


def test_no_value_is_pickled() -> None:
    """O2-40, AT-70."""
    for value in [v for v in VALUES if isinstance(v, NoPickle)]:
        for version in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match=f"{type(value).__name__} .*is not pickled"):
                pickle.dumps(value, version)


def test_no_request_has_a_secret_in_its_url() -> None:
    """O2-04, BT-05, AT-71: there is no format and no method that would put one there."""
    assert {request.url for request in REQUESTS} == {"https://auth.example/token"}
    assert {request.method for request in REQUESTS} == {"POST"}


# What goes wrong


def answered(
    content: str | bytes,
    content_type: str = "application/json",
    *,
    status: int = 200,
    server: AuthorizationServer = SERVER,
) -> Callable[[], object]:
    body = content if isinstance(content, bytes) else content.encode()
    response = HTTPResponse(
        status, {"content-type": content_type, "www-authenticate": f"Basic realm={CANARY}"}, body
    )
    secrets = frozenset(map(SecretStr, (f"{CANARY} pass/word+1", CANARY)))
    return lambda: parse_token_response(
        server, response, requested_at=0.0, previous=TOKEN, secrets=secrets
    )


def answered_plainly(content: str, content_type: str, *, status: int = 200) -> Callable[[], object]:
    """Answer what is not known to be secret, and has to be seen to be."""
    response = HTTPResponse(status, {"content-type": content_type}, content.encode())
    return lambda: parse_token_response(SERVER, response, requested_at=0.0)


def built(grant: GrantStrategy, *, client: int = 0) -> Callable[[], object]:
    return lambda: token_request(SERVER, CLIENTS[client], grant)


def encoded(request_format: RequestFormat, text: str) -> Callable[[], object]:
    return built(
        ResourceOwnerPassword(username="ada", password=text, request_format=request_format)
    )


def called_back(*callbacks: Any) -> Callable[[], object]:
    changes = {"issuer_required": False, "code_verifier": f"{CANARY}-{new_verifier()}"}
    login = AuthorizationRequest.from_dict({**LOGIN.to_dict(), **changes})

    def accept() -> object:
        return [login.accept(callback) for callback in callbacks]

    return accept


def stranger(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"access_token": fields["data"]["token"]}


GOOD = f"code={CANARY}-code&state={CANARY}-state"
FORM_TYPE = "application/x-www-form-urlencoded"
FAILURES: dict[str, Callable[[], object]] = {
    "bad json": answered(f'{{"access_token":"{CANARY}",'),
    "json list": answered(f'["{CANARY}"]'),
    "json text": answered(f'"{CANARY}"'),
    "twice": answered(f'{{"access_token":"{CANARY}","access_token":"{CANARY}"}}'),
    "constant": answered(f'{{"access_token":"{CANARY}","expires_in":NaN}}'),
    "integer": answered(f'{{"access_token":"{CANARY}","expires_in":{"9" * 5_000}}}'),
    "surrogate": answered(f'{{"access_token":"{CANARY}\\ud800"}}'),
    "deep": answered(f'{{"access_token":"{CANARY}","a":{"[" * 99}'),
    "not utf-8": answered(f'{{"access_token":"{CANARY}'.encode() + b'\xff"}'),
    "bad form": answered(f"access_token={CANARY}&<", FORM_TYPE),
    "form twice": answered(f"access_token={CANARY}&access_token={CANARY}", FORM_TYPE),
    "form not utf-8": answered(f"access_token={CANARY}%FF", FORM_TYPE),
    "bad xml": answered(f"<r><access_token>{CANARY}</access_token>", "application/xml"),
    "xml twice": answered(f"<r><a>{CANARY}</a><a>{CANARY}</a></r>", "application/xml"),
    "xml doctype": answered(f'<!DOCTYPE r [<!ENTITY a "{CANARY}">]><r/>', "application/xml"),
    "xml element": answered(f"<r><{CANARY}:a/></r>", "application/xml"),
    "html": answered(f"<html>{CANARY}</html>", "text/html"),
    "nothing": answered("", "text/plain"),
    "no token": answered(f'{{"refresh_token":"{CANARY}","data":{{"jwt":"{CANARY}"}}}}'),
    "no type": answered(f'{{"access_token":"{CANARY}"}}'),
    "type of token": answered(f'{{"access_token":["{CANARY}"],"token_type":"Bearer"}}'),
    "type of scope": answered(
        f'{{"access_token":"{CANARY}","token_type":"Bearer","scope":{{"a":"{CANARY}"}}}}'
    ),
    "type of further": answered(
        f'{{"access_token":"{CANARY}","token_type":"Bearer","level":"{CANARY}"}}'
    ),
    "type of error": answered(f'{{"error":{{"message":"{CANARY}"}}}}'),
    "error": answered(
        f'{{"error":"invalid_grant","error_description":"{CANARY} pass\\/word+1",'
        f'"error_uri":"https://a.example/?{CANARY}%20pass%2Fword%2B1","access_token":"{CANARY}"}}',
        status=400,
    ),
    "refusal by rule": answered(
        f'{{"fault":"{CANARY} pass/word+1","error_uri":"/{CANARY}","token":"{CANARY}"}}',
        server=attrs.evolve(SERVER, errors=(ErrorRule("invalid_grant", member="fault"),)),
    ),
    "refusal by rule and adapter": answered(
        f'{{"fault":1,"token":"{CANARY}"}}',
        server=attrs.evolve(
            SERVER, errors=(ErrorRule("invalid_grant", member="fault"),), adapt=stranger
        ),
    ),
    "refusal by status": answered(
        f"wrong: {CANARY} pass/word+1",
        "text/plain",
        status=403,
        server=attrs.evolve(SERVER, errors=(ErrorRule("invalid_grant", status=403),)),
    ),
    "refusal in other words": answered(f"wrong: {CANARY} pass/word+1", "text/plain", status=403),
    "redirect": answered(f"moved {CANARY}", "text/plain", status=307),
    "busy": answered(f"busy {CANARY}", "text/plain", status=503),
    "adapter": answered(f'{{"token":"{CANARY}"}}', server=attrs.evolve(SERVER, adapt=stranger)),
    "renamed": answered(
        f'{{"AccessToken":"{CANARY}"}}',
        server=attrs.evolve(SERVER, adapt=rename_fields({"AccessToken": "access_token"})),
    ),
    "unknown json": answered_plainly(
        f'{{"AccessToken":"{CANARY}","api-key":1,"password":"{CANARY} {CANARY}"}}',
        "application/json",
    ),
    "unknown form": answered_plainly(f"token={CANARY}&secret={CANARY}", "text/plain"),
    "unknown xml": answered_plainly(
        f"<r><id_token>{CANARY}</id_token><password>{CANARY}</password></r>", "application/xml"
    ),
    "unknown jwt": answered_plainly("eyJhbGciOiJub25lIn0.canary0canary.", "text/plain"),
    "echoed header": answered_plainly(f"Authorization: Basic {CANARY}", "text/html", status=400),
    "control character in xml": encoded(XML, f"{CANARY}\x01"),
    "surrogate in form": encoded(FORM, f"{CANARY}\ud800"),
    "surrogate in multipart": encoded(MULTIPART, f"{CANARY}\ud800"),
    "surrogate in json": encoded(JSON, f"{CANARY}\ud800"),
    "surrogate in xml": encoded(XML, f"{CANARY}\ud800"),
    "surrogate in additional": built(ClientCredentials(additional={"a": f"{CANARY}\ud800"})),
    "list": built(ClientCredentials(additional={"a": [CANARY]})),
    "given twice": built(
        ResourceOwnerPassword(username="u", password=CANARY, additional={"password": CANARY})
    ),
    "no element name": built(ClientCredentials(request_format=XML, additional={"a b": CANARY})),
    "code of another server": built(
        AuthorizationCode(code=CANARY, code_verifier=VERIFIER, token_endpoint="https://b.example/")
    ),
    "client secret": lambda: ClientSecretBasic("id", f"{CANARY}\n"),
    "client secret in body": lambda: ClientSecretPost("id", f"{CANARY}\x00"),
    "secret that is too short": lambda: ClientSecretJWT("id", CANARY),
    "secret by an algorithm of keys": lambda: ClientSecretJWT("id", CANARY * 9, "RS256"),
    "key that is damaged": lambda: PrivateKeyJWT("id", {**KEY, "x": CANARY}),
    "key of another algorithm": lambda: PrivateKeyJWT("id", KEY, "RS256"),
    "key as a text": lambda: PrivateKeyJWT("id", CANARY),  # type: ignore[arg-type]
    "key in no PEM": lambda: PrivateKeyJWT("id", CANARY.encode()),
    "colon": lambda: ClientSecretBasic("a:b", CANARY, raw=True),
    "short verifier": lambda: AuthorizationCode(code=CANARY, code_verifier=CANARY),
    "wider refresh": lambda: RefreshToken(refresh_token=CANARY, scope="a b").renewal(
        attrs.evolve(TOKEN, scope="a")
    ),
    "token type": lambda: BEARER.authorization(attrs.evolve(TOKEN, token_type="mac")),
    "token characters": lambda: BEARER.authorization(Token(f"{CANARY}\r\n")),
    "kept token": lambda: Token.from_dict({**TOKEN.to_dict(), "scope": [CANARY]}),
    "kept token further": lambda: RichToken.from_dict(
        {**TOKEN.to_dict(), "extra": {"level": CANARY}}
    ),
    "kept token extra": lambda: Token.from_dict({**TOKEN.to_dict(), "extra": CANARY}),
    "kept token text": lambda: Token.from_dict(CANARY),  # type: ignore[arg-type]
    "kept login": lambda: AuthorizationRequest.from_dict({**LOGIN.to_dict(), "nonce": [CANARY]}),
    "kept login of a newer version": lambda: AuthorizationRequest.from_dict(
        {**LOGIN.to_dict(), "version": 3, "x": CANARY}
    ),
    "kept token of a newer version": lambda: Token.from_dict(
        {**TOKEN.to_dict(), "version": 3, "x": CANARY}
    ),
    "another library's token": lambda: Token.from_dict({"access_token": CANARY, "expires_in": 5}),
    "another library's lifetime": lambda: Token.from_response(
        {"access_token": CANARY, "expires_in": CANARY}
    ),
    "another library's scope": lambda: Token.from_response(
        {"access_token": CANARY, "scope": [CANARY, 5]}
    ),
    "another library's text": lambda: Token.from_response(CANARY),  # type: ignore[arg-type]
    "another library's token of an unknown moment": lambda: Token.from_response(
        {"access_token": CANARY, "refresh_token": CANARY, "expires_in": 5}
    ),
    "kept login verifier": lambda: AuthorizationRequest.from_dict(
        {**LOGIN.to_dict(), "code_verifier": CANARY}
    ),
    "kept login return": lambda: AuthorizationRequest.from_dict(
        {**LOGIN.to_dict(), "return_to": "//evil"}
    ),
    "callback of another": called_back(f"code={CANARY}-code&state={CANARY}-other"),
    "callback twice": called_back(f"{GOOD}&code={CANARY}"),
    "callback of another issuer": called_back(f"{GOOD}&iss=https://evil.example"),
    "callback refused": called_back(f"{GOOD}&error=access_denied"),
    "callback again": called_back(GOOD, GOOD),
    "callback without code": called_back(f"state={CANARY}-state&session={CANARY}"),
    "callback in pairs": called_back([("code", CANARY), ("code", CANARY)]),
    "callback in a mapping": called_back({"code": [CANARY, CANARY]}),
    "callback too long": called_back(CANARY * 20_000),
    "callback of bytes": called_back(CANARY.encode()),
    "login with a parameter twice": lambda: AuthorizationRequest.new(
        SERVER, "reader", redirect_uri="https://app.example/", additional={"state": CANARY}
    ),
    "login with a surrogate": lambda: AuthorizationRequest.new(
        SERVER,
        "reader",
        redirect_uri="https://app.example/",
        additional={"id_token_hint": f"{CANARY}\ud800"},
    ),
}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that it carries along, shown in a traceback or not."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def our_locals(error: BaseException) -> Iterator[tuple[str, str]]:
    """Give the local values in our frames, as a traceback that shows them prints them."""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename.startswith(PACKAGE):
            for name, value in step.tb_frame.f_locals.items():
                yield f"{code.co_qualname}: {name}", repr(value)
        step = step.tb_next


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_no_error_shows_a_secret(failure: Callable[[], object]) -> None:
    """O2-40, AT-65, AT-69, AT-70: nor does a traceback that shows local values."""
    with pytest.raises(OAuthKitError) as caught:
        failure()

    for error in chain(caught.value):
        attributes = {k: v for k, v in vars(error).items() if k != "www_authenticate"}
        assert CANARY not in f"{error}{error!r}{error.args}{attributes}"
        assert [where for where, shown in our_locals(error) if CANARY in shown] == []
    assert CANARY not in logged(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_request_shows_no_secret_while_it_waits() -> None:
    """AT-69: what a transport sees may be logged."""
    request = REQUESTS[0]

    assert repr(request).startswith("HTTPRequest(method='POST', url='https://auth.example/token'")
    assert isinstance(request, HTTPRequest)
    assert CANARY not in f"{request.secrets}{request.content!s}{request.headers}"


def session_over(client: httpx.AsyncClient, **settings: Any) -> AsyncTokenSession[Any]:
    return AsyncTokenSession(
        client,
        server=SERVER,
        client_auth=ClientSecretBasic("client", f"{CANARY}-secret"),
        base_url="https://api.example",
        **settings,
    )


def token_or_no_connection(request: httpx.Request) -> httpx.Response:
    if request.url.path != "/token":
        message = "refused"
        raise httpx.ConnectError(message)
    return httpx.Response(200, json={**TOKEN.to_dict(), "expires_in": 60})


async def test_nothing_behind_a_session_prints_a_secret() -> None:
    """O2-40, AT-69, AT-70: an error reporter prints what it finds in the frames."""
    store = MemoryStore()
    told: list[object] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(token_or_no_connection)) as client:
        session = session_over(
            client, grant=ClientCredentials(), store=store, key="k", on_event=told.append
        )
        await session.token()
        source = session._source
        values = [session, session.auth, source, *told, await store.load("k")]
        for value in [*values, vars(session), vars(session.auth), vars(store)]:
            assert CANARY not in printed(value)


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_a_code_that_comes_twice_shows_no_secret_in_its_frames(status: int) -> None:
    """O2-40, AT-69, AT-70: nor does the first one, which the server echoes."""

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=request.content)

    code = AuthorizationCode(code=f"{CANARY}-{new_verifier()}", code_verifier=VERIFIER)
    async with httpx.AsyncClient(transport=httpx.MockTransport(echo)) as client:
        for _ in range(2):
            with pytest.raises(OAuthKitError) as caught:
                await fetch_token(client, SERVER, CLIENTS[0], code)

            for error in chain(caught.value):
                assert CANARY not in f"{error}{error!r}{vars(error)}"
                assert [where for where, shown in our_locals(error) if CANARY in shown] == []


@pytest.mark.parametrize("url", ["/report", "https://elsewhere.example/"])
async def test_a_call_that_fails_shows_no_secret_in_its_frames(url: str) -> None:
    """O2-40, AT-69, AT-70."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(token_or_no_connection)) as client:
        session = session_over(client, grant=ClientCredentials())
        await session.token()
        with pytest.raises((httpx.ConnectError, OAuthKitError)) as caught:
            await session.get(url)

    for error in chain(caught.value):
        assert [where for where, shown in our_locals(error) if CANARY in shown] == []


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_renewal_that_fails_shows_no_secret_in_its_frames(status: int) -> None:
    """O2-40, AT-69, AT-70: however the server echoes what it was sent."""

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=request.content + TOKEN.access_token.encode())

    store = MemoryStore()
    await store.save("k", TOKEN)
    async with httpx.AsyncClient(transport=httpx.MockTransport(echo)) as client:
        session = session_over(client, store=store, key="k")
        await session.token()
        with pytest.raises(OAuthKitError) as caught:
            await session.renew()

    for error in chain(caught.value):
        assert CANARY not in f"{error}{error!r}{error.args}{vars(error)}"
        assert [where for where, shown in our_locals(error) if CANARY in shown] == []
