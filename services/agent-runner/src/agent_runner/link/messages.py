"""The messages between a supervisor and its worker, over one SOCK_SEQPACKET pair.

One message is one packet of UTF-8 JSON with its `kind`; the history of a `Go` does not fit into a packet and is sent
with it as a file descriptor (SCM_RIGHTS). Neither side ever blocks on a send: a full socket drops a `Beat` and delays
all other messages. The socket's end-of-file means that the other side is gone.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from contracts.causes import Cause
from contracts.deadlines import LAST_WORDS_S
from contracts.tools import RecordedTool

MAX_PACKET_BYTES = 200 * 1024
"""Longest packet; Linux takes 208 KiB at its default socket buffer. The longest system prompt fits, however escaped."""

MAX_HISTORY_BYTES = 256 * 1024
"""Longest history, as the JSON text of a list of LLM messages."""

BEAT_S = 0.5
"""Time between two beats of a worker."""

Provider = Literal["stt", "llm", "tts"]


class PacketError(ValueError):
    """An invalid packet: too long, not JSON, an unknown kind or a wrong field."""


# --- supervisor -> worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Take this job: join the room, open the providers, speak.

    The agent first speaks `opening_line` (a first epoch) or `bridge` (a take-over); at most one of them is set.
    `has_history`: a file descriptor comes with the packet, of a JSON list of LLM messages (`role` and `content`; the
    roles user, assistant and developer), at most MAX_HISTORY_BYTES, to be read from offset 0.
    `is_asked`: the history ends with a question of the caller that has no answer; the agent answers it after `bridge`.
    `questions_before`: turns of the caller in earlier epochs. `open_calls`: see `CallsSoFar.open`.
    The agent hears only the participant of `caller_identity`; empty: the first one that joins.
    `language` is a BCP 47 tag; None: the session named none, and the providers keep their defaults.
    `end_call`: the agent may end the call itself.
    `interruptible`: the caller may interrupt the first line; None: as FIRST_LINE_INTERRUPTIBLE says.
    `url` and `token` are LiveKit's; `traceparent` is W3C's; `log_file` receives this session's log lines.
    """

    session_id: str
    epoch: int
    url: str
    token: str
    system_prompt: str
    voice_id: str
    caller_identity: str
    agent_identity: str
    opening_line: str | None = None
    bridge: str | None = None
    language: str | None = None
    end_call: bool = False
    interruptible: bool | None = None
    has_history: bool = False
    is_asked: bool = False
    questions_before: int = 0
    open_calls: dict[str, str] = field(default_factory=dict[str, str])
    tools: tuple[RecordedTool, ...] = ()
    traceparent: str | None = None
    log_file: str | None = None
    kind: Literal["go"] = "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prejoin:
    """Wait in this room: join it and publish a silent track, but subscribe to no audio and open no provider.

    `Joined` answers. If the `Go` of the same session follows, it needs no further join. Fields as in `Go`.
    """

    session_id: str
    url: str
    token: str
    caller_identity: str
    kind: Literal["prejoin"] = "prejoin"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End the call: at once (`cancel`), or after speaking `text` (`say`). The worker exits in either case."""

    how: Literal["cancel", "say"] = "cancel"
    text: str | None = None
    kind: Literal["end"] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Say this, as an assistant message of the conversation.

    `patience_s`: how long it may wait for a pause between two turns; 0: it follows what the agent is saying.
    """

    text: str
    patience_s: float = 0.0
    kind: Literal["speak"] = "speak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoin:
    """The answer to `Removed` while this epoch is still the last assigned: join the room again."""

    kind: Literal["rejoin"] = "rejoin"


# --- worker -> supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The pipeline is built and started; the worker waits for `Go`. Sent once."""

    pid: int
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The agent is in the room and its track is published. `stage_ms`: whole ms since `Go`, by stage.

    A prejoined worker sends it at its join and again at its `Go`.
    """

    stage_ms: dict[str, int] = field(default_factory=dict[str, int])
    kind: Literal["joined"] = "joined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The first audio was sent with the caller subscribed to it. Sent once. `stage_ms`: as in `Joined`."""

    stage_ms: dict[str, int] = field(default_factory=dict[str, int])
    kind: Literal["heard"] = "heard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller joined the room (True) or left it (False); sent at each change."""

    in_room: bool
    kind: Literal["caller"] = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One finished turn: the caller's words and the part of the answer that was heard.

    `n` counts 1, 2, ... in this epoch; 0 is the opening or bridge line, if there is one. A line that the agent says
    while a question is open has a number behind the question's, and ends before it. `user_text` is empty when the
    agent spoke first; `heard_text` is the text that was sent as audio before the end or the interruption. The LLM's
    context has the same text (but the whole of an opening line). `said`: as in `TurnFinished`, but for "nothing".
    `stage_ms`: see `Marks.stage_ms`. `summary`, if not empty, is what the context has instead of older turns: all
    but the last `summary_keeps` turns of the caller, up to this one.
    """

    n: int
    user_text: str
    heard_text: str
    interrupted: bool
    stage_ms: dict[str, int] = field(default_factory=dict[str, int])
    summary: str = ""
    summary_keeps: int = 0
    said: str = "answer"
    kind: Literal["turn"] = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The turn in progress, up to now, in case the worker dies before its end. Each message replaces the last."""

    turn: Turn
    kind: Literal["unfinished"] = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The agent is about to call a tool, or knows the outcome.

    `n` counts 1, 2, ... in this epoch; `turn` is the number of the turn in progress. `key` is the Idempotency-Key,
    `arguments` canonical JSON. `outcome`: empty before the request, then done, failed or unknown; `answer`: what the
    tool answered, or the error; `error`: why the call failed, without words of the session.
    """

    n: int
    turn: int
    name: str
    key: str
    arguments: str
    outcome: str = ""
    answer: str = ""
    error: str = ""
    kind: Literal["tool"] = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Alive, each BEAT_S."""

    caller_in_room: bool
    kind: Literal["beat"] = "beat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A provider keeps the agent deaf or mute, until `Recovered` or the end. `ago_ms`: how long ago that began."""

    provider: Provider
    ago_ms: int = 0
    kind: Literal["faulty"] = "faulty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A provider that was `Faulty` works again."""

    provider: Provider
    kind: Literal["recovered"] = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A provider is unusable for the rest of the call. Sent once for each provider.

    Attributes:
        detail: The provider's text, which may quote the conversation.
        name: The error without that text.
    """

    provider: Provider
    detail: str
    name: str = ""
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """An answer failed, the agent apologises for it, and the call goes on.

    Attributes:
        ms: From the request to the failure.
        broke_off: The caller has heard a part of the answer.
        name: The error, as in `Failed`.
    """

    provider: Provider
    ms: int
    broke_off: bool = False
    name: str = ""
    kind: Literal["unanswered"] = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The caller's network is lost, and the agent waits; or it waits no longer.

    Attributes:
        end: Why it no longer waits; empty: it waits.
        ms: Without a packet of the caller, so far.
        again_ms: How much of the agent's audio the caller missed, and hears again.
    """

    end: Literal["", "back", "left", "given_up"] = ""
    ms: int = 0
    again_ms: int = 0
    kind: Literal["unreachable"] = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The worker has decided to end the call; a last sentence may follow.

    Attributes:
        words_s: The longest that it may take, in seconds.
    """

    words_s: float = LAST_WORDS_S
    kind: Literal["ending"] = "ending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """LiveKit removed the agent from the room; `duplicate`: because a newer holder of its identity joined.

    The supervisor answers `Rejoin` or `End`. Without an answer in REJOIN_ANSWER_S the worker exits.
    """

    duplicate: bool
    reason: str = ""
    kind: Literal["removed"] = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The last message: the worker has left the room and exits now."""

    cause: Cause
    detail: str = ""
    kind: Literal["stopped"] = "stopped"


ToWorker: TypeAlias = Go | Prejoin | End | Speak | Rejoin
ToSupervisor: TypeAlias = (
    Ready
    | Joined
    | Heard
    | Caller
    | Turn
    | Unfinished
    | ToolCall
    | Beat
    | Faulty
    | Recovered
    | Failed
    | Unanswered
    | Unreachable
    | Ending
    | Removed
    | Stopped
)


class WorkerListener(Protocol):
    """Receives a worker's messages; called from the event loop, in order, and must not block."""

    def on_message(self, message: ToSupervisor) -> None: ...

    def on_gone(self) -> None:
        """The process has exited. Called once, after all messages that it sent."""
        ...


_by_kind = Field(discriminator="kind")
_to_worker: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, _by_kind])
_to_supervisor: TypeAdapter[ToSupervisor] = TypeAdapter(Annotated[ToSupervisor, _by_kind])
_either: TypeAdapter[ToWorker | ToSupervisor] = TypeAdapter(Annotated[ToWorker | ToSupervisor, _by_kind])


def encode(message: ToWorker | ToSupervisor) -> bytes:
    """Encode a message of either direction.

    Raises:
        PacketError: The packet is longer than MAX_PACKET_BYTES.
    """
    packet = _either.dump_json(message, exclude_none=True)
    if len(packet) > MAX_PACKET_BYTES:
        raise PacketError(f"a packet of {len(packet)} bytes; at most {MAX_PACKET_BYTES} fit")
    return packet


def decode_to_worker(packet: bytes) -> ToWorker:
    """Decode a packet from the supervisor.

    Raises:
        PacketError: The packet is invalid.
    """
    try:
        return _to_worker.validate_json(packet)
    except ValidationError as error:
        raise PacketError(_reason(error)) from None


def decode_to_supervisor(packet: bytes) -> ToSupervisor:
    """Decode a packet from a worker.

    Raises:
        PacketError: The packet is invalid.
    """
    try:
        return _to_supervisor.validate_json(packet)
    except ValidationError as error:
        raise PacketError(_reason(error)) from None


def _reason(error: ValidationError) -> str:
    """The field and the fault, without the value, which may be a token or a prompt."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'packet'}: {first['msg']}"
