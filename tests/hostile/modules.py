"""The modules of the OpenID Foundation's conformance suite for clients, and the page about them.

`python tests/hostile/modules.py` writes the table of docs/conformance.md anew: it has a row for
each test that is marked with `module`, and one for each module that is left out, with the reason.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import attrs

T = TypeVar("T", bound=Callable[..., object])

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "conformance.md"
BEGIN: Final = "<!-- written by tests/hostile/modules.py -->\n"
END: Final = "<!-- end -->\n"

RP: Final = "oidcc-client-test"
FAPI2: Final = "fapi2-security-profile-final-client-test"
FAPI1: Final = "fapi1-advanced-final-client-test"
OLD: Final = "rp"

PLAN: Final = (
    "",
    "-3rd-party-init-login",
    "-aggregated-claims",
    "-client-secret-basic",
    "-distributed-claims",
    "-form-post-error",
    "-idtoken-sig-none",
    "-idtoken-sig-rs256",
    "-invalid-athash",
    "-invalid-aud",
    "-invalid-chash",
    "-invalid-sig-es256",
    "-invalid-sig-hs256",
    "-invalid-sig-rs256",
    "-invalid-iss",
    "-userinfo-invalid-sub",
    "-kid-absent-multiple-jwks",
    "-kid-absent-single-jwks",
    "-missing-athash",
    "-missing-aud",
    "-missing-chash",
    "-missing-iat",
    "-missing-sub",
    "-mtls-endpoint-aliases",
    "-nonce-unless-code-flow",
    "-nonce-invalid",
    "-refresh-token",
    "-refresh-token-invalid-issuer",
    "-refresh-token-invalid-sub",
    "-request-uri-signed-none",
    "-request-uri-signed-rs256",
    "-scope-userinfo-claims",
    "-userinfo-signed",
    "-userinfo-bearer-body",
    "-userinfo-bearer-header",
    "-discovery-issuer-mismatch",
    "-discovery-jwks-uri-keys",
    "-discovery-openid-config",
    "-discovery-webfinger-acct",
    "-discovery-webfinger-url",
    "-dynamic-registration",
    "-signing-key-rotation",
    "-signing-key-rotation-just-before-signing",
    "-rp-backchannel-rpinitlogout",
    "-rp-backchannel-rpinitlogout-alg-none",
    "-rp-backchannel-rpinitlogout-no-event",
    "-rp-backchannel-rpinitlogout-with-nonce",
    "-rp-backchannel-rpinitlogout-wrong-alg",
    "-rp-backchannel-rpinitlogout-wrong-aud",
    "-rp-backchannel-rpinitlogout-wrong-event",
    "-rp-backchannel-rpinitlogout-wrong-iss",
    "-rp-frontchannel-opinitlogout",
    "-rp-frontchannel-rpinitlogout",
    "-rp-init-logout",
    "-rp-init-logout-other-state",
    "-rp-init-logout-no-state",
    "-session-management",
)
"""Every module of the plans for OpenID Connect clients, behind `oidcc-client-test`."""

_HYBRID: Final = "Only the code flow is spoken (RFC 9700 §2.1.2)."
LEFT_OUT: Final = {
    "-distributed-claims": "Addresses of claims are shown as they came and never visited.",
    "-invalid-chash": _HYBRID,
    "-missing-athash": f"{_HYBRID} There the claim may be missing.",
    "-missing-chash": _HYBRID,
    "-nonce-unless-code-flow": f"{_HYBRID} A `nonce` is always sent.",
    "-request-uri-signed-none": "No request object is kept for a server to fetch, least of all an "
    "unsigned one.",
    "-request-uri-signed-rs256": "No request object is kept for a server to fetch.",
    "-discovery-webfinger-acct": "Which server a mail address belongs to is not guessed.",
    "-discovery-webfinger-url": "Which server a page belongs to is not guessed.",
    "-rp-frontchannel-opinitlogout": "Browsers no longer let a frame see the cookies that this "
    "needs; the back channel does the same.",
    "-rp-frontchannel-rpinitlogout": "The same.",
    "-session-management": "It needs the same cookies, in a frame of a page.",
}
"""What there is no test of, and why."""


def module(name: str, *, server: str, client: str) -> Callable[[T], T]:
    """Mark the test of a module; it is read from the source, and does nothing.

    Args:
        name: The module's own name, or what stands behind the constant of its plan.
        server: What the server does.
        client: What the client has to do.
    """

    def unchanged(test: T) -> T:
        return test

    return unchanged


@attrs.frozen(order=True)
class Row:
    """What the page says of a module."""

    name: str
    server: str
    client: str
    test: str

    def __str__(self) -> str:
        return f"| `{self.name}` | {self.server} | {self.client} | {self.test} |"


def rows() -> list[Row]:
    """Return a row for each test that is marked, in the order of the files."""
    return [row for path in sorted(HERE.glob("test_*.py")) for row in _marked(path)]


def table() -> str:
    """Return what stands on the page."""
    tested = {row.name: row for row in rows()}
    planned = [f"{RP}{name}" for name in PLAN]
    further = [name for name in tested if name not in planned]
    head = ["| Module | The server | The client | Test |", "|---|---|---|---|"]
    left = ["| Module | Why there is no test |", "|---|---|"]
    return "\n".join(
        [
            "\n## OpenID Connect\n",
            *head,
            *(str(tested[name]) for name in planned if name in tested),
            "\n## What other plans have beside\n",
            *head,
            *(str(tested[name]) for name in further),
            "\n## Left out\n",
            *left,
            *(f"| `{RP}{name}` | {why} |" for name, why in LEFT_OUT.items()),
            "",
            "",
        ]
    )


def _marked(path: Path) -> Iterator[Row]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "module":
                    said = {str(word.arg): _text(word.value) for word in mark.keywords}
                    yield Row(_text(mark.args[0]), said["server"], said["client"], f"`{path.name}`")


def _text(node: ast.expr) -> str:
    """Return a text as it is written: one literal, or a plan's constant and a literal."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return str(globals()[ast.unparse(node.value)])
    return str(ast.literal_eval(node))


def main() -> None:
    """Write the table anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
