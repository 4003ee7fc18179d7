"""The voice service over a WebSocket of the test's: late words, refused texts, texts without audio."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pipecat.frames.frames import AggregatedTextFrame, Frame, TextType, TTSAudioRawFrame, TTSTextFrame
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text
from websockets.protocol import State

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.tts import TextToSpeech

# pyright: reportPrivateUsage=false

KEYS = {"assembly_api_key": "k", "groq_api_key": "k", "inworld_api_key": "k"}
SOUND = base64.b64encode(b"\x00\x10" * 2400).decode()


class Socket:
    """Sends the given messages to the client, and records the client's."""

    state = State.OPEN

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.to_send: list[dict[str, Any]] = []

    async def send(self, message: str) -> None:
        self.sent.append(json.loads(message))

    async def __aiter__(self) -> AsyncIterator[str]:
        while self.to_send:
            yield json.dumps({"result": self.to_send.pop(0)})

    def texts(self) -> list[tuple[str, str]]:
        return [(m["contextId"], m["send_text"]["text"]) for m in self.sent if "send_text" in m]


class Stage:
    def __init__(self) -> None:
        self.socket = Socket()
        self.tts = TextToSpeech.of(AgentConfig.model_validate(KEYS))
        self.tts._websocket = self.socket
        self.tts._sample_rate = 24_000
        self.faults: list[float] = []
        self.tts.on_fault = self.faults.append
        self.lost: list[float] = []
        self.tts.on_lost = self.lost.append

    async def say(self, context_id: str, *texts: str) -> None:
        for text in texts:
            async for _ in self.tts.run_tts(text, context_id):
                pass

    async def receive(self, *messages: dict[str, Any]) -> None:
        self.socket.to_send += messages
        await self.tts._receive_messages()

    async def items(self, context_id: str) -> list[Any]:
        manager, found = self.tts._audio_context_manager, list[Any]()
        while True:
            try:
                found.append(await manager.get(context_id, timeout=0.01))
            except TimeoutError:
                return found

    @property
    def wire_id(self) -> str:
        return self.socket.sent[-1]["contextId"]


@pytest.fixture
async def stage() -> Stage:
    return Stage()


def spoken(context_id: str, words: Sequence[str], starts: list[float], end: float) -> dict[str, Any]:
    alignment = {"words": [*words], "wordStartTimeSeconds": starts, "wordEndTimeSeconds": [*starts[1:], end]}
    chunk = {"audioContent": SOUND, "timestampInfo": {"wordAlignment": alignment}}
    return {"contextId": context_id, "audioChunk": chunk}


def event(context_id: str, name: str) -> dict[str, Any]:
    return {"contextId": context_id, "status": {"code": 0}, name: {}}


def refusal(context_id: str, code: int = 3, message: str = "too long") -> dict[str, Any]:
    return {"contextId": context_id, "status": {"code": code, "message": message}}


async def test_late_words_of_an_interrupted_answer_do_not_shift_the_next_ones(stage: Stage) -> None:
    await stage.say("a", "One two.")
    await stage.say("b", "Three four. ", "Five six.")
    await stage.receive(
        spoken("a", ["One", "two."], [0.0, 5.0], 9.0),
        spoken("b", ["Three", "four."], [0.0, 0.5], 1.0),
        event("a", "flushCompleted"),
        event("b", "flushCompleted"),
        spoken("b", ["Five", "six."], [0.0, 0.5], 1.0),
    )

    times = [item.timestamp for item in await stage.items("b") if isinstance(item, WordTimestamp)]
    assert times == [0.0, 0.5, 1.0, 1.5]


async def test_late_words_of_an_interrupted_answer_leave_no_trace(stage: Stage) -> None:
    await stage.say("a", "One two.")
    await stage.tts.on_audio_context_interrupted("a")
    stage.tts._audio_context_manager.remove("a")
    await stage.say("b", "Three four.")
    await stage.receive(
        spoken("a", ["One", "two."], [0.0, 5.0], 9.0),
        event("a", "flushCompleted"),
        spoken("b", ["Three", "four."], [0.0, 0.5], 1.0),
    )

    times = [item.timestamp for item in await stage.items("b") if isinstance(item, WordTimestamp)]
    assert times == [0.0, 0.5]


@pytest.mark.parametrize(
    ("batches", "text"),
    [
        (["您好|，|我|是|小明|。"], "您好，我是小明。"),
        (["こんにちは|。", "元気|です|か|？"], "こんにちは。元気ですか？"),
        (["안녕하세요|, |저는| |민수예요|."], "안녕하세요, 저는 민수예요."),
        (["One| |two|.", " Three| |four|."], "One two. Three four."),
        (["Please| |say| |你好| |to| |her| |now|."], "Please say你好to her now."),
        (["Please| |say| ", "你好", " to", " her| |now|."], "Please say你好to her now."),
        (["我|用|Visual| |Studio| |Code|写|代码|。"], "我用Visual Studio Code写代码。"),
        (["Hello| |there|.", "您好|。", "My| |name| |is| |John|."], "Hello there.您好。My name is John."),
    ],
)
async def test_each_word_has_the_space_of_its_script(stage: Stage, batches: list[str], text: str) -> None:
    """In what the context records, and in what the log and the captions show."""
    frames = list[Frame]()

    async def push(_service: object, frame: Frame, *_: object) -> None:
        frames.append(frame)

    words = [batch.split("|") for batch in batches]
    whole = "".join(map("".join, words))
    sentence = AggregatedTextFrame(whole, TextType.SENTENCE, raw_text=whole)
    sequencer = stage.tts._aggregated_frame_sequencer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TTSService, "push_frame", push)
        await stage.say("a", whole)
        await sequencer.register_spoken(sentence, "a", whole, append_to_context=True)
        await stage.receive(*(spoken("a", batch, [0.1 * n for n in range(len(batch))], 1.0) for batch in words))
        stage.tts._word_timestamp_tracker.start(0)
        for item in await stage.items("a"):
            if isinstance(item, WordTimestamp):
                at = (item.word, item.timestamp)
                await stage.tts._add_word_timestamps([at], "a", item.includes_inter_frame_spaces)

    told = [frame for frame in frames if isinstance(frame, TTSTextFrame)]
    parts = [TextPartForConcatenation(f.raw_text or f.text, f.includes_inter_frame_spaces) for f in told]
    assert concatenate_aggregated_text(parts) == text
    assert "".join(f.text if f.includes_inter_frame_spaces else f" {f.text}" for f in told).strip() == text


async def test_a_text_that_completes_without_audio_is_asked_for_again_and_in_pieces(stage: Stage) -> None:
    long = "Some words of a long text, which is said in pieces. " * 4
    await stage.say("a", long)
    await stage.receive(event("a", "flushCompleted"), event("a", "contextClosed"))
    again = stage.wire_id
    assert again != "a"
    assert stage.socket.texts()[1:] == [(again, long)]

    await stage.receive(event(again, "contextClosed"))
    shorter = stage.wire_id
    parts = [text for wire_id, text in stage.socket.texts() if wire_id == shorter]
    assert "".join(parts) == long
    assert len(parts) == 2

    await stage.receive(spoken(again, ["late"], [0.0], 1.0), spoken(shorter, long.split(), [0.0] * 44, 1.0))
    items = await stage.items("a")
    assert sum(isinstance(item, TTSAudioRawFrame) for item in items) == 1
    assert len(stage.faults) == 2


async def test_a_refused_text_is_asked_for_again_at_once(stage: Stage) -> None:
    await stage.say("a", "Hello there.")
    await stage.receive(event("a", "contextCreated"), refusal("a"))

    assert stage.socket.texts() == [("a", "Hello there."), (stage.wire_id, "Hello there.")]


async def test_only_the_unsaid_end_of_an_utterance_is_said_again(stage: Stage) -> None:
    await stage.say("a", "One two. ", "Three four. ", "Five.")
    await stage.receive(
        spoken("a", ["One", "two."], [0.0, 0.5], 1.0),
        event("a", "flushCompleted"),
        refusal("a"),
        event("a", "contextClosed"),
    )
    again = stage.wire_id
    assert [text for wire_id, text in stage.socket.texts() if wire_id == again] == ["Three four. ", "Five."]

    await stage.receive(
        spoken(again, ["Three", "four.", "Five."], [0.0, 0.5, 1.0], 1.5),
        event(again, "flushCompleted"),
        event(again, "contextClosed"),
    )
    times = [item.timestamp for item in await stage.items("a") if isinstance(item, WordTimestamp)]
    assert times == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert stage.tts._utterances["a"].is_whole


async def test_a_text_that_is_silent_in_every_form_is_given_up(stage: Stage) -> None:
    await stage.say("a", "Hello there.")
    for _ in range(3):
        await stage.receive(event(stage.wire_id, "contextCreated"), event(stage.wire_id, "contextClosed"))

    assert not stage.tts._utterances["a"].is_whole
    assert (await stage.items("a"))[-1] is None
    assert stage.tts.is_usable
    await stage.tts.on_audio_context_completed("a")
    assert len(stage.lost) == 1


async def test_what_was_heard_or_makes_the_voice_unusable_is_not_told_as_lost(stage: Stage) -> None:
    await stage.say("a", "Hello there.")
    await stage.receive(spoken("a", ["Hello", "there."], [0.0, 0.5], 1.0), event("a", "contextClosed"))
    await stage.tts.on_audio_context_completed("a")
    await stage.say("b", "Hello there.")
    for _ in range(3):
        await stage.receive(event(stage.wire_id, "contextCreated"), event(stage.wire_id, "contextClosed"))
    await stage.tts.set_usable(False)
    await stage.tts.on_audio_context_completed("b")

    assert stage.lost == []


async def test_a_text_without_words_is_not_asked_for_again(stage: Stage) -> None:
    await stage.say("a", "…")
    await stage.receive(event("a", "contextClosed"))

    assert stage.socket.texts() == [("a", "…")]


async def test_a_long_text_goes_out_in_messages_that_the_provider_takes(stage: Stage) -> None:
    await stage.say("a", "word " * 280)

    texts = [text for _, text in stage.socket.texts()]
    assert "".join(texts) == "word " * 280
    assert [len(text) for text in texts] == [1000, 400]


async def test_the_receive_loop_reads_what_is_no_json(stage: Stage) -> None:
    async def messages() -> AsyncIterator[str]:
        for message in ("garbage", "[]", '{"error": {"code": 1}}', '{"result": null}'):
            yield message

    assert len([message async for message in stage.tts._read(messages())]) == 4
    await asyncio.sleep(0)


async def test_a_refused_text_is_logged_without_the_providers_words(stage: Stage, said: list[str]) -> None:
    await stage.say("a", "Xylophone.")
    await stage.receive(refusal(stage.wire_id, message="cannot say Xylophone"))
    assert "a text was refused; try 1" in "".join(said)
    assert "Xylophone" not in "".join(said)


async def test_texts_before_the_first_connection_are_said_over_it_in_their_order(stage: Stage) -> None:
    tts, tries = stage.tts, list[None]()

    async def connect() -> None:
        tries.append(None)
        tts._websocket = stage.socket if len(tries) == 2 else None

    tts._websocket = None
    tts.on_recovery = lambda: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tts, "_connect", connect)
        speaking = [asyncio.create_task(stage.say(text, text)) for text in ("Hello.", "It is noon.")]
        await asyncio.sleep(0)
        await tts.arm("Ashley", 1.0, None)
        await asyncio.gather(*speaking)

    assert len(tries) == 2
    assert [text for _, text in stage.socket.texts()] == ["Hello.", "It is noon."]
