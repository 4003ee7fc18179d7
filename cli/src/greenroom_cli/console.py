"""What the commands print: lines on a terminal with colour, the same lines plain elsewhere; errors on stderr."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.process import ProcessFailed

_out = Console(soft_wrap=True, highlight=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False)


def say(line: str = "", *, style: str | None = None) -> None:
    """Print one line. A terminal that is gone (a closed window) is no reason not to stop in order."""
    with contextlib.suppress(OSError):
        _out.print(escape(line), style=style)


def warn(line: str) -> None:
    with contextlib.suppress(OSError):
        _err.print(escape(line), style="yellow")


def say_json(content: Any) -> None:
    """Print one JSON document, unstyled."""
    _out.out(json.dumps(content, indent=2, ensure_ascii=False), highlight=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    grid = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*("-" if cell is None else escape(str(cell)) for cell in row))
    # A narrow pipe must not cut ids in two.
    Console(highlight=False, width=None if _out.is_terminal else 200).print(grid)


def complain(error: CommandError) -> None:
    """Print an error: one line, and for a process that failed the last lines of its log."""
    with contextlib.suppress(OSError):
        _err.print(f"greenroom: {escape(str(error))}", style="red")
        if isinstance(error, ProcessFailed):
            for line in error.tail:
                _err.print(f"  | {escape(line)}", style="dim")


class StackLines:
    """Shows a stack's progress, one line per change."""

    def starting(self, name: str) -> None: ...

    def ready(self, name: str, seconds: float) -> None:
        say(f"  {name:<14} ready after {seconds:.1f} s", style="green")

    def died(self, failure: ProcessFailed) -> None:
        complain(failure)

    def restarting(self, name: str, delay_s: float) -> None:
        warn(f"  {name:<14} starts again in {delay_s:g} s")

    def stopped(self, name: str, seconds: float) -> None:
        say(f"  {name:<14} stopped after {seconds:.1f} s", style="dim")
