"""The peers' stubs: recogniser, model and voice inside the process, in livekit-agents' classes.

They cost no network: the voice has whole sentences ready, and a transcript stands when the loudness has been gone for
STT_END_S. They answer at once unless told otherwise. Environment:

    PEER_LINES      a JSON file: sentence -> wav file (24 kHz, mono, 16 bit); those of OPENING and ANSWER among them
    PEER_REPLY      a file with the model's next reply; without it ANSWER
    PEER_STT_MS, PEER_LLM_FIRST_MS, PEER_LLM_TOKEN_MS, PEER_TTS_MS
                    ms from the end of a turn to its transcript, of the model's first token, between two tokens (words),
                    and from a text's first sentence to its audio; 0 where unset
    PEER_TURNS      vad: silence ends a turn; else the turn detector's version, v1-mini where unset
    PEER_WORDS_S    seconds of sound that hold words, 0.2 where unset; the recogniser hears nothing in a shorter one
"""

# pyright: basic, reportMissingImports=false

import asyncio
import json
import os
import re
import wave
from array import array
from pathlib import Path

from livekit.agents import Agent, inference, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

RATE = 24_000
LOUD = 1000
STT_END_S = 0.2
OPENING, ANSWER, QUESTION = "Hi Anna, how can I help you today?", "It is about a quarter past two.", "What time is it?"


def seconds(name: str) -> float:
    return float(os.environ.get(name, "0")) / 1000


def pcm(wav: str) -> bytes:
    with wave.open(wav, "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return file.readframes(file.getnframes())


class StubSTT(stt.STT):
    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    async def _recognize_impl(self, buffer, *, language, conn_options) -> stt.SpeechEvent:
        raise NotImplementedError("it only streams")

    def stream(self, *, language=None, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS):
        return StubRecognition(stt=self, conn_options=conn_options, sample_rate=16_000)


class StubRecognition(stt.RecognizeStream):
    async def _run(self) -> None:
        words_s, final_s = float(os.environ.get("PEER_WORDS_S", STT_END_S)), seconds("PEER_STT_MS")
        heard_s, quiet_s, has_words = 0.0, 0.0, False
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                continue
            samples = array("h", bytes(frame.data))
            if max(samples, default=0) > LOUD:
                heard_s, quiet_s = heard_s + quiet_s + frame.duration, 0.0
                if heard_s > words_s and not has_words:
                    has_words = True
                    self._tell(stt.SpeechEventType.INTERIM_TRANSCRIPT)
            elif heard_s:
                quiet_s += frame.duration
                if quiet_s >= STT_END_S:
                    if has_words:
                        asyncio.get_running_loop().call_later(final_s, self._tell, stt.SpeechEventType.FINAL_TRANSCRIPT)
                    heard_s, quiet_s, has_words = 0.0, 0.0, False

    def _tell(self, kind: stt.SpeechEventType) -> None:
        said = [stt.SpeechData(language="en", text=QUESTION)]
        self._event_ch.send_nowait(stt.SpeechEvent(kind, alternatives=said))


class StubLLM(llm.LLM):
    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return StubAnswer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class StubAnswer(llm.LLMStream):
    async def _run(self) -> None:
        reply = Path(os.environ["PEER_REPLY"]).read_text() if "PEER_REPLY" in os.environ else ANSWER
        await asyncio.sleep(seconds("PEER_LLM_FIRST_MS"))
        for token in re.findall(r"\s*\S+", reply):
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))
            await asyncio.sleep(seconds("PEER_LLM_TOKEN_MS"))


class StubTTS(tts.TTS):
    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE, num_channels=1)
        lines = json.loads(Path(os.environ["PEER_LINES"]).read_text())
        self.lines = {text: pcm(wav) for text, wav in lines.items()}

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return StubSpeech(tts=self, conn_options=conn_options)


class StubSpeech(tts.SynthesizeStream):
    """Speaks each sentence at its full stop, when livekit-agents' own tokenizer would not yet be sure of it."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, StubTTS)
        output_emitter.initialize(
            request_id="speech", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="speech")
        waiting, has_spoken = "", False
        async for text in self._input_ch:
            if not isinstance(text, str):
                continue
            waiting += text
            while sentence := re.match(r"\s*(.+?[.?!])(?=\s|$)", waiting):
                waiting = waiting[sentence.end() :]
                self._mark_started()
                if not has_spoken:
                    has_spoken = True
                    await asyncio.sleep(seconds("PEER_TTS_MS"))
                output_emitter.push(voice.lines[sentence.group(1)])
                output_emitter.flush()
        output_emitter.end_segment()


class Greeter(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful AI voice assistant.")

    async def on_enter(self) -> None:
        self.session.say(OPENING)


def turn_handling() -> dict:
    turns = os.environ.get("PEER_TURNS", "v1-mini")
    return {"turn_detection": "vad" if turns == "vad" else inference.TurnDetector(version=turns)}
