"""The main job: five documented systems on sockets, every way to a token, a crowd of calls."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import cycle
from typing import Any, Final, TypeVar

import anyio
import attrs
import httpx

from oauthkit.cli.crowd import Crowd
from oauthkit.cli.lines import FAULTS, Line, UnexpectedAnswerError, named, open_line
from oauthkit.cli.plan import Plan, Progress, Watch
from oauthkit.cli.report import Report
from oauthkit.cli.ways import documented_ways
from oauthkit.services import ads, get_bibcode, say_hello, test
from oauthkit.session import AsyncTokenSession

T = TypeVar("T")

_BIBCODE: Final = {"bibcode": "1999ApJ...517..565P", "db_key": "AST", "data_type": "SHORT"}
_FIRST_NAME: Final = "Ada"
_COUNTER: Final = 228
_DOCUMENTED: Final[Mapping[str, object]] = {
    "say_hello": f"Hello, {_FIRST_NAME}!",
    "get_bibcode": " ".join(_BIBCODE.values()),
    "test": {"counter": _COUNTER},
}


async def run_demo(plan: Plan, watch: Watch) -> Report:
    """Run the demo and return what it found out.

    Args:
        plan: How large it is.
        watch: Is told how far it is.
    """
    demo = _Demo(plan, watch)
    started = time.monotonic()
    try:
        await demo.run()
    except FAULTS as error:
        demo.problems.append(f"the demo ended early: {named(error)}")
    return demo.report(seconds=time.monotonic() - started)


@attrs.define(eq=False)
class _Demo:
    plan: Plan
    watch: Watch
    lines: list[Line] = attrs.field(factory=list[Line])
    answers: dict[str, Any] = attrs.field(factory=dict[str, Any])
    problems: list[str] = attrs.field(factory=list[str])
    peak: int = 0

    async def run(self) -> None:
        ways = documented_ways()
        async with AsyncExitStack() as stack:
            self.watch(Progress(step=f"{len(ways)} servers of 5 documented systems start"))
            for way in ways:
                self.lines.append(await stack.enter_async_context(open_line(way, self.plan)))
            self.watch(Progress(step=f"{len(ways)} ways to a first token, all at once"))
            async with anyio.create_task_group() as tasks:
                for line in self.lines:
                    tasks.start_soon(line.first_token)
            self.watch(Progress(step="say_hello, get_bibcode and test, through one session"))
            functions = _Functions.of(self.lines)
            self.answers["say_hello"] = await functions.say_hello()
            self.answers["get_bibcode"] = await functions.get_bibcode()
            self.answers["test"] = await functions.test()
            crowd = Crowd(self.plan, self.lines)
            await crowd.run(self.watch)
            self.peak = crowd.peak

    def report(self, *, seconds: float) -> Report:
        rows = [line.row(self.plan) for line in self.lines]
        problems = list(self.problems)
        for line, row in zip(self.lines, rows, strict=True):
            problems += line.systems.violations
            problems += [f"{row.name}: {failure}" for failure in dict.fromkeys(line.failures)]
            problems += row.problems(line.systems.token_requests, expiries=self.plan.expiries)
        return Report(
            rows=tuple(rows),
            answers=self.answers,
            requests=sum(len(line.systems.log) for line in self.lines),
            violations=sum(len(line.systems.violations) for line in self.lines),
            peak=self.peak,
            life=self.plan.life,
            seconds=seconds,
            problems=tuple(problems),
        )


@attrs.define(eq=False)
class _Functions:
    """The three documented functions, through one session."""

    session: AsyncTokenSession[httpx.Response]
    environment: ads.Environment
    hello_url: str

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "_Functions":
        """Return them through the session of system A, and let that line call them in turn."""
        by_system = {line.way.system: line for line in reversed(lines)}
        own = by_system["ads"]
        environment = ads.Environment("demo", own.url)
        functions = cls(own.session, environment, f"{by_system['hello'].url}/SayHello/")
        own.turns = cycle([functions.test, functions.get_bibcode, functions.say_hello])
        return functions

    async def say_hello(self) -> str:
        answer = await say_hello(self.session, first_name=_FIRST_NAME, base_url=self.hello_url)
        return _expected("say_hello", answer.greeting)

    async def get_bibcode(self) -> str:
        answer = await get_bibcode(self.session, environment=self.environment, **_BIBCODE)
        return _expected("get_bibcode", answer.body)

    async def test(self) -> Any:
        answer = await test(self.session, counter=_COUNTER, environment=self.environment)
        return _expected("test", answer)


def _expected(name: str, answer: T) -> T:
    if answer != _DOCUMENTED[name]:
        message = f"{name} returned {answer!r}, not {_DOCUMENTED[name]!r}"
        raise UnexpectedAnswerError(message)
    return answer
