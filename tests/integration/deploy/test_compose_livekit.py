"""LiveKit as compose.yaml configures it, on a real livekit-server: rooms, media at NODE_IP, and TURN."""

# pyright: reportUnknownMemberType=false, reportAttributeAccessIssue=false

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from livekit import api, rtc
from livekit.protocol.rtc import SignalResponse

from chassis.livekit_probe import probe
from greenroom_cli.stack import binaries
from tests.support.compose import ROOT, service
from tests.support.servers import API_KEY, API_SECRET, Server, accepts, free_port, free_udp_port

TURN = "turn.voice.example"
ROOM = "session_compose"


def own_address() -> str:
    spec = importlib.util.spec_from_file_location("new_env", ROOT / "deploy" / "docker" / "new_env.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.own_address()


ADDRESS = own_address()
pytestmark = pytest.mark.skipif(ADDRESS.startswith("127."), reason="no network interface besides loopback is up")


class ComposeLiveKit(Server):
    """livekit-server with compose.yaml's environment; its ports are free ones, as Docker's would be mapped."""

    def __init__(self, folder: Path, **env: str) -> None:
        folder.mkdir()
        given = {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET, "NODE_IP": ADDRESS, **env}
        config: str = service("livekit", given)["environment"]["LIVEKIT_CONFIG"]
        ports = {"7880": free_port(), "7881": free_port(), "7882": free_udp_port(), "5349": free_port()}
        for written, port in ports.items():
            config = config.replace(f"port: {written}", f"port: {port}")
        self.port, self.turn_port = ports["7880"], ports["5349"]
        self.url = f"ws://{ADDRESS}:{self.port}"
        variables = [f"LIVEKIT_CONFIG={config}", f"NODE_IP={given['NODE_IP']}"]
        command = ["env", "-i", *variables, str(binaries.livekit_server())]
        super().__init__(command, lambda: accepts(self.port), folder / "livekit.log")

    def token(self, identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room=ROOM)
        token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants)
        return token.with_ttl(timedelta(minutes=10)).to_jwt()

    async def make_room(self) -> None:
        async with api.LiveKitAPI(self.url.replace("ws", "http", 1), API_KEY, API_SECRET) as livekit:
            await livekit.room.create_room(api.CreateRoomRequest(name=ROOM))

    async def ice_server(self) -> Any:
        """The ICE server that LiveKit tells a client which joins: urls, username, credential."""
        query = {"access_token": self.token("asker"), "protocol": "16", "sdk": "python"}
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{self.url}/rtc", params=query) as socket:
            answer = SignalResponse.FromString(await socket.receive_bytes(timeout=5))
            return next(server for server in answer.join.ice_servers if server.username)


@asynccontextmanager
async def joined(livekit: ComposeLiveKit, identity: str, **how: Any) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(livekit.url, livekit.token(identity), rtc.RoomOptions(connect_timeout=15, **how))
    try:
        yield room
    finally:
        await room.disconnect()


async def hears(listener: rtc.Room, speaker: rtc.Room) -> bool:
    """Whether a tone that one publishes reaches the other within 15 s."""
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    found: asyncio.Future[rtc.RemoteTrack] = asyncio.get_running_loop().create_future()
    listener.on("track_subscribed", lambda track, *_: found.done() or found.set_result(track))
    await speaker.local_participant.publish_track(track)
    wave = (np.sin(np.arange(480) / 480 * 2 * np.pi * 10) * 20_000).astype(np.int16)
    heard = False
    try:
        async with asyncio.timeout(15):
            stream = rtc.AudioStream(await found)
            until = time.monotonic() + 10
            async for event in stream:
                await source.capture_frame(rtc.AudioFrame(wave.tobytes(), 48_000, 1, 480))
                heard = bool(np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max() > 1000)
                if heard or time.monotonic() > until:
                    break
            await stream.aclose()
    except TimeoutError:
        return False
    finally:
        await source.aclose()
    return heard


Start = Callable[..., ComposeLiveKit]


@pytest.fixture
async def livekit(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[ComposeLiveKit] = []

    def start(**env: str) -> ComposeLiveKit:
        server = ComposeLiveKit(tmp_path / f"livekit-{len(started)}", **env)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill9()


async def test_a_room_is_made_by_the_gateway_alone(livekit: Start) -> None:
    facts = await probe(livekit().url, API_KEY, API_SECRET, deadline_s=5)

    assert (facts.accepts_key, facts.auto_create) == (True, False)


# The agents' containers share a network with LiveKit's: they need no way back through the host's published ports.
@pytest.mark.parametrize("node_ip", [ADDRESS, "198.51.100.7"], ids=["callers", "agents, where NODE_IP leads elsewhere"])
async def test_media_flows(livekit: Start, node_ip: str) -> None:
    server = livekit(NODE_IP=node_ip)
    await server.make_room()

    async with joined(server, "agent") as agent, joined(server, "caller") as caller:
        assert await hears(agent, caller)


async def test_a_client_that_may_only_use_turn_is_heard(livekit: Start) -> None:
    server = livekit(TURN_DOMAIN=TURN)
    await server.make_room()
    told = await server.ice_server()
    # Port 443 is Caddy's, which ends TLS: what it forwards is plain TURN over TCP.
    plain = rtc.IceServer(
        urls=[f"turn:{ADDRESS}:{server.turn_port}?transport=tcp"], username=told.username, password=told.credential
    )
    relayed = rtc.RtcConfiguration(ice_transport_type=rtc.IceTransportType.TRANSPORT_RELAY, ice_servers=[plain])

    async with joined(server, "agent") as agent, joined(server, "caller", rtc_config=relayed) as caller:
        assert await hears(agent, caller)

    assert list(told.urls) == [f"turns:{TURN}:443?transport=tcp"]
