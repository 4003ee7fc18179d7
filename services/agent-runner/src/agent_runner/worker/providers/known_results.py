"""Which results of tools the language model knows, and has answered from."""

# pyright: standard

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipecat.processors.aggregators import async_tool_messages

from agent_runner.domain.context_budget import newest_results


class KnownResults:
    """Collects the calls whose results the model was asked with.

    Pipecat writes a result into the context some time after it was handed in: behind words that are being said, or
    while a request is in flight that does not have it.

    Attributes:
        untold: The contents of long results that the model has not answered from.
    """

    def __init__(self) -> None:
        self.untold = set[str]()
        self._ids = set[str]()

    def ask(self, messages: Sequence[Any]) -> None:
        """The model is asked with these messages. A successor's context has results of the epochs before, too."""
        found = dict(_answered(messages))
        self.untold.update(content for call_id, content in found.items() if call_id not in self._ids)
        self.untold.update(newest_results(messages))
        self._ids.update(found)

    def answered(self) -> None:
        """The model answered in words."""
        self.untold.clear()

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ids


def _answered(messages: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """The calls that have their final result: the id, and the content of its message."""
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        standard: Any = message
        told = async_tool_messages.parse_message(standard)
        if told is not None and told.kind == "final":
            yield told.tool_call_id, str(message.get("content"))
        elif told is None and message.get("role") == "tool":
            yield str(message.get("tool_call_id")), str(message.get("content"))
