"""Which results of tools the language model knows."""

# pyright: standard

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipecat.processors.aggregators import async_tool_messages


class KnownResults:
    """Collects the calls whose results the model was asked with.

    Pipecat writes a result into the context some time after it was handed in: behind words that are being said, or
    while a request is in flight that does not have it.
    """

    def __init__(self) -> None:
        self._ids = set[str]()

    def ask(self, messages: Sequence[Any]) -> None:
        """The model is asked with these messages."""
        self._ids.update(_answered(messages))

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ids


def _answered(messages: Sequence[Any]) -> Iterator[str]:
    """The ids of the calls that have their final result."""
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        standard: Any = message
        told = async_tool_messages.parse_message(standard)
        if told is not None and told.kind == "final":
            yield told.tool_call_id
        elif told is None and message.get("role") == "tool":
            yield str(message.get("tool_call_id"))
