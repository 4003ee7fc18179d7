"""The `greenroom` command's entry. It imports almost nothing, so that Ctrl-C works from the start."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from greenroom_cli.errors import EXIT_INTERRUPTED, EXIT_OUTPUT_CLOSED, INTERRUPTED


def main() -> NoReturn:
    """Run the command; every refusal is one line on stderr and a non-zero exit code."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # `nohup` and background jobs of scripts ignore SIGINT
        signal.signal(signal.SIGINT, _interrupt)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:  # a container's first process has no default action
        signal.signal(signal.SIGTERM, _terminate)
    _repair_streams()
    from greenroom_cli.app import run_app  # takes most of a second

    code = run_app()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    code = _close_output(code)
    # At the interpreter's exit LiveKit's native library sometimes hangs, waiting for one of its threads.
    os._exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit at once: as long as this handler is installed, nothing has started that needs to be stopped."""
    with contextlib.suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit at once, as a shell reports the signal; see `_interrupt`."""
    os._exit(128 + number)


def _repair_streams() -> None:
    """Make each stream usable: open, and able to print any text in any locale."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:  # closed by the caller: `greenroom sessions >&-`
            # open() takes the lowest free descriptor, this one, so that no later file gets it.
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null, mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends
            if null != number:
                os.dup2(null, number)
    # Every terminal that can send more than ASCII sends UTF-8.
    is_ascii = sys.stdin.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968")
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)  # a test's stream has none
        if reconfigure is not None:
            reconfigure(errors=errors, **({"encoding": "utf-8"} if stream is sys.stdin and is_ascii else {}))


def _close_output(code: int) -> int:
    """Flush the output and return the exit code: lost output makes a successful command fail."""
    from greenroom_cli.console import lost_output

    lost = lost_output()
    try:
        sys.stdout.flush()
    except OSError as error:
        lost = lost or error
    if lost is None:
        return code
    if isinstance(lost, BrokenPipeError):  # `| head` has read enough: exit quietly, as shell commands do
        return code or EXIT_OUTPUT_CLOSED
    if code:
        return code
    with contextlib.suppress(OSError):
        os.write(2, f"greenroom: the output could not be written: {lost.strerror}\n".encode())
    return 1
