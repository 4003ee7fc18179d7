"""The causes, reasons and stages of the log as parts of sentences."""

from collections.abc import Mapping
from typing import Final

from contracts.causes import EFFECTS, Cause, Effect
from contracts.end_reasons import EndReason, known
from contracts.events import Outcome
from contracts.lines import LineName

NETWORK: Final = "network"
"""What a fault names instead of a provider when the caller's network was lost."""

_PROVIDERS: Final[Mapping[str, str]] = {
    "stt": "speech to text",
    "llm": "the language model",
    "tts": "the voice",
    "tool": "a tool",
    NETWORK: "the caller's network",
}

_CAUSES: Final[Mapping[str, str]] = {
    Cause.ENDED: "the scheduler ended the call",
    Cause.FAREWELL: "it had said that the call cannot continue",
    Cause.DRAINED: "its node reached its drain limit and handed the call over",
    Cause.SESSION_TIMEOUT: "the call reached its time limit",
    Cause.CREDIT_SPENT: "the call used up its credit",
    Cause.SUPERSEDED: "a newer agent has the call",
    Cause.ROOM_CLOSED: "LiveKit closed the room",
    Cause.REMOVED: "LiveKit removed it from the room",
    Cause.START_FAILED: "the node had no worker for it",
    Cause.JOIN_FAILED: "it could not join the room",
    Cause.PROVIDER_FAILED: "a provider became unusable",
    Cause.USER_IDLE: "the caller was silent for too long",
    Cause.AGENT_ENDED: "the agent said goodbye",
    Cause.FAILED: "its pipeline failed",
    Cause.STALLED: "it no longer answered, and its supervisor killed it",
    Cause.CRASHED: "its process died",
}

_REASONS: Final[Mapping[EndReason, str]] = {
    EndReason.REQUESTED: "a client asked for it",
    EndReason.ENDED: "the scheduler ended it",
    EndReason.CALLER_LEFT: "the caller left",
    EndReason.CALLER_NEVER_JOINED: "the caller did not join the room in time",
    EndReason.ROOM_CLOSED: "the room was closed",
    EndReason.SESSION_TIMEOUT: "the call reached its time limit",
    EndReason.CREDIT_SPENT: "the call used up its credit",
    EndReason.USER_IDLE: "the caller was silent for too long",
    EndReason.AGENT_ENDED: "the agent said goodbye",
    EndReason.PROVIDER_FAILED: "a provider became unusable",
    EndReason.QUEUE_FULL: "too many starts were waiting already",
    EndReason.QUEUE_DEADLINE: "it waited as long as a start may wait",
    EndReason.MAX_BOTS: "as many calls were running as MAX_BOTS permits",
    EndReason.NO_NODES: "no node was alive",
    EndReason.NODES_DRAINING: "every node was draining",
    EndReason.NODES_OVERLOADED: "every node with a free slot had too much load",
    EndReason.NODES_FAILING: "starts had failed on every node",
    EndReason.NO_CAPACITY: "every node ran as many calls as it can",
    EndReason.NO_OTHER_NODE: "every node that could take it had just failed to start it",
    EndReason.START_TIMEOUT: "no agent joined the room in time",
    EndReason.ATTEMPTS_FAILED: "the start failed on as many nodes as may be tried",
    EndReason.AGENT_FAILED: "its agent was lost, and no other could take over (see MAX_TAKEOVERS)",
    EndReason.UNREADABLE_LOG: "a record of it cannot be read",
    EndReason.WORDS_LOST: "the key of its words is lost",
}

_LINES: Final[Mapping[LineName, str]] = {
    "opening": "the agent said its opening line",
    "bridge": "the agent said its line of a take-over",
    "bridge_to_answer": "the agent said its line of a take-over",
    "sorry": "the agent asked to hear it again",
    "broke_off": "the agent asked to be asked again, because its answer broke off",
    "idle_prompt": "the agent asked whether the caller is still there",
    "idle_goodbye": "the agent said goodbye to a silent caller",
    "credit_warning": "the agent said that the time is almost up",
    "tool_filler": "the agent asked the caller to wait for a tool",
    "goodbye": "the agent said goodbye",
    "timeout_goodbye": "the agent said goodbye, at the time limit",
    "apology": "the agent apologised and said goodbye",
}
_TURNS: Final[Mapping[str, str]] = {
    "": "the agent answered",  # an older agent-runner does not tell
    "answer": "the agent answered",
    "nothing": "the caller heard nothing of an answer",
    **_LINES,
}

_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.COMPLETED: "The call ended",
    Outcome.REJECTED: "The scheduler refused the call",
    Outcome.NO_SHOW: "The call ended without a conversation",
    Outcome.FAILED: "The call failed",
}


def provider_words(provider: str) -> str:
    return _PROVIDERS.get(provider, provider)


def cause_words(cause: str) -> str:
    """Why an agent stopped, as a clause; a newer version's cause stays unchanged."""
    name, _, provider = cause.partition(":")
    if name == Cause.PROVIDER_FAILED and provider:
        return f"{provider_words(provider)} became unusable"
    return _CAUSES.get(name, cause)


def is_failure(cause: str) -> bool:
    """Whether the agent stopped by a fault; a cause of a newer version counts as one."""
    effect = EFFECTS.get(cause.partition(":")[0], Effect.BLAMES)
    return effect in (Effect.BLAMES, Effect.FAILS) and cause != Cause.FAREWELL


def reason_words(reason: str) -> str:
    """Why a session ended, as a clause; a client's text stays unchanged."""
    found = known(reason)
    _, _, provider = reason.partition(":")
    if found is EndReason.PROVIDER_FAILED and provider:
        return f"{provider_words(provider)} became unusable"
    return reason if found is None else _REASONS[found]


def ended_sentence(outcome: Outcome, reason: str) -> str:
    return f"{_OUTCOMES[outcome]}: {reason_words(reason)}"


def turn_words(said: str) -> str:
    """What the agent did in a turn, from the event's `said`; a line without a name, or a newer version's, is a line."""
    return _TURNS.get(said, "the agent said a line unasked")


def plural(count: int, thing: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def seconds_words(ms: int) -> str:
    """`840 ms`, `2.4 s`."""
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
