"""Help with examples, as they are typed."""

from collections.abc import Iterable
from typing import Any

import click


class _WithExamples(click.Command):
    """Show examples at the end of the help, which are not wrapped."""

    def __init__(self, *arguments: Any, examples: Iterable[str] = (), **keywords: Any) -> None:
        """Take the lines, beside what click takes."""
        super().__init__(*arguments, **keywords)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and then the epilog."""
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


class Command(_WithExamples):
    """A command whose help has examples."""


class Group(_WithExamples, click.Group):
    """A group whose help has examples."""
