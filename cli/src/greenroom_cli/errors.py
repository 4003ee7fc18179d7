"""The error that a command shows (a problem and its fix, one line each), and exit codes after a signal."""

import signal
from typing import Final

INTERRUPTED: Final = "greenroom: interrupted"
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
EXIT_OUTPUT_CLOSED: Final = 128 + signal.SIGPIPE


class CommandError(Exception):
    """The command cannot continue.

    Attributes:
        problem: What is wrong, one line.
        fix: The action for the user, one line; empty when the problem implies it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}; {fix}" if fix else problem)
        self.problem = problem
        self.fix = fix
