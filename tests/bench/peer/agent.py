"""The peer: a livekit-agents worker whose services answer at once. Runs in its own virtual environment.

    python agent.py start

Turn taking is livekit-agents' own, local as ours: its Silero VAD and its turn detector v1-mini. The services are in the
process and cost no network: at once on request the voice has the whole sentence, and a transcript stands when the
loudness has been gone for STT_END_S. Environment: LIVEKIT_*, and

    PEER_OPENING, PEER_ANSWER   wav files (24 kHz, mono, 16 bit) of the first line and of every answer
    PEER_PORT                   of its health page
"""

# pyright: basic, reportMissingImports=false

import asyncio
import logging
import os
import wave
from array import array

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli, inference, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

AGENT_NAME = "bench"
IDLE_PROCESSES = 3
RATE = 24_000
LOUD = 1000
STT_END_S = 0.2
OPENING, ANSWER, QUESTION = "Hi Anna, how can I help you today?", "It is about a quarter past two.", "What time is it?"


def pcm(name: str) -> bytes:
    with wave.open(os.environ[name], "rb") as file:
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
        heard_s, quiet_s = 0.0, 0.0
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                continue
            samples = array("h", bytes(frame.data))
            if max(samples, default=0) > LOUD:
                heard_s, quiet_s = heard_s + frame.duration, 0.0
                continue
            quiet_s += frame.duration
            if heard_s > STT_END_S and quiet_s >= STT_END_S:
                heard_s = 0.0
                said = [stt.SpeechData(language="en", text=QUESTION)]
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=said))


class StubLLM(llm.LLM):
    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return StubAnswer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class StubAnswer(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=ANSWER)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


class StubTTS(tts.TTS):
    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE, num_channels=1)
        self.opening, self.answer = pcm("PEER_OPENING"), pcm("PEER_ANSWER")

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return StubSpeech(tts=self, conn_options=conn_options)


class StubSpeech(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, StubTTS)
        output_emitter.initialize(
            request_id="speech", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="speech")
        has_spoken = False
        async for text in self._input_ch:
            if isinstance(text, str) and not has_spoken:
                has_spoken = True
                self._mark_started()
                output_emitter.push(voice.opening if text.startswith("Hi") else voice.answer)
                output_emitter.flush()
        output_emitter.end_segment()


class Greeter(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful AI voice assistant.")

    async def on_enter(self) -> None:
        self.session.say(OPENING)


def set_up(process: JobProcess) -> None:
    process.userdata["vad"] = inference.VAD()


server = AgentServer(
    num_idle_processes=IDLE_PROCESSES,
    load_fnc=lambda _server: 0.1,  # a busy machine would otherwise be given fewer idle processes
    host="127.0.0.1",
    port=int(os.environ.get("PEER_PORT", "0")),
    setup_fnc=set_up,
)


@server.rtc_session(agent_name=AGENT_NAME)
async def call(context: JobContext) -> None:
    logging.getLogger("bench").info("bench job %s pid %d", context.room.name, os.getpid())
    session = AgentSession(
        stt=StubSTT(),
        llm=StubLLM(),
        tts=StubTTS(),
        vad=context.proc.userdata["vad"],
        turn_handling={"turn_detection": inference.TurnDetector(version="v1-mini")},
        user_away_timeout=None,
    )
    # Connecting while the session starts is the quicker order of the two that are documented.
    await asyncio.gather(session.start(agent=Greeter(), room=context.room, record=False), context.connect())


if __name__ == "__main__":
    cli.run_app(server)
