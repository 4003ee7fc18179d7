"""The calls of a session's tools: which are the same request, which may have taken effect, which fail alike."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from agent_runner.link.messages import ToolCall

Outcome: TypeAlias = Literal["done", "failed", "unknown"]
"""`unknown`: no answer came, or an error of the server's own, so the call may have taken effect."""

MOST_OPEN: Final = 16
"""Most calls without an answer that a successor hears of."""

LONGEST_WAIT: Final = 4.0
"""Each filler line waits twice as long as the one before, up to so many times the first one's wait."""

OWED_S: Final = 6.0
"""Silence after which the model is asked with a result that reached the context and started no answer."""

MOST_FAILURES: Final = 3
"""Failures of one call for one question, of whatever kinds, after which it is not made again."""

MOST_IN_A_ROW: Final = 4
"""Failures of one tool in a row for one question, with whatever arguments, after which it is not called again."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What is asked of a tool: `arguments` is canonical JSON."""

    name: str
    arguments: str

    @classmethod
    def of(cls, name: str, arguments: Mapping[str, Any]) -> "ToolRequest":
        return cls(name, canonical(arguments))

    @property
    def hash(self) -> str:
        """SHA-256 of name and arguments, in hexadecimal digits."""
        return _digest(self.name, self.arguments)


def canonical(arguments: Mapping[str, Any]) -> str:
    """JSON in which equal arguments are equal texts: keys in order, no spaces, 1.0 written as 1."""
    plain = json.loads(json.dumps(arguments), parse_float=_number)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


class Failure(NamedTuple):
    """The last failure of a call or a tool: for which question, what failed, and how often in a row."""

    question: int
    kind: str
    times: int


@dataclass(frozen=True, slots=True)
class CallsSoFar:
    """What a session's calls so far mean for the next one.

    Attributes:
        open: Hash -> Idempotency-Key of each call that may have taken effect without an answer.
        failures: Hash -> the last failure of each call of the newest question.
        rows: Name -> the last failure of each tool of the newest question, with whatever arguments.
    """

    session_id: str
    open: Mapping[str, str] = field(default_factory=dict[str, str])
    failures: Mapping[str, Failure] = field(default_factory=dict[str, Failure])
    rows: Mapping[str, Failure] = field(default_factory=dict[str, Failure])

    def key_of(self, call: ToolRequest, question: int) -> str:
        """The Idempotency-Key: the same for one question, name and arguments, in every epoch.

        A call without an answer keeps its key beyond its question: the caller's "hello?" or "try again" is a new
        question and the same request.

        Args:
            question: How many turns of the caller the session has had.
        """
        return self.open.get(call.hash) or f"{self.session_id}:{_digest(str(question), call.hash)[:32]}"

    def started(self, call: ToolRequest, key: str) -> "CallsSoFar":
        return replace(self, open={**self.open, call.hash: key})

    def finished(self, call: ToolRequest, outcome: Outcome, kind: str, question: int) -> tuple["CallsSoFar", bool]:
        """Note an outcome; True when the call or its tool has failed too often to be called again for the question.

        That is: the call twice in a row in the same way, or MOST_FAILURES times; its tool MOST_IN_A_ROW times.

        Args:
            kind: What failed, such as a status: the text of an error may differ each time.
        """
        left = {known: key for known, key in self.open.items() if outcome == "unknown" or known != call.hash}
        failures, rows = _of(question, self.failures), _of(question, self.rows)
        last, row = failures.pop(call.hash, None), rows.pop(call.name, None)
        is_enough = False
        if outcome != "done":
            failure = Failure(question, kind, last.times + 1 if last else 1)
            in_a_row = Failure(question, kind, row.times + 1 if row else 1)
            is_same = last is not None and last.kind == kind
            is_enough = is_same or failure.times >= MOST_FAILURES or in_a_row.times >= MOST_IN_A_ROW
            if not is_enough:
                failures[call.hash], rows[call.name] = failure, in_a_row
        return replace(self, open=left, failures=failures, rows=rows), is_enough


def _of(question: int, failures: Mapping[str, Failure]) -> dict[str, Failure]:
    return {known: last for known, last in failures.items() if last.question == question}


class Patience:
    """Times the silence of a call whose tool runs, or whose tool's result has no answer yet. Seconds of one clock.

    Args:
        filler_s: Silence until a filler line; 0: none.
    """

    def __init__(self, filler_s: float) -> None:
        self._filler_s = filler_s
        self._since: float | None = None
        self._wait_s = filler_s

    def look(self, now: float, *, is_running: bool, is_owed: bool, is_free: bool) -> Literal["fill", "ask"] | None:
        """The reaction that is due now.

        Args:
            is_owed: The model has not been asked since a result came.
            is_free: Neither caller nor agent speaks, and the caller's turn has ended.
        """
        if not is_running:
            self._wait_s = self._filler_s
        if not is_free or not (is_running or is_owed):
            self._since = None
            return None
        if self._since is None:
            self._since = now
        waited_s = now - self._since
        if is_running and self._filler_s and waited_s >= self._wait_s:
            self._since = now
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT * self._filler_s)
            return "fill"
        if is_owed and not is_running and waited_s >= OWED_S:
            self._since = now
            return "ask"
        return None


def unanswered(calls: Iterable[ToolCall]) -> dict[str, str]:
    """`CallsSoFar.open` after these calls, given oldest first: the newest MOST_OPEN of it."""
    so_far = CallsSoFar("")
    for told in calls:
        call = ToolRequest(told.name, told.arguments)
        if told.outcome in ("", "unknown"):
            so_far = so_far.started(call, told.key)
        else:
            so_far, _ = so_far.finished(call, "done", "", 0)
    return dict([*so_far.open.items()][-MOST_OPEN:])
