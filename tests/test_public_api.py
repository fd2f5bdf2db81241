"""What users may rely on: names, signatures, docstrings, and what an import costs."""

import importlib.metadata
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import oauthkit
from oauthkit import events, services, stores, testing
from oauthkit.integrations import fastapi, starlette
from oauthkit.integrations.aiohttp import token_middleware
from oauthkit.services import ads, auth_v1, hello, id_secret, put_auth

NAMES = [
    "FORM",
    "JSON",
    "MULTIPART",
    "XML",
    "AccessDenied",
    "AnonymousClient",
    "AsyncTokenSession",
    "Authentication",
    "AuthorizationCode",
    "AuthorizationRequest",
    "AuthorizationServer",
    "CallbackError",
    "Challenge",
    "ClientAuth",
    "ClientCredentials",
    "ClientMetadata",
    "ClientSecretBasic",
    "ClientSecretJWT",
    "ClientSecretPost",
    "ConfigurationError",
    "DeviceLogin",
    "Discovered",
    "EndpointError",
    "ErrorResponse",
    "ErrorRule",
    "FormRequest",
    "GrantStrategy",
    "Identity",
    "InteractionRequired",
    "Introspection",
    "IntrospectionCache",
    "InvalidClient",
    "InvalidGrant",
    "InvalidJWT",
    "JSONRequest",
    "JWTBearer",
    "Lease",
    "LeaseLost",
    "LeaseTaken",
    "LeasedSingleUseStore",
    "LoggedIn",
    "LoggedOut",
    "LogoutIndex",
    "LogoutRequest",
    "LogoutToken",
    "MemoryLogoutIndex",
    "MemorySingleUseStore",
    "MemoryStore",
    "MultipartRequest",
    "OAuthKitError",
    "PrivateKeyJWT",
    "PublicClient",
    "ReauthorizationRequired",
    "Recovery",
    "RedisLogoutIndex",
    "RedisSingleUseStore",
    "RedisStore",
    "RefreshToken",
    "RegisteredClient",
    "Rejection",
    "RenewalPolicy",
    "Repeat",
    "RequestFormat",
    "ResourceOwnerPassword",
    "ResponseError",
    "SAML2Bearer",
    "SQLiteLogoutIndex",
    "SQLiteSingleUseStore",
    "SQLiteStore",
    "SealedStore",
    "SelfSignedTLSClientAuth",
    "SessionStatus",
    "Signer",
    "SingleUseStore",
    "StoreError",
    "TLSClientAuth",
    "ThirdPartyLogin",
    "Token",
    "TokenExchange",
    "TokenStore",
    "TransportError",
    "UnmetRequirements",
    "UserInfo",
    "XMLRequest",
    "__version__",
    "complete_login",
    "complete_logout",
    "delete_registration",
    "discover",
    "end_session_url",
    "fetch_token",
    "fetch_userinfo",
    "introspect",
    "keeper",
    "parse_challenges",
    "poll_device_login",
    "read_registration",
    "register_client",
    "rename_fields",
    "revoke",
    "secret",
    "servers_by_issuer",
    "start_device_login",
    "third_party_login",
    "update_registration",
    "verify_id_token",
    "verify_logout_token",
]

METADATA = (
    "jwks_uri=, userinfo_endpoint=, revocation_endpoint=, introspection_endpoint=, "
    "end_session_endpoint=, device_authorization_endpoint=, "
    "pushed_authorization_request_endpoint=, registration_endpoint=, "
    "service_documentation=, op_policy_uri=, op_tos_uri=, "
    "code_challenge_methods_supported=, scopes_supported=, response_types_supported=, "
    "response_modes_supported=, grant_types_supported=, "
    "token_endpoint_auth_methods_supported=, "
    "token_endpoint_auth_signing_alg_values_supported=, "
    "revocation_endpoint_auth_methods_supported=, "
    "revocation_endpoint_auth_signing_alg_values_supported=, "
    "introspection_endpoint_auth_methods_supported=, "
    "introspection_endpoint_auth_signing_alg_values_supported=, "
    "id_token_signing_alg_values_supported=, id_token_encryption_alg_values_supported=, "
    "id_token_encryption_enc_values_supported=, userinfo_signing_alg_values_supported=, "
    "userinfo_encryption_alg_values_supported=, userinfo_encryption_enc_values_supported=, "
    "introspection_signing_alg_values_supported=, "
    "introspection_encryption_alg_values_supported=, "
    "introspection_encryption_enc_values_supported=, "
    "request_object_signing_alg_values_supported=, "
    "authorization_signing_alg_values_supported=, dpop_signing_alg_values_supported=, "
    "subject_types_supported=, acr_values_supported=, claims_supported=, "
    "claim_types_supported=, prompt_values_supported=, display_values_supported=, "
    "ui_locales_supported=, claims_locales_supported=, "
    "authorization_response_iss_parameter_supported=, "
    "require_pushed_authorization_requests=, require_signed_request_object=, "
    "claims_parameter_supported=, tls_client_certificate_bound_access_tokens=, "
    "backchannel_logout_supported=, backchannel_logout_session_supported=, "
    "mtls_endpoint_aliases=, metadata="
)
"""The names of RFC 8414 and OpenID Connect Discovery."""

SIGNATURES = {
    oauthkit.Token: (
        "access_token, token_type=, issued_at=, expires_at=, refresh_token=, refresh_expires_at=, "
        "scope=, id_token=, extra=, *, issuer=, token_endpoint=, client_id=, unknown="
    ),
    oauthkit.Token.fresh: "self, *, now, leeway",
    oauthkit.Token.to_dict: "self",
    oauthkit.Token.from_dict: "data",
    oauthkit.AuthorizationServer.endpoint: "self, name",
    oauthkit.Discovered.server: "self, http",
    oauthkit.Discovered.within: "self, http, seconds",
    oauthkit.Discovered.doubt: "self, server",
    oauthkit.AuthorizationServer: (
        f"token_endpoint, *, {METADATA}, issuer=, authorization_endpoint=, request_format=, "
        "accept=, adapt=, adapt_request=, errors=, success_status=, token_class=, "
        "default_token_type=, allow_plain_http=, public_only="
    ),
    oauthkit.ErrorRule: "error, *, status=, member=, values=, grant_type=",
    oauthkit.Rejection: "*, status=, schemes=, errors=",
    oauthkit.PublicClient: "client_id",
    oauthkit.ClientSecretBasic: "client_id, client_secret, *, raw=",
    oauthkit.ClientSecretPost: "client_id, client_secret",
    oauthkit.ClientSecretJWT: (
        "client_id, client_secret, alg=, *, audience=, typ=, lifetime=, clock_offset=, "
        "send_client_id="
    ),
    oauthkit.PrivateKeyJWT: (
        "client_id, key, alg=, audience=, *, key_id=, typ=, lifetime=, clock_offset=, "
        "send_client_id=, certificate=, send_chain="
    ),
    oauthkit.TLSClientAuth: ("client_id, *, tls_client_certificate_bound_access_tokens="),
    oauthkit.SelfSignedTLSClientAuth: ("client_id, *, tls_client_certificate_bound_access_tokens="),
    oauthkit.ClientAuth.alias: "self, server, name",
    oauthkit.AuthorizationServer.mtls_alias: "self, name",
    oauthkit.Signer.sign: "self, data",
    oauthkit.Authentication: "headers=, parameters=",
    oauthkit.ClientAuth.authenticate: "self, server, *, endpoint, now",
    oauthkit.ClientCredentials: "*, request_format=, additional=, refresh_additional=, scope=",
    oauthkit.AuthorizationCode: (
        "*, request_format=, additional=, refresh_additional=, code, redirect_uri=, "
        "code_verifier=, token_endpoint=, issuer=, client_id=, scope=, extra="
    ),
    oauthkit.RefreshToken: (
        "*, request_format=, additional=, refresh_additional=, refresh_token, scope="
    ),
    oauthkit.ResourceOwnerPassword: (
        "*, request_format=, additional=, refresh_additional=, username, password, scope="
    ),
    oauthkit.TokenExchange: (
        "*, request_format=, additional=, refresh_additional=, subject_token, "
        "subject_token_type, actor_token=, actor_token_type=, resource=, audience=, scope=, "
        "requested_token_type=, issued_token_type_required="
    ),
    oauthkit.JWTBearer: (
        "*, request_format=, additional=, refresh_additional=, assertion=, scope=, key=, "
        "issuer=, subject=, audience=, claims=, lifetime="
    ),
    oauthkit.SAML2Bearer: "*, request_format=, additional=, refresh_additional=, assertion, scope=",
    oauthkit.AnonymousClient: "",
    oauthkit.GrantStrategy.parameters: "self",
    oauthkit.GrantStrategy.prepared: "self, server, *, client_id, now",
    oauthkit.GrantStrategy.objection: "self, token",
    oauthkit.GrantStrategy.renewal: "self, token",
    oauthkit.AuthorizationRequest.new: (
        "server, client_id, *, redirect_uri, scope=, additional=, return_to=, max_age=, prompt=, "
        "login_hint=, acr_values=, claims=, ui_locales=, id_token_hint=, display=, resource=, "
        "response_mode=, life=, now="
    ),
    oauthkit.AuthorizationRequest.once_id_of: "callback",
    oauthkit.AuthorizationRequest.to_dict: "self, *, url=",
    oauthkit.AuthorizationRequest.accept: "self, callback, *, now=, method=, content_type=",
    oauthkit.FormRequest: "",
    oauthkit.MultipartRequest: "",
    oauthkit.JSONRequest: "content_type=",
    oauthkit.XMLRequest: "*, root, namespace, content_type=",
    oauthkit.RenewalPolicy: (
        "*, leeway=, jitter=, timeout=, save_timeout=, recheck=, default_life=, longest_pause=, "
        "idle_life=, concurrency=, renew_without_lease=, capacity="
    ),
    oauthkit.AsyncTokenSession: (
        "http=, *, server, client_auth, grant=, base_url=, origins=, store=, key=, token=, "
        "policy=, renew_on=, cookies=, token_http=, clock=, on_event="
    ),
    oauthkit.AsyncTokenSession.request: "self, method, url, **options",
    oauthkit.AsyncTokenSession.get: "self, url, **options",
    oauthkit.AsyncTokenSession.post: "self, url, **options",
    oauthkit.AsyncTokenSession.put: "self, url, **options",
    oauthkit.AsyncTokenSession.patch: "self, url, **options",
    oauthkit.AsyncTokenSession.delete: "self, url, **options",
    oauthkit.AsyncTokenSession.head: "self, url, **options",
    oauthkit.AsyncTokenSession.options: "self, url, **options",
    oauthkit.AsyncTokenSession.stream: "self, method, url, **options",
    oauthkit.AsyncTokenSession.token: "self",
    oauthkit.AsyncTokenSession.renew: "self",
    oauthkit.AsyncTokenSession.revoke: "self",
    oauthkit.AsyncTokenSession.for_key: "self, key, *, grant=",
    oauthkit.AsyncTokenSession.auth_for: "self, client",
    oauthkit.AsyncTokenSession.aclose: "self",
    oauthkit.discover: "http, issuer, *, accept_issuer=, public_only=, timeout=, clock=",
    oauthkit.Discovered: (
        "issuer, *, accept_issuer=, public_only=, adjust=, life=, timeout=, clock="
    ),
    oauthkit.DeviceLogin: (
        "*, user_code, verification_uri, verification_uri_complete=, expires_at, interval=, "
        "device_code, scope=, token_endpoint, issuer=, client_id=, extra=, unknown="
    ),
    oauthkit.DeviceLogin.url_to_open: "self, *, complete=",
    oauthkit.DeviceLogin.to_dict: "self",
    oauthkit.DeviceLogin.from_dict: "data",
    oauthkit.start_device_login: (
        "http, server, client_auth, *, scope=, resource=, additional=, timeout=, clock="
    ),
    oauthkit.poll_device_login: (
        "http, server, client_auth, login, *, shortest_interval=, additional=, timeout=, clock="
    ),
    oauthkit.RegisteredClient: (
        "*, client_id, client_secret=, client_secret_expires_at=, client_id_issued_at=, "
        "registration_access_token=, registration_client_uri=, issuer=, metadata=, unknown="
    ),
    oauthkit.RegisteredClient.client_auth: "self, key=",
    oauthkit.RegisteredClient.differences: "self, requested",
    oauthkit.RegisteredClient.to_dict: "self",
    oauthkit.RegisteredClient.from_dict: "data",
    oauthkit.register_client: (
        "http, server, metadata, *, initial_access_token=, timeout=, clock="
    ),
    oauthkit.read_registration: "http, server, client, *, timeout=, clock=",
    oauthkit.update_registration: "http, server, client, metadata, *, timeout=, clock=",
    oauthkit.delete_registration: "http, server, client, *, timeout=, clock=",
    oauthkit.fetch_token: "http, server, client_auth, grant, *, timeout=, clock=",
    oauthkit.complete_login: (
        "http, server, client_auth, login, callback, *, method=, content_type=, used=, "
        "client_metadata=, leeway=, timeout=, clock="
    ),
    oauthkit.verify_id_token: (
        "http, server, client_auth, id_token, *, nonce=, max_age=, acr_values=, access_token=, "
        "follows=, client_metadata=, leeway=, timeout=, clock="
    ),
    oauthkit.verify_logout_token: (
        "http, server, client, logout_token, *, used=, client_metadata=, leeway=, timeout=, clock="
    ),
    oauthkit.complete_logout: (
        "http, server, client_auth, logout_token, *, store, index, used=, client_metadata=, "
        "leeway=, timeout=, clock="
    ),
    oauthkit.ClientMetadata: (
        "*, id_token_signed_response_alg=, id_token_encrypted_response_alg=, "
        "id_token_encrypted_response_enc=, userinfo_signed_response_alg=, "
        "introspection_signed_response_alg=, decryption_keys="
    ),
    oauthkit.rename_fields: "names",
    oauthkit.introspect: (
        "http, server, client_auth, token_text, hint=, *, access_token=, cache=, "
        "client_metadata=, timeout=, clock="
    ),
    oauthkit.fetch_userinfo: (
        "http, server, token, subject=, *, unverified_subject=, method=, in_body=, client_auth=, "
        "client_metadata=, timeout=, clock="
    ),
    oauthkit.end_session_url: (
        "server, *, id_token=, client_id=, post_logout_redirect_uri=, state=, logout_hint=, "
        "ui_locales="
    ),
    oauthkit.LogoutRequest.new: (
        "server, *, post_logout_redirect_uri, id_token=, client_id=, logout_hint=, ui_locales="
    ),
    oauthkit.LogoutRequest.accept: "self, callback",
    oauthkit.IntrospectionCache: "*, seconds, capacity=",
    oauthkit.revoke: "http, server, client_auth, token_text, hint=, *, timeout=, clock=",
    token_middleware: "session",
    ads.Environment: "name, default",
    ads.authorization_server: "environment=, *, allow_plain_http=",
    ads.get_bibcode: "session, *, bibcode, db_key, data_type, environment=",
    ads.test: (
        "session, *, counter, cache_control=, content_type=, postman_token=, environment=, server="
    ),
    hello.authorization_server: (
        "base_url=, *, authorization_endpoint=, issuer=, allow_plain_http="
    ),
    hello.say_hello: "session, *, first_name, base_url=",
    id_secret.authorization_server: (
        "token_endpoint, *, authorization_endpoint=, issuer=, allow_plain_http="
    ),
    auth_v1.authorization_server: "base_url, request_format=, *, allow_plain_http=",
    auth_v1.with_windows_authentication: "grant, *, enabled=",
    fastapi.Login: "session, **settings",
    fastapi.Login.lifespan: "self, _app=",
    starlette.login_request: "connection, body=",
    starlette.login_response: "reply",
    starlette.login_routes: "flow",
    put_auth.authorization_server: (
        "base_url=, *, authorization_endpoint=, issuer=, allow_plain_http="
    ),
}

OPTIONAL = {
    "aiohttp",
    "click",
    "coredis",
    "cryptography",
    "fastapi",
    "httpx2",
    "httpx_aiohttp",
    "joserfc",
    "redis",
    "respx",
    "rich",
    "sqlite3",
    "starlette",
    "trio",
}


def written(callable_: Any) -> str:
    """Return a signature in short: `name=` has a default, and `*` begins what has no position."""
    parts: list[str] = []
    keywords_only = False
    for parameter in inspect.signature(callable_).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords_only:
            keywords_only = True
            parts.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else "="
        parts.append(f"{stars}{parameter.name}{default}")
    return ", ".join(parts)


def named(callable_: Any) -> str:
    return f"{callable_.__module__}.{callable_.__qualname__}"


def members(owner: Any) -> dict[str, Any]:
    """Return what a module or class has under names without an underscore."""
    everything: dict[str, Any] = dict(owner.__dict__)
    return {name: value for name, value in everything.items() if not name.startswith("_")}


def public(module: Any) -> list[tuple[str, Any]]:
    """Return the classes and functions that a module makes public, loaded already or not."""
    return [
        (f"{module.__name__}.{name}", value)
        for name, value in inspect.getmembers(module)
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("oauthkit")
    ]


PUBLIC = dict(
    entry
    for module in (oauthkit, events, services, testing, ads, auth_v1, hello, id_secret, put_auth)
    for entry in public(module)
)


def test_the_public_names_are_these_and_sorted() -> None:
    assert sorted(oauthkit.__all__) == sorted(NAMES)
    constants = [name for name in oauthkit.__all__ if name.isupper()]
    classes = [name for name in oauthkit.__all__ if name[0].isupper() and name not in constants]
    functions = [name for name in oauthkit.__all__ if name not in {*constants, *classes}]
    assert oauthkit.__all__ == [*sorted(constants), *sorted(classes), *sorted(functions)]


def test_every_public_name_is_there() -> None:
    assert [name for name in NAMES if not hasattr(oauthkit, name)] == []


def test_what_frameworks_need_is_within_reach() -> None:
    assert oauthkit.integrations.aiohttp.__all__ == ["Login", "Visitor", "token_middleware"]


def test_the_services_are_within_reach() -> None:
    assert sorted(services.__all__) == [
        "ads",
        "auth_v1",
        "get_bibcode",
        "hello",
        "id_secret",
        "put_auth",
        "say_hello",
        "test",
    ]


def test_every_signature_holds() -> None:
    said = {named(callable_): text for callable_, text in SIGNATURES.items()}

    assert {named(callable_): written(callable_) for callable_ in SIGNATURES} == said


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    first_lines = {name: (value.__doc__ or "").split("\n")[0] for name, value in PUBLIC.items()}

    assert [name for name, line in first_lines.items() if not line.endswith((".", ":"))] == []


def test_every_public_method_has_a_docstring() -> None:
    undocumented = [
        f"{name}.{method}"
        for name, kind in PUBLIC.items()
        if inspect.isclass(kind)
        for method, value in members(kind).items()
        if inspect.isfunction(value) or isinstance(value, property | classmethod)
        if not inspect.getdoc(getattr(kind, method))
    ]

    assert undocumented == []


@pytest.mark.parametrize(
    "kind",
    [
        oauthkit.AsyncTokenSession,
        oauthkit.AuthorizationRequest,
        oauthkit.AuthorizationServer,
        oauthkit.ClientSecretBasic,
        oauthkit.ClientSecretPost,
        oauthkit.Discovered,
        oauthkit.ErrorRule,
        oauthkit.GrantStrategy,
        oauthkit.RenewalPolicy,
        oauthkit.Token,
        testing.DocumentedSystems,
        testing.FakeAuthorizationServer,
        testing.FakeClock,
        testing.LoopbackServer,
        fastapi.Login,
    ],
)
def test_a_class_that_users_begin_with_shows_an_example(kind: type[Any]) -> None:
    assert "Example:" in (kind.__doc__ or "")


LOADED = "import sys; before = {{*sys.modules}}; import {}; print(*{{*sys.modules}} - before)"
"""Leaves out what was there before, such as what measures coverage."""


@pytest.mark.parametrize(
    "module",
    [
        "oauthkit",
        "oauthkit.events",
        "oauthkit.integrations",
        "oauthkit.integrations.aiohttp",
        "oauthkit.keeping",
        "oauthkit.operations",
        "oauthkit.services",
        "oauthkit.session",
    ],
)
def test_an_import_loads_nothing_optional(module: str) -> None:
    loaded = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", LOADED.format(module)],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert {name.partition(".")[0] for name in loaded.stdout.split()} & OPTIONAL == set()


def shown_by(script: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=50
    )
    return done.stdout.strip()


def test_an_import_loads_no_name_before_it_is_asked_for() -> None:
    """A session a tenth of a second, `Token` and the errors less."""
    loaded = LOADED.format("oauthkit") + "; oauthkit.ConfigurationError; print(*sys.modules)"
    before, after = (set(line.split()) for line in shown_by(loaded).splitlines())

    assert {name for name in before if name.startswith("oauthkit")} == {
        "oauthkit",
        "oauthkit.version",
    }
    assert "oauthkit.errors" in after
    assert "oauthkit.session" not in after


def test_a_name_that_is_loaded_late_is_there_whatever_was_loaded_before() -> None:
    """Importing a module puts it where the package's attribute of that name is."""
    assert {module.name for module in pkgutil.iter_modules(oauthkit.__path__)} & {*NAMES} == set()
    assert {*NAMES} <= {*dir(oauthkit)}
    values = {name: getattr(oauthkit, name) for name in NAMES}
    for name, value in values.items():
        assert getattr(oauthkit, name) is value, name
        assert oauthkit.__dict__[name] is value, name


@pytest.mark.parametrize("room", ["errors", "events", "protocol", "renewal", "session", "stores"])
def test_a_module_is_reached_through_the_package(room: str) -> None:
    assert shown_by(f"import oauthkit; print(oauthkit.{room}.__name__)") == f"oauthkit.{room}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'oauthkit' has no attribute 'OAuth1'"):
        _ = oauthkit.OAuth1


def test_a_session_loads_what_the_event_loop_needs_before_its_first_token() -> None:
    script = """
import asyncio, sys
from oauthkit import AsyncTokenSession, AuthorizationServer, PublicClient

async def main():
    server = AuthorizationServer("https://auth.example/token")
    AsyncTokenSession(server=server, client_auth=PublicClient("app"))
    print("anyio._backends._asyncio" in sys.modules)

asyncio.run(main())
"""
    loaded = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=50
    )

    assert loaded.stdout == "True\n"


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert importlib.resources.files(oauthkit).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        version = importlib.metadata.version("oauthkit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")

    assert oauthkit.__version__ == version


def test_an_installed_distribution_holds_py_typed() -> None:
    try:
        files = importlib.metadata.files("oauthkit") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    if any(file.name.startswith("_editable") or file.suffix == ".pth" for file in files):
        pytest.skip("the package is installed in place")

    assert "oauthkit/py.typed" in {file.as_posix() for file in files}


def test_stores_with_a_driver_are_modules_of_their_own() -> None:
    assert not hasattr(stores, "RedisStore")
