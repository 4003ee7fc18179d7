"""Runs one command's coroutine: signals stop it in order, errors become one line and an exit code."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from chassis.cancellation import mend_wait_for

T = TypeVar("T")

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal stopped the command, after everything it had started was stopped.

    Attributes:
        signal: The first one.
        exit_code: 128 + the signal's number, as in shells.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.signal = number
        self.exit_code = 128 + number


def _ignore() -> None: ...


def run(command: Coroutine[Any, Any, T], *, on_repeated_signal: Callable[[], None] = _ignore) -> T:
    """Run the command.

    The first signal cancels the command, which then cleans up. Further ones never interrupt that, since an interrupted
    clean-up would leave processes behind (SIGKILL works, and leaves none either).

    Args:
        on_repeated_signal: Called for each further signal, to clean up faster.

    Raises:
        Stopped: By a signal.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        mend_wait_for()
        return asyncio.run(_run(command, on_repeated_signal))
    finally:
        signal.signal(signal.SIGINT, before)  # the loop leaves Python's own handler, which ends in a traceback


async def _run(command: Coroutine[Any, Any, T], on_repeated_signal: Callable[[], None]) -> T:
    task = asyncio.ensure_future(command)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if received:
            on_repeated_signal()
        else:
            task.cancel()
        received.append(number)

    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Stopped(received[0]) from None
        raise
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
