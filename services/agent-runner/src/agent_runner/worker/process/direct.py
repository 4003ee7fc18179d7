"""`python -m agent_runner.worker.process.direct`: one agent in one room, without supervisor, bus or billing.

Events go to stdout, one JSON object a line; the log goes to stderr. SIGTERM or SIGINT ends the call in order. Exit
codes: 0 the call ended, 1 the call failed (one line on stderr says why), 2 invalid settings or arguments, 130 and 143
a signal before the call began.
"""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    from agent_runner.worker.process.direct_call import run  # Pydantic and the settings take half a second to import

    run()


def _end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit: the call has not begun. The call replaces this handler by its own."""
    os.write(2, b"agent: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
