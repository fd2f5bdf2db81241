"""Every example in a docstring works as it stands there."""

import ast
import doctest
import importlib
import inspect
import re
import textwrap
import time
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import anyio
import attrs
import httpx
import httpx2
import pytest
from joserfc.jwk import ECKey

import oauthkit
from oauthkit.integrations.aiohttp import token_middleware
from oauthkit.jose.signing import KeySigner
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.device_codes import PendingDevice
from oauthkit.testing.store_contract import SharedStoreContract

ROOT: Final = Path(__file__).parents[1]
BLOCK: Final = re.compile(r"^ *(?:[^\s>].*)?::\n\n((?: +.*\n|\n)+)", re.MULTILINE)
"""What stands indented below a line that ends in two colons."""


@attrs.frozen
class Docstring:
    """Docstring of a module, a class or a function."""

    path: Path
    name: str
    text: str
    line: int

    def __repr__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.name or 'module'}"

    @property
    def module(self) -> str:
        """The dotted name of the module that it stands in."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(part for part in parts if part != "__init__")

    def sessions(self) -> doctest.DocTest | None:
        """Return its lines after `>>>`, which know what their module knows."""
        names = vars(importlib.import_module(self.module)) if ">>>" in self.text else {}
        test = doctest.DocTestParser().get_doctest(
            self.text, dict(names), repr(self), str(self.path), self.line
        )
        return test if test.examples else None

    def blocks(self) -> list[str]:
        """Return its indented blocks."""
        text = inspect.cleandoc(self.text) + "\n"
        return [textwrap.dedent(block[1]) for block in BLOCK.finditer(text)]


def docstrings() -> Iterator[Docstring]:
    """Return every docstring of the package, read from its source: what is private too."""
    for path in sorted((ROOT / "oauthkit").rglob("*.py")):
        yield from below(path, ast.parse(path.read_text(encoding="utf-8")), "")


def below(path: Path, node: ast.AST, name: str) -> Iterator[Docstring]:
    """Return the docstrings of a part of a module, outermost first."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield Docstring(path, name, text, node.body[0].lineno - 1)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):  # which has none, and is most of a module
            own = getattr(child, "name", "")
            yield from below(path, child, f"{name}.{own}".strip("."))


CLIENT_KEY: Final = ECKey.generate_key("P-256")

ALL: Final = list(docstrings())
SESSIONS: Final = [doc for doc in ALL if doc.sessions()]
BLOCKS: Final = [doc for doc in ALL if doc.blocks()]


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the files that examples write out of the checkout."""
    monkeypatch.chdir(tmp_path)


def _agreed(_: PendingDevice) -> bool:
    return False


@pytest.fixture
async def surroundings(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[dict[str, Any]]:
    """Have what the examples are about: a server, a login that came back, a session, a network."""
    fake = FakeAuthorizationServer(client_id="reporter", client_secret="s3cret", clock=time)
    network = fake.transport(lambda _: httpx.Response(200, json={"pages": 3}))

    async def answer(_: object, request: httpx.Request) -> httpx.Response:
        return await network.handle_async_request(request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    fake.keys.algorithm = "ES256"  # an RSA key takes long to be made
    fake.device_interval = 0
    monkeypatch.setattr(PendingDevice, "waits", _agreed)
    login = oauthkit.AuthorizationRequest.new(
        fake.server, "reporter", redirect_uri="https://app.example/callback", scope="openid"
    )
    callback, asked = fake.authorize(login.url), {"nonce": str(login.nonce)}
    async with httpx.AsyncClient() as http, fake.session(http=http) as session:
        yield {
            **{name: getattr(oauthkit, name) for name in oauthkit.__all__},
            "client_key_pem": CLIENT_KEY.as_pem(private=True),
            # the resource owner of a device agrees at once, and nobody waits for it
            "poll_device_login": partial(oauthkit.poll_device_login, shortest_interval=0),
            "publish": print,
            "signer": KeySigner(CLIENT_KEY),
            "callback": callback,
            "client": await oauthkit.register_client(http, fake.server, {}),
            "form": {"logout_token": fake.logout_token("ada")},
            "index": oauthkit.MemoryLogoutIndex(),
            "key": "ada",
            "request": SimpleNamespace(url=callback),
            "token_middleware": token_middleware,
            "token": oauthkit.Token("a", id_token=fake.draft(asked, began=time.time()).signed()),
            "client_auth": fake.client_auth,
            "http": http,
            "httpx2": httpx2,
            "login": login,
            "serve": anyio.lowlevel.checkpoint,
            "server": fake.server,
            "session": session,
            "pytest": pytest,
            "SharedStoreContract": SharedStoreContract,
            "store": oauthkit.MemoryStore(),
            "user_id": "ada",
        }


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("doc", SESSIONS, ids=repr)
def test_what_stands_after_a_prompt_gives_what_stands_below_it(doc: Docstring) -> None:
    report: list[str] = []
    test = doc.sessions()
    assert test is not None
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)

    results = runner.run(test, out=report.append)

    assert results.failed == 0, "".join(report)
    assert results.attempted == len(test.examples)


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("doc", BLOCKS, ids=repr)
async def test_an_indented_block_runs(doc: Docstring, surroundings: dict[str, Any]) -> None:
    for block in doc.blocks():
        code = compile(block, repr(doc), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, dict(surroundings))  # noqa: S307 - our own docstrings
        if inspect.iscoroutine(result):
            await result


def test_no_example_is_left_out() -> None:
    """A section that is headed `Example` has code, and the code is found."""
    headed = {doc for doc in ALL if re.search(r"^ *Examples?:$", doc.text, re.MULTILINE)}
    found = {*SESSIONS, *BLOCKS}

    assert headed
    assert headed - found == set()
    assert {doc for doc in ALL if re.search(r">>>|```|::\n", doc.text)} - found == set()


def test_an_example_that_is_wrong_is_found() -> None:
    doc = Docstring(ROOT / "oauthkit" / "version.py", "made_up", ">>> 1 + 1\n3\n", 0)

    with pytest.raises(AssertionError, match=r"Expected:\n +3\n +Got:\n +2"):
        test_what_stands_after_a_prompt_gives_what_stands_below_it(doc)
