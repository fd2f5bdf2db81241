import contextlib
import copy
import json
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import attrs
import pytest
from multidict import MultiDict, MultiDictProxy
from starlette.datastructures import FormData, ImmutableMultiDict, QueryParams

from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    ErrorResponse,
    InteractionRequired,
    OAuthKitError,
    Recovery,
    UnmetRequirements,
)
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.grants import AuthorizationCode
from oauthkit.protocol.server import AuthorizationServer

VECTORS = Path(__file__).parents[1] / "vectors"
RFC6749 = json.loads((VECTORS / "rfc6749.json").read_text())
RFC9207 = json.loads((VECTORS / "rfc9207.json").read_text())
CALLBACK = "https://app.example/callback"
SERVER = AuthorizationServer(
    "https://auth.example/token",
    issuer="https://auth.example",
    authorization_endpoint="https://auth.example/authorize",
)


def login(server: AuthorizationServer = SERVER, **details: Any) -> AuthorizationRequest:
    settings: dict[str, Any] = {"redirect_uri": CALLBACK, "scope": "read", **details}
    return AuthorizationRequest.new(server, "reader", **settings)


def sent(request: AuthorizationRequest) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(request.url).query, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def kept(**changes: Any) -> AuthorizationRequest:
    return AuthorizationRequest.from_dict({**login().to_dict(), **changes})


class WerkzeugArgs(dict[str, list[str]]):
    """As Flask and Quart have it (`request.args`): `items` gives the first value of a name."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        super().__init__()
        for name, text in pairs:
            self.setdefault(name, []).append(text)

    def items(self) -> Any:
        return [(name, texts[0]) for name, texts in super().items()]

    def lists(self) -> Iterator[tuple[str, list[str]]]:
        yield from ((name, list(texts)) for name, texts in super().items())


class DjangoQuery(WerkzeugArgs):
    """As Django has it (`request.GET`): `items` gives the last value of a name."""

    def items(self) -> Any:
        return ((name, texts[-1]) for name, texts in self.lists())


class BottleQuery(WerkzeugArgs):
    """As Bottle has it (`request.query`): all pairs by a method of its own."""

    lists = None  # type: ignore[assignment]

    def allitems(self) -> list[tuple[str, str]]:
        return [(name, text) for name in self for text in self[name]]


MAPPINGS: list[Callable[..., Any]] = [
    lambda *pairs: QueryParams(list(pairs)),
    lambda *pairs: ImmutableMultiDict(pairs),
    lambda *pairs: MultiDict(pairs),
    lambda *pairs: MultiDictProxy(MultiDict(pairs)),
    WerkzeugArgs,
    DjangoQuery,
    BottleQuery,
]


# The way out


def test_the_url_asks_for_a_code_with_state_and_s256() -> None:
    """PK-04, PK-05, BC-02, BC-05: whether the server says that it knows PKCE or not."""
    request = login()
    digest = sha256(request.code_verifier.encode()).digest()

    assert request.url.startswith("https://auth.example/authorize?response_type=code&client_id=")
    assert sent(request) == {
        "response_type": "code",
        "client_id": "reader",
        "redirect_uri": CALLBACK,
        "scope": "read",
        "state": request.state,
        "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert (request.redirect_uri, request.token_endpoint) == (CALLBACK, SERVER.token_endpoint)
    assert (request.issuer, request.issuer_required) == (SERVER.issuer, False)


def test_the_state_carries_nothing_of_the_application() -> None:
    """BC-09: what belongs to a login is kept on this side, and only its name travels."""
    requests = [login(return_to=f"/inbox/{number}") for number in range(2)]

    assert requests[0].state != requests[1].state
    for request in requests:
        assert re.fullmatch(r"[\w-]{43}", request.state)
        assert "inbox" not in request.url


def test_the_published_request_is_contained_in_ours() -> None:
    """O2-09: RFC 6749 §4.1.1."""
    published = dict(parse_qsl(RFC6749["authorization_request"]["query"]))
    request = AuthorizationRequest.new(
        SERVER, published["client_id"], redirect_uri=published["redirect_uri"]
    )

    assert {**published, "state": request.state}.items() <= sent(request).items()
    assert "scope" not in sent(request)


def test_the_verifier_is_in_no_url() -> None:
    """PK-04, PK-08."""
    request = login()

    assert request.code_verifier not in request.url


@pytest.mark.parametrize("scope", ["openid", "read openid", ["openid", "email"]], ids=repr)
def test_a_login_with_openid_has_a_nonce_beside_pkce(scope: str | list[str]) -> None:
    """BC-04."""
    request = login(scope=scope)

    assert request.nonce
    assert sent(request)["nonce"] == request.nonce
    assert "code_challenge" in sent(request)
    assert login(scope="openidx").nonce is None


def test_every_login_has_values_of_its_own() -> None:
    """O2-42, PK-07, BC-03, AT-14."""
    logins = [login(scope="openid") for _ in range(1_000)]

    for name in ("state", "nonce", "code_verifier"):
        values = {getattr(request, name) for request in logins}
        assert len(values) == 1_000
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values)


def test_the_query_of_the_endpoint_is_kept() -> None:
    """O2-05."""
    server = attrs.evolve(SERVER, authorization_endpoint="https://auth.example/a?tenant=x%26y&b=")

    url = login(server).url
    assert url.startswith("https://auth.example/a?tenant=x%26y&b=&response_type=code&")
    assert parse_qs(urlsplit(url).query)["tenant"] == ["x&y"]


@pytest.mark.parametrize("name", ["state", "client_id", "prompt", "redirect%5Furi"])
def test_no_parameter_stands_there_twice(name: str) -> None:
    """O2-06."""
    server = attrs.evolve(SERVER, authorization_endpoint=f"https://auth.example/a?{name}=x")

    with pytest.raises(ConfigurationError, match="occurs once"):
        login(server, additional={"prompt": "login"})


@pytest.mark.parametrize("wishes", [{}, {"additional": {"prompt": ""}}], ids=repr)
def test_what_is_not_asked_for_may_stand_in_the_query_of_the_endpoint(wishes: Any) -> None:
    """O2-05."""
    endpoint = "https://auth.example/a?prompt=login&nonce=x"

    assert sent(login(attrs.evolve(SERVER, authorization_endpoint=endpoint), **wishes))["nonce"]


@pytest.mark.parametrize(
    "name",
    [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    ],
)
def test_what_belongs_to_the_login_cannot_be_added(name: str) -> None:
    """O2-22, BC-05: so there is no implicit flow, and no login without state or PKCE."""
    with pytest.raises(ConfigurationError, match=name):
        login(scope=None, additional={name: "token"})


def test_further_parameters_are_added_and_escaped() -> None:
    """AT-64, OC-03."""
    request = login(
        additional={"login_hint": "a&b#c=d+e", "max_age": 0, "prompt": None, "acr_values": ""}
    )

    assert sent(request)["login_hint"] == "a&b#c=d+e"
    assert sent(request)["max_age"] == "0"
    assert not sent(request).keys() & {"prompt", "acr_values"}


def test_several_resources_are_several_parameters() -> None:
    """O2-06, RI-02."""
    url = login(additional={"resource": ["https://a.example", "https://b.example"]}).url

    assert parse_qs(urlsplit(url).query)["resource"] == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize("text", ["a&state=evil", "a#b", "ä\r\n", "%26"])
def test_no_value_breaks_out_of_the_query(text: str) -> None:
    """O2-44, AT-64."""
    request = AuthorizationRequest.new(SERVER, text, redirect_uri=CALLBACK)

    assert sent(request)["client_id"] == text
    assert "#" not in request.url


def test_a_lone_surrogate_is_refused() -> None:
    """AT-58."""
    with pytest.raises(ConfigurationError, match="surrogate"):
        login(additional={"login_hint": "\ud800"})


@pytest.mark.parametrize("client_id", ["", None, 5], ids=repr)
def test_a_login_needs_a_client_id(client_id: Any) -> None:
    """It would vanish from the URL."""
    with pytest.raises(ConfigurationError, match=r"client_id(=|) (takes|must be) a text"):
        AuthorizationRequest.new(SERVER, client_id, redirect_uri=CALLBACK)


def test_a_login_needs_an_authorization_endpoint() -> None:
    with pytest.raises(ConfigurationError, match="authorization_endpoint="):
        login(AuthorizationServer("https://auth.example/token"))


@pytest.mark.parametrize("issuer", ["https://self-issued.me", "https://self-issued.me/v2"])
def test_a_self_issued_provider_is_refused(issuer: str) -> None:
    """OC-40."""
    with pytest.raises(ConfigurationError, match="self-issued"):
        login(attrs.evolve(SERVER, issuer=issuer))


@pytest.mark.parametrize("methods", [("plain",), (), ("plain", "s256")], ids=repr)
def test_a_server_without_s256_is_refused_and_plain_is_never_used(methods: tuple[str, ...]) -> None:
    """PK-06, AT-18, AT-86."""
    with pytest.raises(ConfigurationError, match="S256"):
        login(attrs.evolve(SERVER, code_challenge_methods_supported=methods))


@pytest.mark.parametrize("methods", [None, ("S256",), ("plain", "S256")], ids=repr)
def test_a_server_with_s256_or_silent_about_it_gets_s256(methods: tuple[str, ...] | None) -> None:
    """PK-05, AT-18, AT-86."""
    request = login(attrs.evolve(SERVER, code_challenge_methods_supported=methods))

    assert sent(request)["code_challenge_method"] == "S256"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://app.example/callback?x=y",
        "http://127.0.0.1:8080/callback",
        "http://[::1]:8080/",
        "http://localhost:8080/callback",
        "com.example.app:/callback",
        "HTTPS://app.example",
    ],
)
def test_an_absolute_redirect_uri_is_taken_to_the_letter(redirect_uri: str) -> None:
    """O2-08, O2-09, O2-21."""
    request = login(redirect_uri=redirect_uri)

    assert sent(request)["redirect_uri"] == request.redirect_uri == redirect_uri


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "",
        "/callback",
        "callback",
        "//app.example/callback",
        "https://app.example/#",
        "https://app.example/callback#a",
        "https:",
        "https:callback",
        "https:///callback",
        "https://app.example/a b",
        "https://app.example/\r\nX: 1",
        "https://evil.example\\.app.example/",
        "http://[",
        "javascript:alert(1)",
        "myapp:/callback",
        "1a.b:/callback",
        "é.b:/callback",
        ":/callback",
        "com.example.app:",
        "com.example.app:/a\nb",
    ],
)
def test_any_other_redirect_uri_is_refused(redirect_uri: str) -> None:
    """O2-08, AT-26, NA-09: RFC 6749 §3.1.2, RFC 8252 §7.1."""
    with pytest.raises(ConfigurationError):
        login(redirect_uri=redirect_uri)


@pytest.mark.parametrize(
    "redirect_uri",
    ["http://app.example/callback", "HTTP://10.0.0.1/", "http://app.localhost/callback"],
)
def test_plain_http_to_another_machine_is_no_redirect_uri(redirect_uri: str) -> None:
    """O2-08: RFC 9700 §2.6; the code in the callback could be read on the way."""
    with pytest.raises(ConfigurationError, match=r"redirect_uri http://.* is plain http"):
        login(redirect_uri=redirect_uri)
    server = attrs.evolve(SERVER, allow_plain_http=True)
    assert login(server, redirect_uri=redirect_uri).redirect_uri == redirect_uri


@pytest.mark.parametrize("name", ["client_secret", "client_assertion", "code_verifier"])
def test_a_secret_is_never_put_into_the_url(name: str) -> None:
    """BT-05: it would stand in the browser's history."""
    with pytest.raises(ConfigurationError, match=name):
        login(additional={name: "canary"})


@pytest.mark.parametrize(
    "return_to", [None, "/", "/inbox", "/inbox?a=b#c", "/ä/%C3%A4", "/a//b", "/%20"]
)
def test_a_path_of_the_application_is_kept_for_afterwards(return_to: str | None) -> None:
    """BC-01."""
    assert login(return_to=return_to).return_to == return_to


@pytest.mark.parametrize(
    "return_to",
    [
        "",
        "inbox",
        "//evil",
        "///evil",
        "https:evil",
        "https://evil.example/",
        "\\\\evil",
        "/\\evil",
        "\\/evil",
        "javascript:alert(1)",
        "/%2fevil",
        "/%2f%2fevil",
        "/%252fevil",
        "/%5cevil",
        "/%255Cevil",
        "/\t/evil",
        "/%09/evil",
        "/a\r\nLocation: //evil",
        "/%0d%0aLocation: //evil",
        "/%00",
        "/\x7f",
        " /inbox",
        "%2f%2fevil",
    ],
)
def test_a_return_to_another_site_is_refused(return_to: str) -> None:
    """BC-01, AT-17: RFC 9700 §4.11."""
    with pytest.raises(ConfigurationError, match="open redirector"):
        login(return_to=return_to)
    with pytest.raises(ConfigurationError, match="open redirector"):
        kept(return_to=return_to)


# The way back


def test_the_published_callback_gives_the_grant() -> None:
    """PK-04, IS-08: RFC 6749 §4.1.2."""
    request = kept(state="xyz")

    assert request.accept(RFC6749["callback"]["query"]) == AuthorizationCode(
        code="SplxlOBeZQQYbYS6WxSbIA",
        redirect_uri=CALLBACK,
        code_verifier=request.code_verifier,
        token_endpoint="https://auth.example/token",
    )


def test_the_published_refusal_is_typed() -> None:
    """O2-19: RFC 6749 §4.1.2.1."""
    with pytest.raises(AccessDenied, match="access_denied") as caught:
        kept(state="xyz").accept(RFC6749["error_callback"]["query"])

    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert caught.value.status_code is None


def callbacks(state: str) -> Iterator[Any]:
    query = urlencode({"code": "a/b?c=d+e&f", "state": state, "session": "s"}, safe="/?")
    pairs = parse_qsl(query)
    yield query
    yield f"?{query}"
    yield f"/callback?{query}"
    yield f"{CALLBACK}?{query}"
    yield f"{CALLBACK}?{query}#fragment"
    yield f"com.example.app:/callback?{query}"
    yield f"callback?{query}"
    yield pairs
    yield tuple(pairs)
    yield iter(pairs)
    yield dict(pairs)
    yield parse_qs(query)
    for mapping in MAPPINGS:
        yield mapping(*pairs)


@pytest.mark.parametrize("form", range(12 + len(MAPPINGS)))
def test_a_callback_is_taken_in_every_form_that_frameworks_give(form: int) -> None:
    """O2-17: what else came is kept as extra."""
    request = login()
    callback = list(callbacks(request.state))[form]

    grant = request.accept(callback)
    assert grant.code == "a/b?c=d+e&f"
    assert grant.extra == {"session": "s"}


@pytest.mark.parametrize("state", [None, "", "x", "ä", "\ud800", "a" * 43, "0"], ids=ascii)
def test_a_callback_of_another_login_is_refused_and_changes_nothing(state: str | None) -> None:
    """O2-43, AT-11, BC-02."""
    request = login()
    parameters = {"code": "c"} if state is None else {"code": "c", "state": state}

    with pytest.raises(CallbackError, match="state"):
        request.accept(parameters)
    assert request.accept({"code": "c", "state": request.state}).code == "c"


def test_a_part_of_the_state_is_not_the_state() -> None:
    """O2-43."""
    request = login()

    for part in (request.state[:-1], request.state + "x", request.state.swapcase()):
        with pytest.raises(CallbackError, match="state"):
            request.accept({"code": "c", "state": part})


def test_how_much_of_a_state_was_right_cannot_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """AT-19: `hmac.compare_digest` looks at all of it and decides; nothing else compares first."""
    asked: list[tuple[bytes, bytes]] = []

    def never_equal(theirs: bytes, ours: bytes) -> bool:
        asked.append((theirs, ours))
        return False

    request = login()
    guesses = ("x", request.state[:-1] + "_", request.state)
    monkeypatch.setattr("hmac.compare_digest", never_equal)
    for guess in guesses:
        with pytest.raises(CallbackError, match="state"):
            request.accept({"code": "c", "state": guess})

    assert asked == [(guess.encode(), request.state.encode()) for guess in guesses]


def test_an_error_of_unknown_origin_is_not_repeated() -> None:
    """O2-20."""
    with pytest.raises(CallbackError) as caught:
        login().accept({"error": "access_denied", "error_description": "evil", "state": "x"})

    assert "evil" not in str(caught.value)
    assert caught.value.recovery is Recovery.REAUTHORIZE


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "other"])
@pytest.mark.parametrize("same", [True, False])
def test_a_parameter_that_stands_there_twice_is_refused(name: str, *, same: bool) -> None:
    """O2-07, AT-21."""
    request = login()
    first = {"code": "c", "state": request.state, "iss": "https://auth.example", name: "1"}
    first["state"] = request.state
    pairs = [*first.items(), (name, first[name] if same else "2")]

    forms: list[Any] = [urlencode(pairs), pairs, iter(pairs), parse_qs(urlencode(pairs))]
    for callback in [*forms, *(mapping(*pairs) for mapping in MAPPINGS)]:
        with pytest.raises(CallbackError, match="twice"):
            request.accept(callback)


@pytest.mark.parametrize(
    "callback",
    [
        None,
        5,
        b"code=c&state=s",
        ["code"],
        [("code",)],
        [("code", "c", "x")],
        [(["code"], "c")],
        [5],
        {"code": 5},
        {"code": None},
        {"code": ("c",)},
        {5: "c"},
        {"code": {"c": "d"}},
        [("a", "b")] * 101,
        {f"a{n}": "b" for n in range(101)},
        "&".join(f"a{n}=b" for n in range(101)),
        "state=" + "a" * 65_536,
        ...,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_callback_is_refused(callback: Any) -> None:
    """O2-07: with an error of ours, whatever came."""
    with pytest.raises(CallbackError):
        login().accept(callback)


@pytest.mark.parametrize(
    "callback",
    [
        "",
        "?",
        "http://[?code=c",
        "://",
        "http://[",
        "%",
        "=",
        "&&&",
        "code",
        "\ud800=\ud800",
        "a?b?c",
    ],
    ids=ascii,
)
def test_a_text_that_is_no_callback_is_refused(callback: str) -> None:
    """O2-43."""
    with pytest.raises(CallbackError):
        login().accept(callback)


@pytest.mark.parametrize(
    "form",
    [
        "{callback}#{query}",
        "#{query}",
        "{callback}?x=y#{query}",
        "{callback}#?{query}",
        "/callback#{query}",
    ],
)
def test_a_fragment_is_no_query(form: str) -> None:
    """AT-20, OC-37: the error says how to ask instead."""
    request = login()
    query = urlencode({"state": request.state, "code": "c"})

    with pytest.raises(CallbackError, match=r"fragment .* response_mode|state"):
        request.accept(form.format(callback=CALLBACK, query=query))


@pytest.mark.parametrize(
    "answer", [{}, {"code": ""}, {"access_token": "a", "token_type": "b"}], ids=repr
)
def test_a_callback_with_neither_code_nor_error_is_refused(answer: Mapping[str, str]) -> None:
    """AT-20, BC-05: a token in the front channel is not taken."""
    request = login()

    with pytest.raises(CallbackError, match="neither code nor error"):
        request.accept({**answer, "state": request.state})


@pytest.mark.parametrize("answer", [{"code": "c"}, {"error": "access_denied"}, {}], ids=repr)
def test_a_login_is_accepted_once(answer: Mapping[str, str]) -> None:
    """O2-18, BC-06, AT-12: whatever came of it the first time."""
    request = login()
    callback = {**answer, "state": request.state}
    with contextlib.suppress(OAuthKitError):
        request.accept(callback)

    with pytest.raises(CallbackError, match="accepted before"):
        request.accept(callback)
    with pytest.raises(CallbackError, match="accepted before"):
        copy.deepcopy(request).accept(callback)


@pytest.mark.parametrize("answer", [{"code": "c"}, {"error": "access_denied"}, {}], ids=repr)
def test_a_kept_login_is_accepted_once(answer: Mapping[str, str]) -> None:
    """O2-18, BC-06, AT-12: however often it is restored, as from a copied cookie."""
    request = login()
    waiting = request.to_dict()
    callback = {**answer, "state": request.state}
    with contextlib.suppress(OAuthKitError):
        AuthorizationRequest.from_dict(waiting).accept(callback)

    for again in (AuthorizationRequest.from_dict(waiting), request, attrs.evolve(request)):
        with pytest.raises(CallbackError, match="accepted before") as caught:
            again.accept({**callback, "code": "another"})
        assert caught.value.recovery is Recovery.REAUTHORIZE


def test_a_forged_callback_does_not_use_a_kept_login_up() -> None:
    """O2-43, IS-01: whoever knows the URL alone can end no login."""
    waiting = login().to_dict()
    state = waiting["state"]
    forged: list[Any] = [
        {"code": "c", "state": "x"},
        {"error": "access_denied", "state": "x"},
        {"code": "c", "state": state, "iss": "https://evil.example"},
        {"error": "access_denied", "state": state, "iss": "https://evil.example"},
        [("code", "c"), ("code", "d"), ("state", state)],
    ]

    for callback in forged:
        with pytest.raises(CallbackError):
            AuthorizationRequest.from_dict(waiting).accept(callback)

    honest = {"code": "c", "state": state, "iss": "https://auth.example"}
    assert AuthorizationRequest.from_dict(waiting).accept(honest).code == "c"


def test_a_login_is_accepted_once_by_many_threads() -> None:
    """AT-12."""
    request = login()
    callback = {"code": "c", "state": request.state}
    barrier = Barrier(8)
    codes: list[str] = []

    def accept() -> None:
        barrier.wait(timeout=10)
        with contextlib.suppress(CallbackError):
            codes.append(request.accept(callback).code)

    threads = [Thread(target=accept) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert codes == ["c"]


def test_two_logins_in_one_browser_do_not_mix() -> None:
    """AT-14."""
    one, two = login(), login()

    grant = two.accept({"code": "c", "state": two.state})
    assert grant.code_verifier == two.code_verifier != one.code_verifier
    with pytest.raises(CallbackError):
        one.accept({"code": "c", "state": two.state})


def test_a_stolen_code_comes_with_the_wrong_verifier() -> None:
    """AT-10: so the server refuses it."""
    victim, thief = login(), login()

    grant = thief.accept({"code": "stolen", "state": thief.state})
    assert grant.code_verifier != victim.code_verifier


@pytest.mark.parametrize(
    "error, recovery",
    [
        ("access_denied", Recovery.REAUTHORIZE),
        ("login_required", Recovery.REAUTHORIZE),
        ("temporarily_unavailable", Recovery.RETRY_LATER),
        ("server_error", Recovery.RETRY_LATER),
        ("invalid_scope", Recovery.CHANGE_REQUEST),
        ("x_unheard_of", Recovery.CHANGE_REQUEST),
        ("", Recovery.CHANGE_REQUEST),
    ],
)
def test_an_error_keeps_all_that_came_with_it(error: str, recovery: Recovery) -> None:
    """O2-19: an error beside a code is an error."""
    request = login()

    with pytest.raises(ErrorResponse) as caught:
        request.accept(
            {
                "error": error,
                "error_description": "<b>No</b>\r\n\x1b[31m",
                "error_uri": "https://auth.example/e",
                "state": request.state,
                "code": "c",
            }
        )

    assert (caught.value.error, caught.value.recovery) == (error, recovery)
    assert caught.value.error_description == "<b>No</b>\r\n\x1b[31m"
    assert caught.value.error_uri == "https://auth.example/e"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["{callback}#{query}", "#{query}", "/callback#{query}"])
@pytest.mark.parametrize("answer", ["code", "error", "access_token"])
def test_a_callback_in_a_fragment_is_refused_with_what_to_do(form: str, answer: str) -> None:
    """OC-37."""
    request = login()
    query = urlencode({"state": request.state, answer: "c"})

    with pytest.raises(CallbackError, match='ask for response_mode="query" or "form_post"'):
        request.accept(form.format(callback=CALLBACK, query=query))


@pytest.mark.parametrize("token", ["access_token", "id_token"])
def test_a_token_beside_the_code_is_refused(token: str) -> None:
    """OC-37, BC-05: it is not that of the token endpoint, and does not use the login up."""
    request = login()

    with pytest.raises(CallbackError, match="was not asked for"):
        request.accept({"code": "c", token: "canary", "state": request.state})
    assert request.accept({"code": "c", "state": request.state}).code == "c"


# A posted form


FORM_URLENCODED = "application/x-www-form-urlencoded"


def posted(mapping: Callable[..., Any]) -> Callable[[list[tuple[str, str]]], Any]:
    return lambda pairs: mapping(*pairs)


def encoded(pairs: list[tuple[str, str]]) -> str:
    return urlencode(pairs)


def values(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    return parse_qs(urlencode(pairs))


POSTED = [posted(mapping) for mapping in MAPPINGS]


@pytest.mark.parametrize(
    "form",
    [dict, FormData, encoded, values, *POSTED],
    ids=range(4 + len(MAPPINGS)),
)
def test_a_posted_callback_is_taken_in_every_form_that_frameworks_give(form: Any) -> None:
    """OC-36."""
    request = login(response_mode="form_post")
    pairs = [("code", "c?d=e/f"), ("state", request.state), ("iss", "https://auth.example")]

    grant = request.accept(
        form(pairs), method="post", content_type=f"{FORM_URLENCODED}; charset=utf-8"
    )
    assert grant.code == "c?d=e/f"


@pytest.mark.parametrize(
    "mode, way, words",
    [
        ("form_post", {"method": "GET"}, "must come by POST"),
        ("form_post", {"method": "POST", "content_type": "multipart/form-data"}, FORM_URLENCODED),
        ("form_post", {"method": "POST", "content_type": "text/plain"}, FORM_URLENCODED),
        ("query", {"method": "POST"}, "must come by GET"),
        (None, {"method": "POST", "content_type": FORM_URLENCODED}, "must come by GET"),
        (None, {"method": "HEAD"}, "must come by GET"),
    ],
)
def test_a_callback_that_came_another_way_is_refused(
    mode: str | None, way: dict[str, Any], words: str
) -> None:
    """AT-20, OC-36: and the login can still be ended in the way that was asked for."""
    request = login(response_mode=mode)
    callback = {"code": "c", "state": request.state}

    with pytest.raises(CallbackError, match=words):
        request.accept(callback, **way)
    right = "POST" if mode == "form_post" else "GET"
    assert request.accept(callback, method=right).code == "c"


@pytest.mark.parametrize("form", ["{}?{}", "?{1}", "/callback?{1}"])
def test_a_url_is_no_posted_form(form: str) -> None:
    """AT-20, OC-36."""
    request = login(response_mode="form_post")
    query = urlencode({"code": "c", "state": request.state})

    with pytest.raises(CallbackError, match="by POST"):
        request.accept(form.format(CALLBACK, query))


def test_an_uploaded_file_is_no_parameter() -> None:
    """OC-36."""
    request = login(response_mode="form_post")

    with pytest.raises(CallbackError):
        request.accept(FormData([("code", object()), ("state", request.state)]))  # type: ignore[list-item]


# Errors of OpenID Connect


@pytest.mark.parametrize(
    "error, kind, recovery",
    [
        ("login_required", InteractionRequired, Recovery.REAUTHORIZE),
        ("interaction_required", InteractionRequired, Recovery.REAUTHORIZE),
        ("consent_required", InteractionRequired, Recovery.REAUTHORIZE),
        ("account_selection_required", InteractionRequired, Recovery.REAUTHORIZE),
        ("unmet_authentication_requirements", UnmetRequirements, Recovery.CHANGE_REQUEST),
        ("invalid_request_uri", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("request_not_supported", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("registration_not_supported", ErrorResponse, Recovery.CHANGE_REQUEST),
    ],
)
def test_a_refusal_is_of_the_class_of_what_to_do(
    error: str, kind: type[ErrorResponse], recovery: Recovery
) -> None:
    """OC-38, OC-39."""
    request = login(prompt="none")

    with pytest.raises(ErrorResponse) as caught:
        request.accept({"error": error, "state": request.state})
    assert (type(caught.value), caught.value.recovery) == (kind, recovery)


# The end of a login


@pytest.mark.parametrize("answer", ["code", "error"])
def test_a_login_ends_after_its_time(answer: str) -> None:
    """AT-15: a callback is good until then, and nothing in a later one is believed."""
    request = login(now=1_000.0)
    callback = {answer: "canary", "state": request.state}

    assert (request.created_at, request.expires_at) == (1_000.0, 1_600.0)
    with pytest.raises(CallbackError, match="start a new one") as caught:
        request.accept(callback, now=1_600.0)
    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert "canary" not in str(caught.value)
    with contextlib.suppress(ErrorResponse):
        assert request.accept(callback, now=1_599.9).code == "canary"


def test_a_login_without_a_beginning_has_no_end() -> None:
    """AT-15: whoever begins it keeps the time then, as the life of a cookie does."""
    request = login(life=1.0)

    assert request.expires_at is None
    assert request.accept({"code": "c", "state": request.state}, now=1e9).code == "c"


def test_an_end_is_compared_where_the_time_is_told() -> None:
    request = login(now=1_000.0, life=30)

    assert request.expires_at == 1_030.0
    assert request.accept({"code": "c", "state": request.state}).code == "c"


@pytest.mark.parametrize("life", [0, -1.0, math.inf, math.nan])
def test_a_login_has_some_time(life: float) -> None:
    with pytest.raises(ConfigurationError, match="life="):
        login(life=life)


# The issuer


@pytest.mark.parametrize("name", ["success", "error"])
def test_the_published_callbacks_with_iss_are_accepted(name: str) -> None:
    """IS-01, IS-04: RFC 9207 §2.1, §2.2."""
    query = RFC9207[name]["query"]
    state = parse_qs(query)["state"][0]
    request = kept(state=state, issuer=RFC9207["issuer"], issuer_required=True)

    if name == "success":
        assert request.accept(query).code.startswith("x1848ZT64p4IirMPT0R")
    else:
        with pytest.raises(AccessDenied):
            request.accept(query)


LOOK_ALIKES = [
    "",
    "https://auth.example/",
    "https://auth.example:443",
    "https://AUTH.example",
    "HTTPS://auth.example",
    "http://auth.example",
    "https://auth.example.",
    "https://auth.%65xample",
    "https://auth.example%2f",
    "https://auth.example/.",
    "https://auth.example?",
    "https://auth.example#",
    "https://auth.example1",
    "https://evil@auth.example",
    "https://auth.example/../auth.example",
    " https://auth.example",
    "https://auth.example\n",
    "https://\u0430uth.example",
    "https://evil.example",
]


@pytest.mark.parametrize("iss", LOOK_ALIKES, ids=ascii)
@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "answer", [{"code": "c"}, {"error": "x", "error_description": "evil"}], ids=str
)
def test_another_issuer_is_refused_and_nothing_of_it_is_believed(
    iss: str, answer: Mapping[str, str], *, required: bool
) -> None:
    """IS-01, IS-02, IS-04, AT-01, AT-05: compared byte by byte."""
    server = attrs.evolve(SERVER, authorization_response_iss_parameter_supported=required)
    request = login(server)

    with pytest.raises(CallbackError, match="another authorization server") as caught:
        request.accept({**answer, "state": request.state, "iss": iss})
    assert "evil" not in str(caught.value)

    honest = {"code": "c", "state": request.state, "iss": "https://auth.example"}
    assert request.accept(honest).code == "c"


def test_the_issuer_is_decoded_once() -> None:
    """IS-01."""
    request = login()
    once = quote("https://auth.example", safe="")

    with pytest.raises(CallbackError):
        request.accept(f"code=c&state={request.state}&iss={quote(once)}")
    assert request.accept(f"code=c&state={request.state}&iss={once}").code == "c"


def test_a_server_that_always_sends_iss_has_to() -> None:
    """IS-03."""
    server = attrs.evolve(SERVER, authorization_response_iss_parameter_supported=True)
    request = login(server)

    with pytest.raises(CallbackError, match="no iss"):
        request.accept({"code": "c", "state": request.state})
    with pytest.raises(CallbackError, match="no iss"):
        request.accept({"error": "access_denied", "state": request.state})


def test_an_issuer_that_nobody_named_is_not_compared() -> None:
    """IS-04."""
    request = login(attrs.evolve(SERVER, issuer=None))

    assert request.accept({"code": "c", "state": request.state, "iss": "x"}).code == "c"


def test_the_record_of_a_login_cannot_be_changed_and_names_its_server() -> None:
    """IS-08, BC-03, AT-03."""
    request = login()

    assert request.issuer == "https://auth.example"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.token_endpoint = "https://evil.example/token"  # type: ignore[misc]
    assert request.accept({"code": "c", "state": request.state}).token_endpoint == (
        "https://auth.example/token"
    )


# The wait between


def test_a_login_waits_as_plain_json_and_comes_back() -> None:
    request = login(scope="openid", return_to="/inbox")

    waiting = request.to_dict()
    assert all(type(value) in {str, int, bool, type(None)} for value in waiting.values())
    assert AuthorizationRequest.from_dict(json.loads(json.dumps(waiting))) == request


def test_all_that_is_compared_later_waits_with_the_login() -> None:
    """IS-08, OC-03, OC-18: and no more than that, because cookies are short."""
    claims = {"id_token": {"acr": {"essential": True}}}
    request = login(
        scope="openid",
        max_age=0,
        acr_values="gold",
        claims=claims,
        response_mode="form_post",
        now=5.5,
    )

    again = AuthorizationRequest.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again == request
    assert (again.client_id, again.issuer) == ("reader", "https://auth.example")
    assert (again.max_age, again.acr_values, again.essential_acr) == (0, "gold", ())
    assert (again.created_at, again.expires_at) == (5.5, 605.5)
    assert not login().to_dict().keys() & {"created_at", "max_age", "claims", "response_mode"}


def test_a_login_that_was_begun_waits_without_its_url() -> None:
    """AT-15: ten of them must find room in the cookies of one site."""
    request = login(scope="openid email", return_to="/inbox", now=1_700_000_000.0)
    waiting = request.to_dict(url=False)
    assert len(json.dumps(waiting)) < 500
    again = AuthorizationRequest.from_dict(waiting)

    assert (again.url, again.state, again.once_id) == ("", request.state, request.once_id)
    assert again.accept({"code": "c", "state": request.state}).code == "c"


def test_a_login_of_the_first_versions_is_read() -> None:
    """AT-16: it has no client, no time and no wishes."""
    old = login().to_dict()
    del old["client_id"], old["version"]
    request = AuthorizationRequest.from_dict(old)

    assert (request.client_id, request.expires_at, request.claims) == (None, None, None)
    grant = request.accept({"code": "c", "state": request.state}, now=1e9)
    assert (grant.client_id, grant.issuer) == (None, "https://auth.example")


def test_what_a_login_is_remembered_by_tells_nothing_of_it() -> None:
    """AT-12: all copies have it in common, and nobody else."""
    request = login()

    assert request.once_id == AuthorizationRequest.from_dict(request.to_dict()).once_id
    assert request.once_id != login().once_id
    assert re.fullmatch(r"[0-9a-f]{64}", request.once_id)
    assert request.state not in request.once_id


def test_a_callback_says_which_login_it_belongs_to() -> None:
    """AT-14: of several that wait; an iterator is read once, so this is asked of what can be."""
    waiting = {request.once_id: request for request in (login(), login())}
    for request in list(waiting.values()):
        callback = f"{CALLBACK}?code=c&state={request.state}"
        named = AuthorizationRequest.once_id_of(callback)
        assert waiting[named or ""] is request
        assert AuthorizationRequest.once_id_of({"state": request.state}) == named
    forged: list[Any] = ["", "code=c", "state=", "state=a&state=b", None, 5]
    for callback in forged:
        assert AuthorizationRequest.once_id_of(callback) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": 5},
        {"created_at": "now"},
        {"expires_at": True},
        {"expires_at": math.nan},
        {"expires_at": 1e13},
        {"max_age": 1.5},
        {"max_age": False},
        {"acr_values": ["gold"]},
        {"claims": []},
        {"claims": {"id_token": 5}},
        {"response_mode": 5},
        {"state": None},
        {"state": 5},
        {"url": None},
        {"code_verifier": None},
        {"code_verifier": 5},
        {"redirect_uri": None},
        {"token_endpoint": ["x"]},
        {"nonce": 5},
        {"issuer": 5},
        {"return_to": 5},
        {"issuer_required": "no"},
        {"issuer_required": 0},
    ],
    ids=repr,
)
def test_a_kept_login_of_another_form_is_refused(changes: Mapping[str, Any]) -> None:
    """AT-16."""
    with pytest.raises(ConfigurationError, match="to_dict"):
        kept(**changes)


@pytest.mark.parametrize("data", [None, 5, "text", [], {}, [("a", "b")], {5: 5}], ids=repr)
def test_what_is_no_kept_login_is_refused(data: Any) -> None:
    """AT-16."""
    with pytest.raises(ConfigurationError, match="to_dict"):
        AuthorizationRequest.from_dict(data)


def test_a_kept_verifier_is_checked() -> None:
    """PK-02."""
    with pytest.raises(ConfigurationError, match="code_verifier"):
        kept(code_verifier="short")


def test_a_kept_login_without_state_accepts_nothing() -> None:
    """O2-43."""
    with pytest.raises(CallbackError, match="state"):
        kept(state="").accept({"code": "c", "state": ""})


def test_the_printed_form_shows_no_secret() -> None:
    """O2-40, PK-08."""
    request = login(scope="openid")

    for value in (request.url, request.state, request.nonce or "", request.code_verifier):
        assert value not in repr(request)
