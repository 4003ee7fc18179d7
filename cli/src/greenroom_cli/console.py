"""Output of the commands: coloured lines on a terminal, plain lines elsewhere; errors on stderr."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.process import ProcessFailed

# Control characters can move a terminal's cursor or rename its window, and names come from clients.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class _Output(Console):
    """A closed or full stream raises no error: a command must still stop in order.

    Attributes:
        lost: Why output was lost, if any was; checked at the end of the command.
    """

    lost: OSError | None = None

    def on_broken_pipe(self) -> None:
        self._lose(BrokenPipeError())  # the base class would exit the process

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = self.lost or error
        self.quiet = True


_out = _Output(soft_wrap=True, highlight=False)
_err = _Output(stderr=True, soft_wrap=True, highlight=False)
_wide = _Output(highlight=False, width=200)  # in a pipe or a file a table must not fold ids


def lost_output() -> OSError | None:
    """Why some of stdout could not be written; None when all of it was."""
    return _out.lost or _wide.lost


def printable(text: str, encoding: str) -> str:
    """Escape control characters and characters that the encoding lacks."""
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say(line: str = "", *, style: str | None = None) -> None:
    _print(_out, line, style)


def warn(line: str) -> None:
    _print(_err, line, "yellow")


def say_json(content: Any) -> None:
    """Print one JSON document, unstyled; in ASCII unless the terminal's encoding is UTF-8."""
    _out.out(json.dumps(content, indent=2, ensure_ascii=_out.encoding != "utf-8"), highlight=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        grid.add_column(head, overflow="fold")  # fold a long id rather than cut it off
    for row in rows:
        grid.add_row(*("-" if cell is None else escape(printable(str(cell), _out.encoding)) for cell in row))
    if _out.is_terminal:
        _out.print(grid)
    else:
        _wide.print(grid)


def complain(error: CommandError) -> None:
    """Print an error: one line, and the last log lines of a process that failed."""
    _print(_err, f"greenroom: {' '.join(str(error).split())}", "red")
    if isinstance(error, ProcessFailed):
        for line in error.tail:
            _print(_err, f"  | {line}", "dim")


def _print(console: Console, line: str, style: str | None) -> None:
    console.print(escape(printable(line, console.encoding)), style=style)


class StackLines:
    """Prints a stack's progress, one line per change."""

    def starting(self, name: str) -> None: ...

    def ready(self, name: str, seconds: float) -> None:
        say(f"  {name:<14} ready after {seconds:.1f} s", style="green")

    def died(self, failure: ProcessFailed) -> None:
        if failure.ended:
            say(f"  {failure.name:<14} stopped on request, such as by a drain")
        else:
            complain(failure)

    def restarting(self, name: str, delay_s: float) -> None:
        warn(f"  {name:<14} starts again in {delay_s:g} s")

    def unwell(self, name: str, reason: str) -> None:
        warn(f"  {name:<14} is restarted: {reason}")

    def stopped(self, name: str, seconds: float) -> None:
        say(f"  {name:<14} stopped after {seconds:.1f} s", style="dim")
