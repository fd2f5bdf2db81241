"""What the pages say beside their blocks: links lead somewhere, and the README stays short."""

import re
from pathlib import Path

import pytest

from .pages import ROOT, block, pages
from .world import World

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
WORDS_A_MINUTE = 240


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if not path.startswith("https://"):
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_is_one_step_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(prose(ROOT / "README.md"))}

    assert {f"docs/{page.name}" for page in pages()[1:]} - linked == set()


def test_the_readme_is_read_in_two_minutes() -> None:
    """Beside its tables, in which one looks something up."""
    text = re.sub(r"^\|.*$", "", prose(ROOT / "README.md"), flags=re.MULTILINE)

    assert len(text.split()) < 2 * WORDS_A_MINUTE


def test_the_readme_begins_with_the_installation() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert text.index("pip install oauthkit\n") < text.index("```python")


def test_requests_go_through_the_proxy(world: World, tmp_path: Path) -> None:
    block("sessions.md", "proxy=").run(tmp_path)

    assert world.internet.tunnels == ["auth.example:443", "api.example:443"]


def test_the_environments_proxy_is_used(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    block("README.md", "asyncio.run").run(tmp_path)

    assert world.internet.tunnels == ["auth.example:443", "api.example:443"]


def test_three_threads_need_one_token(world: World, tmp_path: Path) -> None:
    block("sessions.md", "threading.Thread").run(tmp_path)

    assert len(world.fake.token_requests) == 1
    assert len(world.fake.api_requests) == 3


def test_a_request_without_the_token_shows_none(world: World, tmp_path: Path) -> None:
    block("sessions.md", "auth=None").run(tmp_path)

    assert "status.example /health" in world.internet.visits
    assert all("status.example" not in request.url for request in world.fake.api_requests)


def test_the_certificate_is_for_the_token_endpoint_alone(world: World, tmp_path: Path) -> None:
    """Its host talks to nobody who shows none."""
    block("sessions.md", "token_http=token_http").run(tmp_path)

    assert {"mtls.example", "api.example"} == world.internet.visited


def test_a_client_with_a_certificate_asks_at_the_alias(world: World, tmp_path: Path) -> None:
    """MT-02."""
    block("client-keys.md", "TLSClientAuth").run(tmp_path)

    assert "mtls.example /token" in world.internet.visits
    assert "auth.example /token" not in world.internet.visits


def test_a_user_without_a_token_gets_none(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block("sessions.md", '"user:bob"').run(tmp_path)

    assert capsys.readouterr().out.splitlines() == ["['a letter']", "bob has to log in"]
    assert [r.parameters["grant_type"] for r in world.fake.token_requests] == ["refresh_token"]


def test_each_tenant_is_served_by_its_own_right(world: World, tmp_path: Path) -> None:
    block("sessions.md", "tenant:").run(tmp_path)

    assert [r.parameters["scope"] for r in world.fake.token_requests] == [
        "tenant:acme",
        "tenant:umbrella",
    ]
