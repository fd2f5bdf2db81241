"""A wrong kind of thing, thrown at each parameter of the public API."""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypedDict, cast

import attrs
import httpx
import pytest
from joserfc.jwk import ECKey

import oauthkit
from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    AuthorizationRequest,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    ConfigurationError,
    ErrorRule,
    JSONRequest,
    LeasedSingleUseStore,
    MemoryLogoutIndex,
    MemorySingleUseStore,
    MemoryStore,
    PrivateKeyJWT,
    PublicClient,
    RefreshToken,
    RenewalPolicy,
    ResourceOwnerPassword,
    SealedStore,
    SelfSignedTLSClientAuth,
    SQLiteLogoutIndex,
    SQLiteSingleUseStore,
    SQLiteStore,
    ThirdPartyLogin,
    TLSClientAuth,
    Token,
    XMLRequest,
    discover,
    fetch_token,
    keeper,
    parse_challenges,
    rename_fields,
    secret,
    servers_by_issuer,
    third_party_login,
)
from oauthkit.kinds import check_kind, checked
from oauthkit.protocol.metadata import ServerMetadata
from oauthkit.services import ads, auth_v1, hello, id_secret, put_auth

CANARY = "canary"
SERVER = AuthorizationServer(
    "https://auth.example/token", authorization_endpoint="https://auth.example/authorize"
)
APP = PublicClient("app")
GRANT = ClientCredentials()
URL = "https://auth.example/token"
KEY = ECKey.generate_key("P-256").as_pem(private=True)


@attrs.frozen
class Stranger:
    """Be of a kind that nothing takes; whatever prints it shows the canary."""

    text: str = CANARY


@attrs.frozen(kw_only=True)
class OwnGrant(oauthkit.GrantStrategy):
    grant_type = "own"
    assertion: str = secret()
    hint: str | None = secret(default=None)

    def parameters(self) -> dict[str, Any]:
        return {"assertion": self.assertion}


GOOD_METADATA: dict[Any, Any] = {
    str | None: URL,
    tuple[str, ...] | None: ("S256",),
    bool: False,
    Mapping[str, Any]: {},
}
METADATA = {field.name: GOOD_METADATA[field.type] for field in attrs.fields(ServerMetadata)}


# What each callable takes, all of it good: one after the other is replaced by a stranger.
CALLS: list[tuple[Callable[..., object], dict[str, Any]]] = [
    (
        Token,
        {
            "access_token": "a",
            "token_type": "Bearer",
            "issued_at": 1,
            "expires_at": 2.0,
            "refresh_token": "r",
            "refresh_expires_at": 3,
            "scope": "s",
            "id_token": "i",
            "issuer": "https://auth.example",
            "token_endpoint": URL,
            "client_id": "app",
            "unknown": {},
            "extra": {},
        },
    ),
    (
        AuthorizationServer,
        {
            "token_endpoint": URL,
            "issuer": URL,
            "authorization_endpoint": URL,
            **METADATA,
            "request_format": oauthkit.JSON,
            "accept": "application/json",
            "adapt": dict,
            "adapt_request": dict,
            "token_class": Token,
            "default_token_type": "Bearer",
            "allow_plain_http": False,
            "public_only": False,
        },
    ),
    (PublicClient, {"client_id": "app"}),
    (
        oauthkit.ClientMetadata,
        {
            "id_token_signed_response_alg": "ES256",
            "id_token_encrypted_response_alg": "RSA-OAEP",
            "id_token_encrypted_response_enc": "A128GCM",
            "userinfo_signed_response_alg": "ES256",
            "introspection_signed_response_alg": "ES256",
            "decryption_keys": [],
        },
    ),
    (ClientSecretBasic, {"client_id": "app", "client_secret": "s", "raw": True}),
    (ClientSecretPost, {"client_id": "app", "client_secret": "s"}),
    (
        ClientSecretJWT,
        {
            "client_id": "app",
            "client_secret": "s" * 32,
            "alg": "HS256",
            "audience": URL,
            "typ": "JWT",
            "lifetime": 60,
            "clock_offset": 0,
            "send_client_id": True,
        },
    ),
    (
        PrivateKeyJWT,
        {
            "client_id": "app",
            "key": KEY,
            "alg": "ES256",
            "audience": URL,
            "key_id": "a",
            "typ": "JWT",
            "lifetime": 60,
            "clock_offset": 0,
            "send_client_id": True,
            "certificate": None,
            "send_chain": False,
        },
    ),
    (
        TLSClientAuth,
        {"client_id": "app", "tls_client_certificate_bound_access_tokens": True},
    ),
    (
        SelfSignedTLSClientAuth,
        {"client_id": "app", "tls_client_certificate_bound_access_tokens": True},
    ),
    (
        ClientCredentials,
        {
            "scope": "a",
            "request_format": oauthkit.XML,
            "additional": {},
            "refresh_additional": {},
        },
    ),
    (
        AuthorizationCode,
        {
            "code": "c",
            "redirect_uri": "https://a.example",
            "code_verifier": "v" * 43,
            "token_endpoint": URL,
            "client_id": "app",
            "issuer": "https://a.example",
            "scope": "read",
            "extra": {},
        },
    ),
    (RefreshToken, {"refresh_token": "r", "scope": ["a"]}),
    (ResourceOwnerPassword, {"username": "ada", "password": "p", "scope": None}),
    (
        oauthkit.RegisteredClient,
        {
            "client_id": "a",
            "client_secret": "s",
            "client_secret_expires_at": 1,
            "client_id_issued_at": 1,
            "registration_access_token": "t",
            "registration_client_uri": URL,
            "issuer": URL,
            "metadata": {},
            "unknown": {},
        },
    ),
    (OwnGrant, {"assertion": "a", "hint": "h"}),
    (JSONRequest, {"content_type": "text/json"}),
    (XMLRequest, {"root": "r", "namespace": "n", "content_type": "text/xml"}),
    (rename_fields, {"names": {}}),
    (parse_challenges, {"values": ["Bearer"]}),
    (
        AuthorizationRequest.new,
        {
            "server": SERVER,
            "client_id": "app",
            "redirect_uri": "https://app.example/callback",
            "scope": ["a"],
            "additional": {},
            "return_to": "/inbox",
            "max_age": 0,
            "prompt": "login",
            "login_hint": "ada",
            "acr_values": ["gold"],
            "claims": {},
            "ui_locales": "de",
            "id_token_hint": "e30.e30.e30",
            "display": "page",
            "resource": ["https://api.example"],
            "response_mode": "query",
            "life": 60,
            "now": 1.5,
        },
    ),
    (
        servers_by_issuer,
        {"servers": [attrs.evolve(SERVER, issuer=URL)], "own_redirect_uris": True},
    ),
    (
        third_party_login,
        {"query": "iss=a", "issuers": ["a"], "site": "https://app.example"},
    ),
    (ThirdPartyLogin, {"issuer": URL, "login_hint": "ada", "return_to": "/inbox"}),
    (
        RenewalPolicy,
        {
            "leeway": 1,
            "jitter": 0.5,
            "timeout": 1,
            "save_timeout": 1,
            "recheck": 1,
            "default_life": 1,
            "longest_pause": 1,
            "idle_life": 1,
            "concurrency": 1,
            "renew_without_lease": True,
            "capacity": 1,
        },
    ),
    (MemoryStore, {"capacity": 1, "lease_seconds": 60, "clock": float}),
    (SQLiteStore, {"path": "tokens.db", "lease_seconds": 60}),
    (MemorySingleUseStore, {"capacity": 1, "clock": float}),
    (SQLiteSingleUseStore, {"path": "tokens.db", "clock": float}),
    (
        LeasedSingleUseStore,
        {"store": MemoryStore(), "prefix": "p", "records": 1, "timeout": 1, "clock": float},
    ),
    (MemoryLogoutIndex, {"capacity": 1, "clock": float}),
    (SQLiteLogoutIndex, {"path": "tokens.db", "clock": float}),
    (SealedStore, {"store": MemoryStore(), "keys": {"k": b"k" * 16}, "name": "n"}),
    (ads.Environment, {"name": "a", "default": URL}),
    (ads.authorization_server, {"environment": ads.NEW, "allow_plain_http": None}),
    (
        auth_v1.authorization_server,
        {"base_url": URL, "request_format": oauthkit.JSON, "allow_plain_http": True},
    ),
    *(
        (
            module.authorization_server,
            {where: URL, "authorization_endpoint": URL, "issuer": URL, "allow_plain_http": True},
        )
        for module, where in (
            (hello, "base_url"),
            (put_auth, "base_url"),
            (id_secret, "token_endpoint"),
        )
    ),
    (auth_v1.with_windows_authentication, {"grant": GRANT, "enabled": True}),
]
CASES = [
    pytest.param(function, good, name, id=f"{function.__module__}.{function.__qualname__}-{name}")
    for function, good in CALLS
    for name in good
]


@pytest.mark.parametrize("function, good, name", CASES)
def test_a_wrong_kind_is_refused_by_name(
    function: Callable[..., object], good: dict[str, Any], name: str
) -> None:
    function(**good)

    with pytest.raises(ConfigurationError, match="not a Stranger") as caught:
        function(**{**good, name: Stranger()})

    assert f"{name}= takes " in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("function, good, name", CASES)
def test_what_is_missing_comes_as_none_and_is_refused_unless_it_may(
    function: Callable[..., object], good: dict[str, Any], name: str
) -> None:
    told = ""
    try:
        function(**{**good, name: None})
    except ConfigurationError as error:
        told = str(error)

    assert not told or ("not None" in told and " or None," not in told)


ALL: dict[str, Any] = {
    "http": httpx.AsyncClient(),
    "server": SERVER,
    "client_auth": APP,
    "grant": GRANT,
    "base_url": "https://api.example",
    "origins": ["https://b.example"],
    "store": MemoryStore(),
    "key": "ada",
    "token": Token("a"),
    "policy": RenewalPolicy(),
    "token_http": httpx.AsyncClient(),
    "clock": __import__("time"),
    "on_event": print,
    "cookies": False,
}


@pytest.mark.parametrize("name", ALL)
async def test_a_session_refuses_a_wrong_kind_by_name(name: str) -> None:
    AsyncTokenSession(**ALL)
    wrong: Any = {**ALL, name: Stranger()}

    with pytest.raises(ConfigurationError, match="not a Stranger") as caught:
        AsyncTokenSession(**wrong)

    assert f"{name}= takes " in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"store": "tokens.db"}, r'MemoryStore\(\) or SQLiteStore\("tokens.db"\)'),
        ({"token": {"access_token": CANARY}}, r"takes a Token or None, not a dict; .*from_dict"),
        ({"policy": RenewalPolicy}, "policy= takes a RenewalPolicy, not the class RenewalPolicy"),
        ({"server": "https://auth.example/token"}, r'such as AuthorizationServer\("https://…"\)'),
        ({"grant": "client_credentials"}, r"not a str; such as ClientCredentials\(\)"),
        ({"client_auth": ("id", CANARY)}, r'a tuple; such as ClientSecretBasic\("id", "secret"\)'),
        ({"key": 17}, "key= takes a text or None, not an int"),
    ],
)
async def test_a_session_says_what_would_have_been_right(wrong: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        AsyncTokenSession(**{**ALL, **wrong})

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", ["key", "grant"])
async def test_another_key_of_a_wrong_kind_is_refused_at_once(name: str) -> None:
    wrong: Any = {"key": "ada", name: Stranger()}
    session = AsyncTokenSession(**ALL)

    with pytest.raises(ConfigurationError, match=f"for_key: {name}= takes .*, not a Stranger"):
        session.for_key(**wrong)


ASKED: dict[str, Any] = {**ALL, "timeout": 1.0, "clock": time, "http": httpx.AsyncClient()}
LOGIN = AuthorizationRequest.new(SERVER, "app", redirect_uri="https://app.example/callback")
DEVICE_LOGIN = oauthkit.DeviceLogin(
    device_code="d",
    user_code="u",
    verification_uri="https://auth.example/device",
    token_endpoint=URL,
    expires_at=1.0,
)
REGISTERED = oauthkit.RegisteredClient(client_id="app")
LOOKED: dict[str, Any] = {"client_metadata": oauthkit.ClientMetadata(), "leeway": 1.0}
OPERATIONS: list[tuple[Callable[..., Awaitable[object]], dict[str, Any]]] = [
    (fetch_token, {"grant": GRANT}),
    (
        oauthkit.complete_login,
        {
            **LOOKED,
            "login": LOGIN,
            "callback": "?code=1",
            "method": "GET",
            "content_type": None,
            "used": None,
        },
    ),
    (
        oauthkit.verify_id_token,
        {
            **LOOKED,
            "id_token": "i",
            "nonce": "n",
            "max_age": 1,
            "acr_values": ["a"],
            "access_token": "a",
            "follows": None,
        },
    ),
    (oauthkit.verify_logout_token, {**LOOKED, "client": "c", "logout_token": "l", "used": None}),
    (
        oauthkit.complete_logout,
        {
            **LOOKED,
            "logout_token": "l",
            "store": MemoryStore(),
            "index": oauthkit.MemoryLogoutIndex(),
            "used": None,
        },
    ),
    (
        oauthkit.start_device_login,
        {"scope": None, "resource": None, "additional": None},
    ),
    (
        oauthkit.poll_device_login,
        {"login": DEVICE_LOGIN, "shortest_interval": 1.0, "additional": None},
    ),
    (oauthkit.register_client, {"metadata": {}, "initial_access_token": None}),
    (oauthkit.read_registration, {"client": REGISTERED}),
    (oauthkit.update_registration, {"client": REGISTERED, "metadata": {}}),
    (oauthkit.delete_registration, {"client": REGISTERED}),
    (oauthkit.revoke, {"token_text": "t", "hint": None}),
    (
        oauthkit.introspect,
        {
            "token_text": "t",
            "hint": None,
            "access_token": None,
            "cache": None,
            "client_metadata": LOOKED["client_metadata"],
        },
    ),
    (
        oauthkit.fetch_userinfo,
        {
            "token": Token("t"),
            "subject": "ada",
            "unverified_subject": False,
            "method": "GET",
            "in_body": False,
            "client_auth": None,
            "client_metadata": LOOKED["client_metadata"],
        },
    ),
]
"""What is asked of a server, with arguments that it takes beside those that all of them take."""


def asked(function: Callable[..., Awaitable[object]], given: dict[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {**{name: value for name, value in ASKED.items() if name in names}, **given}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # nothing is waited for
@pytest.mark.parametrize(
    "operation, given, name",
    [
        pytest.param(function, asked(function, given), name, id=f"{function.__name__}-{name}")
        for function, given in OPERATIONS
        for name in asked(function, given)
    ],
)
async def test_an_operation_refuses_a_wrong_kind_before_anything_is_sent(
    operation: Callable[..., Awaitable[object]], given: dict[str, Any], name: str
) -> None:
    with pytest.raises((ConfigurationError, oauthkit.CallbackError)) as caught:
        await operation(**{**given, name: Stranger()})

    said = str(caught.value)
    assert name in said or (name == "http" and "httpx.AsyncClient" in said)
    assert CANARY not in said


def test_every_argument_of_an_operation_is_thrown_at() -> None:
    for function, given in OPERATIONS:
        assert inspect.signature(function).parameters.keys() == asked(function, given).keys()


@pytest.mark.parametrize("wrong", [{"session": Stranger()}, {"in_use": Stranger()}])
async def test_a_keeper_refuses_a_wrong_kind(wrong: Any) -> None:
    arguments: dict[str, Any] = {"session": AsyncTokenSession(**ALL), **wrong}

    with pytest.raises(ConfigurationError, match="not a Stranger") as caught:
        async with keeper(arguments.pop("session"), **arguments):
            raise AssertionError

    assert f"keeper: {next(iter(wrong))}" in str(caught.value)


SERVICES: list[tuple[Callable[..., Awaitable[object]], dict[str, Any]]] = [
    (hello.say_hello, {"first_name": "Ada", "base_url": "https://a.example"}),
    (
        ads.get_bibcode,
        {"bibcode": "b", "db_key": "d", "data_type": "t", "environment": ads.NEW},
    ),
    (
        ads.test,
        {
            "counter": 1,
            "cache_control": "c",
            "content_type": "t",
            "postman_token": "p",
            "environment": ads.NEW,
            "server": "https://a.example",
        },
    ),
]


@pytest.mark.parametrize(
    "service, good, name",
    [
        pytest.param(service, good, name, id=f"{service.__name__}-{name}")
        for service, good in SERVICES
        for name in good
    ],
)
async def test_a_service_refuses_a_wrong_kind_before_anything_is_sent(
    service: Callable[..., Awaitable[object]], good: dict[str, Any], name: str
) -> None:
    session = AsyncTokenSession(**ALL)

    with pytest.raises(ConfigurationError, match=f"{name}= takes .*, not a Stranger"):
        await service(session, **{**good, name: Stranger()})


@pytest.mark.parametrize("service, good", SERVICES)
async def test_a_service_refuses_what_is_no_session(
    service: Callable[..., Awaitable[object]], good: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="session takes an AsyncTokenSession, not an Asy"):
        await service(httpx.AsyncClient(), **good)


def is_grant(function: object) -> bool:
    return isinstance(function, type) and issubclass(function, oauthkit.GrantStrategy)


def test_every_parameter_of_the_public_api_is_thrown_at() -> None:
    """A parameter that comes later is in the tables above, or here with the reason."""
    thrown: dict[Any, set[str]] = {}
    for function, good in CALLS:
        thrown.setdefault(getattr(function, "__func__", function), set()).update(good)
    elsewhere = {
        "self", "cls",
        # checked by themselves, with words of their own
        "errors", "success_status", "values", "clock",
    }  # fmt: skip
    for function, names in thrown.items():
        parameters = set(inspect.signature(function).parameters) - elsewhere
        if function is not ClientCredentials and is_grant(function):
            # of their base, as ClientCredentials
            parameters -= {"request_format", "additional", "refresh_additional"}
        assert parameters - names == set(), function
    public = [getattr(oauthkit, name) for name in oauthkit.__all__]
    assert {
        value
        for value in public
        if (inspect.isfunction(value) or attrs.has(value if inspect.isclass(value) else int))
        and value not in thrown
    } == {
        discover,  # tests/test_discovery.py
        oauthkit.register_client,  # tests/test_registration.py
        oauthkit.read_registration,
        oauthkit.update_registration,
        oauthkit.delete_registration,
        keeper,
        *(function for function, _ in OPERATIONS),
        oauthkit.Identity,  # what a server says
        oauthkit.LogoutToken,  # the same
        oauthkit.LoggedIn,  # what an operation gives
        oauthkit.LoggedOut,
        oauthkit.DeviceLogin,
        oauthkit.Introspection,  # what a server says
        oauthkit.UserInfo,  # the same
        oauthkit.LogoutRequest,  # `new` makes it
        oauthkit.end_session_url,  # tests/protocol/test_logout.py
        secret,
        oauthkit.TokenExchange,  # says more than a kind: tests/protocol/test_token_exchange.py
        oauthkit.SAML2Bearer,  # the same: tests/protocol/test_assertion_grants.py
        oauthkit.JWTBearer,
        ErrorRule,  # says more than a kind: tests/protocol/test_refusals.py
        oauthkit.Rejection,  # the same: tests/protocol/test_rejection.py
        AuthorizationRequest,  # `new` makes it
        oauthkit.AnonymousClient,  # takes nothing
        oauthkit.Authentication,
        oauthkit.Challenge,
        oauthkit.FormRequest,
        oauthkit.MultipartRequest,
        oauthkit.GrantStrategy,
        oauthkit.SessionStatus,
    }


# The reading of annotations


class Kept(TypedDict):
    name: str


@pytest.mark.parametrize(
    "kind, value",
    [
        (float, 1),
        (int, 1),
        (str | None, None),
        (None, None),
        (type[Any], int),
        (type[list[int]], list),
        (dict[str, int], {}),
        (Kept, {}),
        (Literal["a"], "b"),  # whatever cannot be looked at
        ("AuthorizationServer", 1),
        (Any, 1),
        (object, 1),
    ],
)
def test_a_kind_that_fits_or_cannot_be_looked_at_passes(kind: Any, value: object) -> None:
    check_kind("it", value, kind)


@pytest.mark.parametrize(
    "kind, value, told",
    [
        (float, True, "a number, not a bool"),
        (int, 1.5, "a whole number, not a float"),
        (int, True, "a whole number, not a bool"),
        (bool, 1, "True or False, not an int"),
        (None, 1, "None, not an int"),
        (type[Token], Token("a"), "a class such as Token, not a Token"),
        (type[Token], dict, "a class such as Token, not the class dict"),
        (dict[str, int], [], "a dict, not a list"),
        (Callable[[], None], 1, "something that can be called, not an int"),
        (
            oauthkit.RequestFormat,
            "json",
            r"a RequestFormat with encode\(\), not a str; such as FORM",
        ),
        (
            oauthkit.RequestFormat,
            JSONRequest,
            r"a RequestFormat with encode\(\), not the class JSONRequest",
        ),
    ],
)
def test_another_kind_is_named_with_what_is_taken(kind: Any, value: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^it takes {told}"):
        check_kind("it", value, kind)


def test_an_argument_that_is_missing_is_named_by_python_itself() -> None:
    with pytest.raises(TypeError, match="'client_secret'") as caught:
        ClientSecretBasic("app")  # pyright: ignore[reportCallIssue]

    assert caught.value.__traceback__ is not None


def test_a_fault_in_ones_own_class_keeps_the_frames_that_show_it() -> None:
    @attrs.frozen(kw_only=True)
    class Faulty(OwnGrant):
        def __attrs_post_init__(self) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        Faulty(assertion="a")

    assert [entry.name for entry in caught.traceback][-1] == "__attrs_post_init__"
    assert "__init__" not in [entry.name for entry in caught.traceback]


def test_a_class_whose_own_annotations_are_texts_still_takes_texts_only() -> None:
    @attrs.frozen(kw_only=True)
    class Quoted(OwnGrant):
        assertion: "str" = secret()  # noqa: RUF009 - a field of attrs

    with pytest.raises(ConfigurationError, match="a secret is a text, not an int"):
        Quoted(assertion=17)  # type: ignore[arg-type]


def test_a_class_without_a_constructor_of_its_own_is_checked_by_its_base() -> None:
    @attrs.frozen(init=False)
    class Plain(PublicClient):
        pass

    with pytest.raises(ConfigurationError, match="PublicClient: client_id= takes a text"):
        Plain(17)  # type: ignore[arg-type]


def test_a_checked_function_is_called_as_it_was() -> None:
    @checked
    def add(a: int, /, b: int = 2, *, c: int = 3) -> int:
        return a + b + c

    assert add(1) + add(1, b=1) + add(1, 1, c=1) == 6 + 5 + 3
    with pytest.raises(ConfigurationError, match="c= takes a whole number, not a str"):
        add(1, c="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@attrs.frozen(kw_only=True)
class Tagged(Token):
    """A token of somebody's own, whose fields are what the JSON of an answer becomes."""

    tags: tuple[str, ...] = ()
    note: Annotated[str, "for people"] = ""
    level: str = attrs.field(default="", converter=str)


def test_what_a_users_own_class_declares_is_left_to_its_converters() -> None:
    """Nothing of an answer may be lost for a list in place of a tuple."""
    kept = {"access_token": "a", "extra": {"tags": ["a"], "note": "n", "level": "3"}}
    found = Tagged.from_dict(kept)
    assert (list(found.tags), found.note, found.level) == (["a"], "n", "3")
    with pytest.raises(ConfigurationError, match="access_token= takes a text"):
        Tagged(17)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_who_declares_a_field_is_known_without_its_annotation() -> None:
    """From Python 3.14 on, a class keeps its annotations elsewhere."""
    fields = {"note": attrs.field(default="")}
    noted: Any = attrs.make_class("Noted", fields, bases=(Token,), frozen=True)

    assert noted("a", note=["n"]).note == ["n"]
    with pytest.raises(ConfigurationError, match="access_token= takes a text"):
        noted(17)


def test_a_constructor_of_a_users_own_takes_what_it_likes() -> None:
    @attrs.frozen(init=False)
    class Spaced(ClientCredentials):
        def __init__(self, scope: list[str]) -> None:
            cast(Any, self).__attrs_init__(scope=" ".join(scope))

    assert Spaced(["a", "b"]).scope == "a b"


def test_an_annotated_kind_is_the_kind() -> None:
    @checked
    def take(text: Annotated[str, "for people"]) -> str:
        return text

    assert take("a") == "a"
    with pytest.raises(ConfigurationError, match="text= takes"):
        take(17)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_server_takes_the_list_of_methods_that_its_metadata_has() -> None:
    server = AuthorizationServer(URL, code_challenge_methods_supported=["S256"])
    assert server.code_challenge_methods_supported == ("S256",)
