"""All that a failure tells, to whoever prints as much of it as can be had."""

import os
import traceback
from collections.abc import Iterator


def told(error: BaseException) -> str:
    """Return tracebacks with local values, and every exception in the chain with all it carries."""
    chain = list(_chain(error, set()))
    shown = [repr(one) + str(one) + repr(one.args) + repr(vars(one)) for one in chain]
    shown += [str(getattr(one, name, "")) for one in chain for name in ("doc", "object")]
    printed = [line for one in chain for line in _frames(one)]
    return "\n".join([*shown, *printed])


def _frames(error: BaseException) -> list[str]:
    """Return the frames with their local values, but for those of the tests themselves."""
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), capture_locals=True
    )
    return [
        f"{frame.filename} {frame.name} {frame.locals}"
        for frame in frames
        if f"{os.sep}tests{os.sep}" not in frame.filename
    ]


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from _chain(error.__cause__, seen)
        yield from _chain(error.__context__, seen)
