"""The board and the page name what the integration produces, and all of it."""

import json
import re
from pathlib import Path
from typing import Any, Final

import oauthkit
from oauthkit import MemoryStore
from oauthkit.testing import FakeAuthorizationServer
from tests.integrations.telemetry import Telemetry
from tests.renewal.world import crowd, fail, stored

DOCS: Final = Path(__file__).parents[2] / "docs"
BOARD: Final[dict[str, Any]] = json.loads(
    (DOCS / "dashboards" / "oauthkit.json").read_text(encoding="utf-8")
)
QUERIES: Final[list[str]] = [
    *(target["expr"] for panel in BOARD["panels"] for target in panel["targets"]),
    *(variable["query"] for variable in BOARD["templating"]["list"][1:]),
]
_BY: Final = re.compile(r"by \(([^)]*)\)")
_WHERE: Final = re.compile(r"\{([^}]*)\}")


async def everything(telemetry: Telemetry) -> dict[str, Any]:
    """Return every metric, after all that can be measured."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store, on_event=telemetry.listener) as session:
        telemetry.listener.watch(session)
        await session.get("/report")
        await session.revoke()
        await fail(session.token())
        return telemetry.metrics()


def prometheus(metric: Any) -> set[str]:
    """Return what a metric is called in Prometheus, after OTLP."""
    name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
    if not hasattr(metric.data, "is_monotonic"):
        return {f"{name}_{part}" for part in ("bucket", "count", "sum")}
    return {f"{name}_total" if metric.data.is_monotonic else name}


def queried(query: str) -> set[str]:
    """Return the metrics that a query is about."""
    return set(re.findall(r"oauthkit_\w+", _WHERE.sub("", _BY.sub("", query))))


def labels(query: str) -> set[str]:
    """Return the labels that a query is about."""
    by = {name.strip() for names in _BY.findall(query) for name in names.split(",")}
    return by | {name for where in _WHERE.findall(query) for name in re.findall(r"(\w+)=", where)}


async def test_the_board_asks_for_what_there_is(telemetry: Telemetry) -> None:
    metrics = (await everything(telemetry)).values()
    names = {name for metric in metrics for name in prometheus(metric)}
    known = {
        label.replace(".", "_")
        for metric in metrics
        for point in metric.data.data_points
        for label in point.attributes
    }

    asked = set[str]().union(*map(queried, QUERIES))
    assert asked <= names
    assert set[str]().union(*map(labels, QUERIES)) <= known | {"le"}
    assert [metric.name for metric in metrics if not prometheus(metric) & asked] == []


def test_each_panel_has_a_question_and_a_legend_by_its_labels() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown
            assert shown <= labels(target["expr"])


async def test_the_page_names_each_metric_and_attribute(telemetry: Telemetry) -> None:
    metrics = await everything(telemetry)
    page = (DOCS / "dashboards.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `(oauthkit\.[\w.]+)` \| [a-z -]+, `([^`]+)` \|", page, re.MULTILINE)
    assert dict(rows) == {name: metric.unit for name, metric in metrics.items()}
    attributes = {
        label
        for metric in metrics.values()
        for point in metric.data.data_points
        for label in point.attributes
    }
    cells = re.findall(r"^\| (`[^|]+) \| (?!histogram|counter|up-down)", page, re.MULTILINE)
    assert attributes <= {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}


def test_the_page_names_each_field_and_event_of_the_log() -> None:
    package = Path(oauthkit.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    named = set(re.findall(r"`(\w+)`", (DOCS / "dashboards.md").read_text(encoding="utf-8")))

    assert set(re.findall(r'"(oauth_\w+)":', sources)) <= named
    assert set(re.findall(r'log_fields\(\s*"(\w+)"', sources)) <= named
