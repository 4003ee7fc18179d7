"""Output of the commands: coloured lines on a terminal, plain lines elsewhere; errors on stderr."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.process import ProcessFailed
from greenroom_cli.stack.progress import Progress

# Names come from clients: control characters can move a terminal's cursor or rename its window, and bidirectional ones
# show a text in another order.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_NOTICE_CHARS = 160


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
    text = _CONTROL.sub(_escaped, text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_here(text: str) -> str:
    """`printable` for the encoding of stdout."""
    return printable(text, _out.encoding)


def say(line: str = "", *, style: str | None = None) -> None:
    _print(_out, line, style)


def warn(line: str) -> None:
    _print(_err, line, "yellow")


def say_json(content: Any) -> None:
    """Print one JSON document, unstyled; in ASCII unless the terminal's encoding is UTF-8."""
    _out.out(json.dumps(content, indent=2, ensure_ascii=_out.encoding != "utf-8"), highlight=False)


def say_line(line: str) -> None:
    """Print a line of ASCII unstyled, such as one JSON document of many."""
    _out.out(line, highlight=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = ()) -> None:
    """Print a table; `spare` as for `made_table`."""
    grid = made_table(heads, rows, spare=spare)
    if _out.is_terminal:
        _out.print(grid)
    else:
        _wide.print(grid)


def made_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = ()) -> Table:
    """Make a table for this output.

    Args:
        heads: The columns. The first is an id and stays on one line, so that it can be copied; the others fold.
        spare: Columns to leave out, in this order, while the table is wider than the output.
    """
    cells = [["-" if cell is None else printable(str(cell), _out.encoding) for cell in row] for row in rows]
    columns = {head: [row[at] for row in cells] for at, head in enumerate(heads)}
    for head in spare:
        if _width(columns) <= (_out if _out.is_terminal else _wide).width:
            break
        del columns[head]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for at, head in enumerate(columns):
        grid.add_column(head, overflow="fold", no_wrap=at == 0)
    for row in zip(*columns.values(), strict=True):
        grid.add_row(*(escape(cell) for cell in row))
    return grid


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """The columns of a terminal that these fill on one line, with two between each."""
    return sum(2 + max(map(cell_len, (head, *cells))) for head, cells in columns.items()) - 2


def is_terminal() -> bool:
    """Whether stdout is a terminal, which can be drawn on."""
    return _out.is_terminal


def live() -> Live:
    """A part of the terminal that is drawn again and again; the caller starts and refreshes it."""
    return Live(console=_out, screen=True, auto_refresh=False)


def complain(error: CommandError) -> None:
    """Print an error: one line, and the last log lines of a process that failed."""
    _print(_err, f"greenroom: {' '.join(str(error).split())}", "red")
    if isinstance(error, ProcessFailed):
        for line in error.tail:
            _print(_err, f"  | {line}", "dim")


def _print(console: Console, line: str, style: str | None) -> None:
    console.print(escape(printable(line, console.encoding)), style=style)


class StackLines(Progress):
    """Prints a stack's progress, one line per change."""

    def waiting(self, name: str, seconds: float, missing: str) -> None:
        why = " ".join(missing.split())
        say(f"  {name:<14} still starting after {seconds:.0f} s: {textwrap.shorten(why, _NOTICE_CHARS)}", style="dim")

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
