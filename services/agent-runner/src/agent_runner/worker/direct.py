"""`python -m agent_runner.worker.direct`: one agent in one room, without supervisor, bus or billing.

Its events go to stdout, one JSON object a line; its log goes to stderr. SIGTERM or SIGINT ends the call in order. Exit
codes: 0 ended, 1 it could not go on (one line on stderr says why), 2 bad settings or arguments, 130 and 143 a signal
before there was a call.
"""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run one agent until it is ended, and exit."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    from agent_runner.worker.direct_call import run  # Pydantic and the settings take half a second to import

    run()


def _end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """No call yet, so nothing to end in order; the call's own handlers take this one's place."""
    os.write(2, b"agent: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
