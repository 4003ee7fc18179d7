"""The error that ends a start, with its fix; and the texts of other errors."""

from collections.abc import Mapping


class StartFailed(Exception):
    """A service cannot start.

    Attributes:
        cause: Half a sentence, without a full stop.
        fix: A sentence that tells the operator what to do.
    """

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}. {fix}")
        self.cause = cause
        self.fix = fix


def text_of(error: BaseException) -> str:
    """The error's own text; its class where it has none, such as a timeout's."""
    return str(error) or type(error).__name__


def validation_text(details: Mapping[str, object]) -> str:
    """What is wrong with a value, from one of pydantic's `errors()`, without pydantic's own prefix."""
    return str(details["msg"]).removeprefix("Value error, ")
