"""The scene of a chaos test: a whole running stack, callers in processes of their own, and means to break things."""

import asyncio
import json
import time
import wave
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT
from typing import Any
from uuid import uuid4

import httpx
from livekit import api
from livekit.protocol.room import ListRoomsRequest

from chassis.nats import Bus, BusUnavailable, Stored
from chassis.words import opened
from contracts.api import StartReply, StatsReply
from contracts.events import Event, SessionEnded
from contracts.registry import NodeState
from contracts.streams import KEYS, NODES, SLOTS
from contracts.subjects import ALL_SESSIONS
from greenroom_cli.call.audio import RATE, Samples
from greenroom_cli.call.voice import speak
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Part, Stack, StackOptions, running_stack, system_environment
from greenroom_cli.stack.process import StackProcess
from tests.chaos import checker
from tests.chaos.evidence import Evidence, Places
from tests.chaos.participant import Participant
from tests.chaos.session import Session

# What every scene has unless its module says otherwise. A call costs 0.15 of a core, and tests run on two.
ENVIRONMENT = {
    "WORKER_SILENCE_S": "1.5",  # as nodes in production have it
    "PREWARM_POOL_SIZE": "2",
    "NODE_SLOTS": "4",
    "SMART_TURN_STOP_SECS": "1",  # the models take one sentence in four of the sandbox's voice for unfinished
    "DRAIN_LIMIT_S": "0",
    "USER_IDLE_PROMPT_S": "0",  # callers wait for what is to happen, and say nothing
    "USER_IDLE_END_S": "0",
}
RESTORE_S = 60.0
MAX_BOTS = 50  # the default
POLL_S = 0.1
PROMPT = "You are Max, the friendly voice of a theatre."
OPENING = "Hello there!"


class Scene:
    """A running stack. Made by `opened`; `restore` brings it back to how it began."""

    def __init__(self, stack: Stack, bus: Bus, http: httpx.AsyncClient, control: httpx.AsyncClient, nodes: int) -> None:
        self.stack = stack
        self.bus = bus
        self.http = http
        self.log: dict[str, list[Stored]] = defaultdict(list)
        self.news = asyncio.Condition()
        self.ledger: dict[str, tuple[Any, ...]] = {}
        """Every row of the ledger that was ever seen, by its id; see `invariants`."""
        self._secrets: dict[str, str] = {}
        self._control = control
        self._nodes = nodes
        self._folder = stack.folder.path
        self._speech: dict[str, Path] = {}
        self._checked: Evidence | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, *, nodes: int, environment: Mapping[str, str]) -> AsyncGenerator["Scene"]:
        """Start a stack and stop it in the end, whatever happened."""
        options = StackOptions(nodes=nodes, environment=system_environment() | ENVIRONMENT | dict(environment))
        async with running_stack(folder, options) as stack:
            sandbox = stack.environment["INWORLD_HTTP_URL"]
            bus = await Bus.connect(stack.environment["NATS_URL"], name="chaos", graceful_timeout_s=1)
            async with (
                httpx.AsyncClient(base_url=stack.gateway_url, timeout=15, trust_env=False) as http,
                httpx.AsyncClient(base_url=f"{sandbox}/control", timeout=10, trust_env=False) as control,
            ):
                scene = cls(stack, bus, http, control, nodes)
                following = asyncio.create_task(scene._follow())
                try:
                    await scene.restore()
                    yield scene
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
                    await bus.close()

    # --- calls

    async def start(self, user: str = "Anna", **body: Any) -> Session:
        """Ask for a session through the gateway."""
        asked_at = time.monotonic()
        request = {"userName": user, "systemPrompt": PROMPT, "openingLine": OPENING, **body}
        answer = await self.http.post("/orchestrator/session/start", json=request)
        assert answer.status_code == 200, f"POST start answered {answer.status_code} {answer.text}"
        reply = StartReply.model_validate_json(answer.content)
        return Session(self, reply.session_id, reply.token, reply.server_url, asked_at)

    def participant(self) -> Participant:
        """A caller's process, not in any room yet."""
        return Participant(self._folder / "logs" / "callers.log")

    @asynccontextmanager
    async def call(self, user: str = "Anna", **body: Any) -> AsyncGenerator[tuple[Session, Participant]]:
        """A call that goes on: the caller is in the room and has heard the opening line to its end."""
        async with self.participant() as caller:
            session = await self.start(user, **body)
            await caller.join(session.url, session.token)
            await session.ready(1, deadline_s=15)
            began = await caller.heard(deadline_s=15)
            await caller.answered(after=began.at, deadline_s=15)
            yield session, caller

    async def speech(self, text: str, voice: str = "Edward") -> Path:
        """A wav file of these words."""
        if text not in self._speech:
            settings = Settings.of(self.stack.environment)
            assert settings.inworld_api_key is not None
            said = await speak(text, voice=voice, http_url=settings.inworld_http_url, api_key=settings.inworld_api_key)
            self._speech[text] = self.recording(said.samples)
        return self._speech[text]

    def recording(self, samples: Samples) -> Path:
        """A wav file of these samples."""
        file = self._folder / f"{uuid4().hex}.wav"
        _write_wav(file, samples.tobytes())
        return file

    # --- faults

    def node(self, node_id: str) -> StackProcess:
        """A node's supervisor; `signal(..., whole_session=True)` reaches its workers, too."""
        return self.stack.processes[node_id]

    @property
    def nodes(self) -> list[str]:
        return [name for name in self.stack.processes if name.startswith(Part.AGENT_RUNNER)]

    async def fault(self, service: str, kind: str, **more: Any) -> None:
        """Have the sandbox's answers go wrong; see `sandbox.faults.Fault`."""
        await self._order("POST", "faults", {"service": service, "kind": kind, **more})

    async def repair(self) -> None:
        """Have the sandbox's answers go right again."""
        await self._order("DELETE", "faults")

    async def disconnect(self, service: str, code: int | None = None) -> None:
        """Cut every connection that the sandbox has open as this service."""
        await self._order("POST", "disconnect", {"service": service, "code": code})

    async def answers(self, *texts: str) -> None:
        """What the model will answer next."""
        await self._order("POST", "replies", {"replies": list(texts)})

    async def traffic(self) -> dict[str, Any]:
        """What went through the sandbox."""
        return await self._order("GET", "state")

    # --- the state of the stack

    async def stats(self) -> StatsReply:
        answer = await self.http.get("/stats")
        assert answer.status_code == 200, answer.text
        return StatsReply.model_validate_json(answer.content)

    async def rooms(self) -> set[str]:
        """The names of LiveKit's rooms."""
        environment = self.stack.environment
        url = environment["LIVEKIT_URL"].replace("ws", "http", 1)
        async with api.LiveKitAPI(url, environment["LIVEKIT_API_KEY"], environment["LIVEKIT_API_SECRET"]) as livekit:
            listed = await livekit.room.list_rooms(ListRoomsRequest())
            return {room.name for room in listed.rooms}

    async def slots(self) -> set[str]:
        """The sessions that own a slot."""
        entries = await self.bus.bucket(SLOTS).all()
        return {json.loads(entry.data)["session_id"] for entry in entries.values()}

    async def registry(self) -> dict[str, NodeState]:
        """The live nodes as they describe themselves."""
        entries = await self.bus.bucket(NODES).all()
        return {name: NodeState.model_validate_json(entry.data) for name, entry in entries.items()}

    # --- between tests

    async def check(self) -> None:
        """Let the checker find no fault in all that this stack ever did; the last line of the `scene` fixture."""
        self._checked = await checker.check(
            Places.of(self.stack.environment),
            save=self._folder / "violated.json",
            max_bots=MAX_BOTS,
            earlier=self._checked,
        )

    async def restore(self) -> None:
        """As at the beginning: every process runs, no session is open, the pools are full, the sandbox is sound."""
        await self._order("POST", "reset")
        for process in self.stack.processes.values():
            if process.spec.ready is None:  # a migration, which is done
                continue
            if process.is_running:
                with suppress(ProcessLookupError):
                    process.signal(SIGCONT, whole_session=True)
            else:
                await process.wait()
                await process.start()
        await self._end_what_is_open()
        deadline = time.monotonic() + RESTORE_S
        while (missing := await self._missing()) is not None:
            assert time.monotonic() < deadline, f"the stack did not come back within {RESTORE_S:g} s: {missing}"
            await asyncio.sleep(POLL_S)

    async def _end_what_is_open(self) -> None:
        """What a failed test left behind."""
        for session_id in list(self.log):
            session = Session(self, session_id, "", "", 0.0)
            if not session.events(SessionEnded):
                with suppress(AssertionError):
                    await session.end()

    async def _missing(self) -> str | None:
        try:
            stats = await self.stats()
        except (AssertionError, httpx.HTTPError) as error:
            return f"/stats: {error}"
        if len(stats.pool) != self._nodes or stats.active or stats.starting or stats.queued:
            return str(stats)
        warm = int(self._node_environment()["PREWARM_POOL_SIZE"])
        sound = all(node.warm >= warm and not node.busy and not node.draining for node in stats.pool)
        return None if sound else str(stats.pool)

    def _node_environment(self) -> Mapping[str, str]:
        return self.node(self.nodes[0]).spec.environment

    async def _follow(self) -> None:
        async for stored in self.bus.replay(ALL_SESSIONS):
            self.log[stored.subject.rpartition(".")[2]].append(await self._opened(stored))
            async with self.news:
                self.news.notify_all()

    async def _opened(self, stored: Stored) -> Stored:
        """With the event's words; each session's key is read once, however long NATS is away."""
        event = stored.event
        if not isinstance(event, Event) or not getattr(event, "sealed", ""):
            return stored
        while event.session_id not in self._secrets:
            with suppress(BusUnavailable):
                entry = await self.bus.bucket(KEYS).get(event.session_id)
                self._secrets[event.session_id] = entry.value.secret if entry is not None and entry.value else ""
        return replace(stored, event=opened(event, self._secrets[event.session_id]))

    async def _order(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self._control.request(method, f"/{path}", json=body)
        assert answer.status_code < 300, f"the sandbox refused {method} {path}: {answer.text}"
        return answer.json() if answer.content else None


def _write_wav(file: Path, samples: bytes) -> None:
    with wave.open(str(file), "wb") as wav:
        wav.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        wav.writeframes(samples)
