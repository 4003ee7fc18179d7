"""What a worker's tests need: the sandbox, the forkserver, a supervisor's end of the link, a caller with a voice."""

import asyncio
import base64
import gzip
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from livekit import api, rtc
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_runner.adapters.worker_entry import enter
from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import (
    MAX_PACKET_BYTES,
    Beat,
    Faulty,
    Go,
    Provider,
    Ready,
    Recovered,
    ToSupervisor,
    decode_to_supervisor,
    encode,
)
from contracts.ids import agent_identity, caller_identity
from contracts.rooms import room_shape
from sandbox.speech.espeak import Espeak, Voice
from tests.support import commands
from tests.support.servers import LiveKitServer, Server

RATE = 24_000
LOUD = 500
DEADLINE_S = 20.0
SILENCE_AHEAD_S = 0.1
ENTRY = "agent_runner.worker.process.main:run"
PRELOAD = "agent_runner.preload"

M = TypeVar("M", bound=ToSupervisor)


class Sandbox(Server):
    """The three providers, on one port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port_file = folder / "port"
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--port-file", str(self._port_file)]
        super().__init__(command, self._port_file.exists, folder / "sandbox.log")

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self._port_file.read_text().strip()}"

    def environment(self, **changes: str) -> dict[str, str]:
        """The variables that point an agent at it."""
        return {
            "ASSEMBLY_API_KEY": "sandbox",
            "GROQ_API_KEY": "sandbox",
            "INWORLD_API_KEY": "sandbox",
            "ASSEMBLY_BASE_URL": f"ws://{self.address}/v3/ws",
            "GROQ_BASE_URL": f"http://{self.address}/openai/v1",
            "INWORLD_BASE_URL": f"ws://{self.address}/tts/v1/voice:streamBidirectional",
            "INWORLD_HTTP_URL": f"http://{self.address}",
            "SMART_TURN_STOP_SECS": "1",
            **changes,
        }

    def config(self, **changes: Any) -> AgentConfig:
        """An agent's configuration for it. It awaits words long: a busy machine's recogniser may take seconds."""
        one_model = dict.fromkeys(("LLM_MODEL", "LLM_FALLBACK_MODEL"), "openai/gpt-oss-120b")
        given = {name.lower(): value for name, value in self.environment(**one_model).items()}
        return AgentConfig.model_validate({"stt_silence_s": 20, **given, **changes})

    async def control(self, what: str, body: object) -> None:
        """One of its controls, such as `transcripts`."""
        async with httpx.AsyncClient() as client:
            (await client.post(f"http://{self.address}/control/{what}", json=body)).raise_for_status()

    async def state(self) -> dict[str, Any]:
        """What came in."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://{self.address}/control/state")).json()

    async def is_open(self, expected: dict[str, int]) -> None:
        """Wait until so many connections are open."""
        until = time.monotonic() + DEADLINE_S
        while (open_now := (await self.state())["open"]) != expected:
            assert time.monotonic() < until, f"{open_now}"
            await asyncio.sleep(0.05)

    async def is_left_alone(self) -> None:
        """Wait until every connection is closed."""
        await self.is_open({"assemblyai": 0, "groq": 0, "inworld": 0})

    async def asked(self) -> list[list[dict[str, Any]]]:
        """The messages of each request to the language model."""
        return [r["body"]["messages"] for r in (await self.state())["last_requests"] if r["service"] == "groq"]

    async def voice(self, text: str, voice_id: str, speaking_rate: float) -> NDArray[np.int16]:
        """How it speaks this line: samples at RATE."""
        audio = {"audioEncoding": "LINEAR16", "sampleRateHertz": RATE, "speakingRate": speaking_rate}
        body = {"text": text, "voiceId": voice_id, "modelId": "inworld-tts-1.5-max", "audioConfig": audio}
        async with httpx.AsyncClient(headers={"Authorization": "Basic sandbox"}) as client:
            answer = await client.post(f"http://{self.address}/tts/v1/voice", json=body)
        answer.raise_for_status()
        wav = base64.b64decode(answer.json()["audioContent"])
        return np.frombuffer(wav[44:], np.int16)


class Preloaded:
    """The forkserver, with the real preload."""

    def __init__(self) -> None:
        self._server: Any = getattr(forkserver, "_forkserver")  # noqa: B009 - private to typeshed
        try:
            if self._server._forkserver_pid is not None:
                os.waitid(os.P_PID, self._server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # reaped behind the standard library's back, by another test
            self._server._forkserver_pid = self._server._forkserver_address = self._server._forkserver_alive_fd = None
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOAD])

    @property
    def pid(self) -> int:
        assert self._server._forkserver_pid is not None
        return int(self._server._forkserver_pid)

    def fork(self, config: AgentConfig, entry: str = ENTRY) -> "Worker":
        """A worker, as the supervisor forks them."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = self._context.Process(target=enter, args=(entry, theirs, config), daemon=True)
        main = sys.modules["__main__"]
        sys.modules["__main__"] = type(sys)("__main__")  # pytest's own need not be imported in each worker
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
            theirs.close()
        return Worker(process, ours)

    def close(self) -> None:
        """End it; the standard library reaps it when it starts the next one."""
        if self._server._forkserver_pid is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


class Worker:
    """A worker as its supervisor sees it."""

    def __init__(self, process: Any, sock: socket.socket) -> None:
        self.process = process
        self.said: list[ToSupervisor] = []
        self.beat: Beat | None = None
        self.is_silent = asyncio.Event()  # its end of the socket is closed
        self._sock = sock
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._read)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def faulty(self) -> set[Provider]:
        """The providers that fail now, by its word."""
        failing: set[Provider] = set()
        for message in self.said:
            if isinstance(message, Faulty):
                failing.add(message.provider)
            elif isinstance(message, Recovered):
                failing.remove(message.provider)
        return failing

    def send(self, message: Any, *fds: int) -> None:
        socket.send_fds(self._sock, [encode(message)], fds)

    async def heard(self, kind: type[M], n: int = 1, timeout_s: float = DEADLINE_S) -> M:
        """Its `n`th message of this kind."""
        until = time.monotonic() + timeout_s
        while len(found := [m for m in self.said if isinstance(m, kind)]) < n:
            assert time.monotonic() < until, f"no {kind.__name__} number {n}; it said {self.said}"
            await asyncio.sleep(0.005)
        return found[n - 1]

    async def gone(self, timeout_s: float = DEADLINE_S) -> int:
        """Its exit code, once it has exited."""
        await asyncio.to_thread(self.process.join, timeout_s)
        assert self.process.exitcode is not None, f"still there after {timeout_s} s; it said {self.said}"
        return int(self.process.exitcode)

    def hang_up(self) -> None:
        """As if the supervisor were killed."""
        if self._sock.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def kill(self) -> None:
        self.hang_up()
        if self.process.is_alive():
            self.process.kill()
        self.process.join(5)

    def _read(self) -> None:
        try:
            packet = self._sock.recv(MAX_PACKET_BYTES + 1)
        except OSError:
            packet = b""
        if not packet:
            asyncio.get_running_loop().remove_reader(self._sock)
            self.is_silent.set()
            return
        message = decode_to_supervisor(packet)
        if isinstance(message, Beat):
            self.beat = message
        else:
            self.said.append(message)


class Person:
    """A participant with a voice and a recording of what it hears.

    Attributes:
        listens_since: When it last subscribed to the agent's audio, on the monotonic clock.
    """

    def __init__(self, livekit: LiveKitServer) -> None:
        self.room = rtc.Room()
        self.listens_since = 0.0
        self.left: list[str] = []
        self._livekit = livekit
        self._heard: list[tuple[float, NDArray[np.int16]]] = []
        self._loud_samples = 0
        self._source = rtc.AudioSource(48_000, 1, queue_size_ms=20_000)  # holds all that is said at once
        self._sent_until = 0.0
        self._to_say: asyncio.Queue[NDArray[np.int16]] = asyncio.Queue()
        self._gain = 0.0
        self._echo: deque[NDArray[np.int16]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None

    async def enter(
        self, session: str, identity: str | None = None, *, has_microphone: bool = True, subscribes: bool = True
    ) -> "Person":
        """Join as the caller, or under another identity, with an open microphone."""

        def on_track(track: rtc.Track, _publication: object, participant: rtc.RemoteParticipant) -> None:
            if participant.identity == agent_identity(session):
                if self._listening is not None:
                    self._listening.cancel()  # LiveKit keeps a killed agent's track for a while, with silence in it
                self.listens_since = time.monotonic()
                self._listening = asyncio.create_task(self._listen(track))
                self._tasks.append(self._listening)

        self.room.on("track_subscribed", on_track)
        self.room.on("participant_disconnected", lambda participant: self.left.append(participant.identity))
        identity = identity or caller_identity(session)
        options = rtc.RoomOptions(auto_subscribe=subscribes)
        await self.room.connect(self._livekit.url, self._livekit.token(session, identity), options)
        if not has_microphone:
            return self
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        await self.room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        self._tasks.append(asyncio.create_task(self._pump()))
        return self

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.room.disconnect()

    def say(self, text: str) -> float:
        """Say this from now on; returns how long it takes, in seconds."""
        return self.play(voice_of(text))

    def play(self, at_48k: NDArray[np.int16]) -> float:
        """Send these samples of 48 kHz from now on; returns how long they last, in seconds."""
        for start in range(0, len(at_48k), 480):
            chunk = at_48k[start : start + 480]
            self._to_say.put_nowait(np.pad(chunk, (0, 480 - len(chunk))))
        return len(at_48k) / 48_000

    async def type(self, text: str) -> None:
        """Take a turn at once, without the time that speech and its end take."""
        await self.room.local_participant.send_text(text, topic="lk.chat")

    def on_speakerphone(self, decibels: float, delay_s: float = 0.15) -> None:
        """From now on the microphone hears the agent, too, so much quieter and later."""
        self._gain = 10 ** (decibels / 20)
        self._echo.extend([np.zeros(480, np.int16)] * round(delay_s * 100))

    async def has_spoken(self) -> None:
        """Wait until all of it is sent, which on a busy host takes longer than its sound lasts."""
        while not self._to_say.empty() or self._ahead_s() > 0.02:  # noqa: ASYNC110 - the queue has no such event
            await asyncio.sleep(0.02)

    @property
    def recording(self) -> NDArray[np.int16]:
        """All it heard since the first track, samples at RATE."""
        return np.concatenate([samples for _, samples in self._heard] or [np.zeros(0, np.int16)])

    def heard_since(self, since: float) -> NDArray[np.int16]:
        """What it heard from this moment of the monotonic clock on, samples at RATE."""
        return np.concatenate([samples for at, samples in self._heard if at > since] or [np.zeros(0, np.int16)])

    @property
    def loud_s(self) -> float:
        """Seconds in which it heard a voice."""
        return self._loud_samples / RATE

    async def hears(self, voice_s: float) -> None:
        """Wait until it has heard a voice for so many seconds more."""
        enough, until = self.loud_s + voice_s, time.monotonic() + DEADLINE_S
        while self.loud_s < enough:
            assert time.monotonic() < until, f"{self.loud_s} s of {enough} s"
            await asyncio.sleep(0.02)

    async def hears_line(self, line: NDArray[np.int16], since: float = 0.0) -> None:
        """Wait until it has heard this line, samples at RATE, from this moment of the monotonic clock on."""
        # The agent tells what was heard before the caller's jitter buffer has played it.
        until = time.monotonic() + DEADLINE_S
        while (best := await asyncio.to_thread(resemblance, self.heard_since(since), line)) < 0.6:
            assert time.monotonic() < until, f"the line was not heard: {best:.2f}"
            await asyncio.sleep(0.2)

    @property
    def first_sound_at(self) -> float:
        """When it first heard a voice, on the monotonic clock."""
        return next(at for at, s in self._heard if np.abs(s.astype(np.int32)).max(initial=0) > LOUD)

    def _ahead_s(self) -> float:
        return self._sent_until - time.monotonic() - SILENCE_AHEAD_S

    async def _pump(self) -> None:
        """Send silence shortly ahead: speech begins at once. Send speech far ahead: a busy host tears no hole in it."""
        silence = np.zeros(480, np.int16)
        while True:
            if self._to_say.empty() or self._gain:
                await asyncio.sleep(max(0.0, self._ahead_s()))
            chunk = silence if self._to_say.empty() else self._to_say.get_nowait()
            if self._echo:
                chunk = chunk + self._echo.popleft()
            await self._source.capture_frame(rtc.AudioFrame(chunk.tobytes(), 48_000, 1, 480))
            self._sent_until = max(self._sent_until, time.monotonic()) + 0.01

    async def _listen(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            samples = np.frombuffer(event.frame.data, np.int16).copy()
            self._heard.append((time.monotonic(), samples))
            if np.abs(samples.astype(np.int32)).max(initial=0) > LOUD:
                self._loud_samples += len(samples)
            if self._gain:  # 10 ms
                self._echo.append((np.repeat(samples, 2) * self._gain).astype(np.int16))


Fork = Callable[..., Awaitable[Worker]]
Greet = Callable[..., Awaitable[tuple[Worker, Person]]]
New = Callable[[], Person]


class Collector:
    """An OTLP/HTTP collector that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Collector":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length:")[2].partition("\r\n")[0])
                body = await reader.readexactly(size)
                request = ExportTraceServiceRequest.FromString(
                    gzip.decompress(body) if "content-encoding: gzip" in head else body
                )
                self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


def voice_of(text: str) -> NDArray[np.int16]:
    """A caller's voice: samples at 48 kHz."""
    spoken = Espeak().speak(text, Voice("en-us"))
    samples = np.frombuffer(spoken.pcm, np.int16)
    at = np.arange(0, len(samples), spoken.sample_rate / 48_000)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


def without_pauses(samples: NDArray[np.int16], longest_s: float = 0.3) -> tuple[list[NDArray[np.int16]], list[float]]:
    """The parts of the sound between pauses of more than `longest_s`, and those pauses in seconds."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    if not len(loud):
        return [], []
    gaps = np.flatnonzero(np.diff(loud) > longest_s * RATE)
    parts = [part[[0, -1]] for part in np.split(loud, gaps + 1)]
    pauses_s = [float(after[0] - before[1]) / RATE for before, after in pairwise(parts)]
    return [samples[first : last + 1] for first, last in parts], pauses_s


def loud_s(samples: NDArray[np.int16]) -> float:
    """Seconds of this line in which there is a voice, as `Person.loud_s` counts them; samples at RATE."""
    size = RATE // 100
    peaks = np.abs(samples[: len(samples) // size * size].astype(np.int32)).reshape(-1, size).max(axis=1)
    return float((peaks > LOUD).sum()) / 100


def loudness(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """The root mean square of each 20 ms."""
    size = RATE // 50
    whole = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    return np.sqrt((whole**2).mean(axis=1))


def likeness(recording: NDArray[np.int16], spoken: NDArray[np.int16]) -> list[float]:
    """How well the line fits the recording at each place, by its loudness over time; 1.0 is the same."""
    heard, line = loudness(recording), loudness(spoken)
    line = (line - line.mean()) / (line.std() or 1)
    found: list[float] = []
    for at in range(max(0, len(heard) - len(line)) + 1):
        part = heard[at : at + len(line)]
        if len(part) == len(line) and part.std() > 0:
            found.append(float(((part - part.mean()) / part.std() * line).mean()))
    return found


def resemblance(recording: NDArray[np.int16], line: NDArray[np.int16]) -> float:
    """How well the line's waveform fits the recording where it fits best; below 0.4: another line, 1.0: the same.

    Each 0.2 s of it may be 0.25 s from its place: the jitter buffer of a busy host leaves sound out, or stretches it.
    """
    rate = RATE // 3  # enough for what a voice is recognised by, and cheap
    size, near, step = rate // 5, rate // 4, rate // 50
    heard, spoken = (each[: len(each) // 3 * 3].reshape(-1, 3).mean(axis=1) for each in (recording, line))
    places = [at for at in range(0, len(spoken) - size + 1, size) if rms(spoken[at : at + size]) > LOUD]
    if len(heard) < size or not places:
        return 0.0
    length = 1 << (len(heard) + size).bit_length()
    spectrum = np.fft.rfft(heard, length)
    sums = np.concatenate([[0.0], np.cumsum(heard**2)])
    loud = np.sqrt(np.maximum(sums[size:] - sums[:-size], size))
    starts = range(-near, len(heard) - size, step)
    fits = np.zeros(len(starts))
    for at in places:
        piece = spoken[at : at + size]
        product = np.fft.irfft(spectrum * np.conj(np.fft.rfft(piece, length)), length)[: len(loud)]
        fit = product / (loud * np.linalg.norm(piece))
        fits += [fit[max(0, start + at - near) : max(0, start + at + near)].max(initial=0.0) for start in starts]
    return float(fits.max() / len(places))


def rms(samples: NDArray[np.float64]) -> float:
    return float(np.sqrt((samples**2).mean()))


def go(livekit: LiveKitServer, session: str, **changes: Any) -> Go:
    """A first epoch's job."""
    given: dict[str, Any] = {
        "url": livekit.url,
        "token": livekit.token(session, agent_identity(session)),
        "system_prompt": "You are a kind assistant.",
        "opening_line": "Hello! How can I help you today?",
    }
    return commands.go(session, **(given | changes))


async def open_room(livekit: LiveKitServer, session: str) -> None:
    """Create it, as the gateway does."""
    rooms = livekit.rooms()
    await rooms.room.create_room(api.CreateRoomRequest(name=session, **room_shape(30)))
    await rooms.aclose()


async def delete_room(livekit: LiveKitServer, session: str) -> None:
    rooms = livekit.rooms()
    await rooms.room.delete_room(api.DeleteRoomRequest(room=session))
    await rooms.aclose()


async def ready(worker: Worker) -> Worker:
    """Wait until it waits."""
    assert (await worker.heard(Ready, timeout_s=40)).pid == worker.pid
    return worker
