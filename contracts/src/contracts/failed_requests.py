"""The end of a fault's detail that says which request to a language model failed, and how."""

import re
from dataclasses import dataclass
from typing import Final, Self

_TEXT: Final = re.compile(r"(?:^|: )(\w+)(?: ([1-5]\d\d))?; model (.+) at (\S*)$", re.DOTALL)
_MOST_NAME: Final = 100
_MOST_HOST: Final = 80  # with the model's name it leaves room for the errors' classes in a detail


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """Nothing in it is the server's text, which may repeat what people say.

    Attributes:
        error: The class of the client library's error.
        status: The server's HTTP status; None without an answer.
        host: The server's host and port.
    """

    error: str
    status: int | None
    model: str
    host: str

    def __str__(self) -> str:
        status = "" if self.status is None else f" {self.status}"
        return f"{self.error}{status}; model {self.model[:_MOST_NAME]} at {self.host[:_MOST_HOST]}"

    @classmethod
    def of(cls, detail: str) -> Self | None:
        """Read the detail of a fault; None: it names no request, as those of older versions."""
        found = _TEXT.search(detail)
        if found is None:
            return None
        error, status, model, host = found.groups()
        return cls(error, int(status) if status else None, model, host)
