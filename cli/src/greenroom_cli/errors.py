"""The one error that a command shows: what is wrong, and how to put it right, in one line each."""


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        problem: What is wrong, one line.
        fix: What the user can do about it, one line; empty when the problem says it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}; {fix}" if fix else problem)
        self.problem = problem
        self.fix = fix
