"""What a LiveKit client in the caller's hands sees of the agent, and what the agent reads of the caller's."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from livekit import api, rtc

from agent_runner.link.messages import Turn
from contracts.ids import agent_identity, caller_identity
from tests.integration.agent_runner.worker_stage import Person, Sandbox, Worker, go
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer

Fork = Callable[..., Awaitable[Worker]]
New = Callable[[], Person]

OPENING = "Hello! How can I help you today?"
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen. "


@dataclass
class Client:
    """What a participant's client was sent."""

    states: list[str] = field(default_factory=list[str])
    kinds: set[int] = field(default_factory=set[int])
    streams: list[tuple[str, dict[str, str], str]] = field(default_factory=list[tuple[str, dict[str, str], str]])
    packets: dict[str, rtc.TranscriptionSegment] = field(default_factory=dict[str, rtc.TranscriptionSegment])
    _reading: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def watch(self, room: rtc.Room) -> "Client":
        def on_attributes(changed: dict[str, str], participant: rtc.Participant) -> None:
            if "lk.agent.state" in changed:
                self.kinds.add(participant.kind)
                self.states.append(changed["lk.agent.state"])

        def on_stream(reader: rtc.TextStreamReader, identity: str) -> None:
            self._reading.append(asyncio.create_task(self._read(reader, identity)))

        def on_packet(segments: list[rtc.TranscriptionSegment], *_: object) -> None:
            self.packets |= {segment.id: segment for segment in segments}

        room.on("participant_attributes_changed", on_attributes)
        room.on("transcription_received", on_packet)
        room.register_text_stream_handler("lk.transcription", on_stream)
        return self

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        with suppress(ConnectionError):  # the call ends within a caption
            text = await reader.read_all()
            self.streams.append((identity, dict(reader.info.attributes or {}), text))

    async def final(self, identity: str, n: int = 1) -> tuple[dict[str, str], str]:
        """The `n`th complete caption of this participant's words: its attributes, and the text."""

        def complete() -> list[tuple[dict[str, str], str]]:
            return [(a, t) for who, a, t in self.streams if who == identity and a["lk.transcription_final"] == "true"]

        await self.was_sent(lambda: len(complete()) >= n)
        return complete()[n - 1]

    async def was_sent(self, expected: Callable[[], bool]) -> None:
        """Wait for it; what LiveKit sends over several channels arrives in any order."""
        until = time.monotonic() + 10
        while not expected():
            assert time.monotonic() < until, f"{self}"
            await asyncio.sleep(0.02)


def agent_token(session: str) -> str:
    """As the scheduler mints it."""
    grants = api.VideoGrants(room_join=True, room=session, can_update_own_metadata=True)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(agent_identity(session)).with_grants(grants)
    return token.with_kind("agent").with_ttl(timedelta(minutes=10)).to_jwt()


async def type_in(person: Person, text: str) -> None:
    await person.room.local_participant.send_text(text, topic="lk.chat")


async def test_a_client_sees_the_agent_its_state_and_what_both_say_and_types_a_turn(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker, caller = await fork(), person()
    client = Client().watch(caller.room)
    await caller.enter(session)
    worker.send(go(livekit, session, token=agent_token(session)))
    await worker.heard(Turn)
    attributes, text = await client.final(agent_identity(session))
    assert text == OPENING
    agent = caller.room.remote_participants[agent_identity(session)]
    assert attributes["lk.transcribed_track_id"] in agent.track_publications
    await client.was_sent(lambda: client.packets[attributes["lk.segment_id"]].final)
    assert client.packets[attributes["lk.segment_id"]].text == OPENING
    await client.was_sent(lambda: client.states[-2:] == ["speaking", "listening"])
    assert client.kinds == {rtc.ParticipantKind.PARTICIPANT_KIND_AGENT}

    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon.", "Yes, I can read.", LONG, "All right."]})
    caller.say("What time is it?")
    assert (await worker.heard(Turn, 2)).user_text == "What time is it?"
    attributes, text = await client.final(caller_identity(session))
    assert text == "What time is it?"
    assert attributes["lk.transcribed_track_id"] in caller.room.local_participant.track_publications
    assert (await client.final(agent_identity(session), 2))[1] == "It is noon."
    await client.was_sent(lambda: client.states[-3:] == ["thinking", "speaking", "listening"])

    await type_in(caller, "Can you read this?")
    turn = await worker.heard(Turn, 3)
    assert (turn.user_text, turn.heard_text) == ("Can you read this?", "Yes, I can read.")
    assert (await sandbox.asked())[-1][-1] == {"role": "user", "content": "Can you read this?"}

    spoken = worker.beat.sent_bytes if worker.beat else 0
    await type_in(caller, "Please count.")
    await worker.spoke(spoken + 100_000)
    await type_in(caller, "Stop.")
    counted, stopped = await worker.heard(Turn, 4), await worker.heard(Turn, 5)
    assert (counted.user_text, counted.interrupted) == ("Please count.", True)
    assert 0 < len(counted.heard_text) < len(LONG) / 2
    assert (stopped.user_text, stopped.heard_text) == ("Stop.", "All right.")
    assert (await client.final(agent_identity(session), 4))[1] == counted.heard_text
    heard = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "assistant"]
    assert heard[-1] == counted.heard_text

    supervisor = await person().enter(session, "supervisor", has_microphone=False)
    asked = len(await sandbox.asked())
    await type_in(supervisor, "I am the caller.")
    await type_in(caller, "x" * 1001)
    await asyncio.sleep(1)
    assert len(await sandbox.asked()) == asked
    for n in range(12):
        await type_in(caller, f"Text {n}")
    await asyncio.sleep(2)
    typed = {m["content"] for messages in await sandbox.asked() for m in messages if m["role"] == "user"}
    assert 1 <= sum(text.startswith("Text ") for text in typed) <= 7


async def test_an_agent_without_the_grants_serves_the_call(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    """A scheduler of the version before mints its token."""
    grants = api.VideoGrants(room_join=True, room=session, can_publish_data=False, can_update_own_metadata=False)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(agent_identity(session)).with_grants(grants)
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, token=token.with_ttl(timedelta(minutes=10)).to_jwt()))
    assert (await worker.heard(Turn)).heard_text == OPENING
    assert caller.loud_s > 1
