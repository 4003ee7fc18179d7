"""Errors that say what to do about them."""


class StartFailed(Exception):
    """A service cannot start.

    Attributes:
        cause: What is wrong, in half a sentence.
        fix: What the reader can do about it.
    """

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}. {fix}")
        self.cause = cause
        self.fix = fix
