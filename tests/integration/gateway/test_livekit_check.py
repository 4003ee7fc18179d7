"""What the gateway finds out about a real LiveKit: automatic rooms, clocks, keys; and that it leaves nothing there."""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo

import aiohttp
import jwt
import pytest
from structlog.testing import capture_logs

from chassis.livekit_probe import LiveKitFacts, probe
from contracts.errors import CLOCK_SKEW, Refused
from contracts.rooms import room_shape
from gateway.adapters.livekit_check import report
from gateway.adapters.livekit_rooms import LiveKitRooms
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer


class _Ahead:
    """The module `datetime` on a machine whose clock is 90 s ahead."""

    timezone = timezone

    class datetime:  # noqa: N801 - the module's own name
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) + timedelta(seconds=90)


@pytest.fixture(scope="module")
def open_livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    """A LiveKit with automatic rooms, which is LiveKit's default."""
    folder = tmp_path_factory.mktemp("open-livekit")
    server = LiveKitServer(folder)
    config = json.loads((folder / "livekit.yaml").read_text())
    (folder / "livekit.yaml").write_text(json.dumps(config | {"room": {"auto_create": True}}))
    with server:
        yield server


async def rooms_of(server: LiveKitServer) -> list[object]:
    token = jwt.encode({"iss": API_KEY, "exp": int(time.time()) + 60, "video": {"roomList": True}}, API_SECRET)
    url = f"http://127.0.0.1:{server.port}/twirp/livekit.RoomService/ListRooms"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(url, json={}) as answer,
    ):
        return (await answer.json())["rooms"]


async def test_automatic_rooms_are_noticed_and_the_probe_makes_none(
    open_livekit: LiveKitServer, livekit_server: LiveKitServer
) -> None:
    opened = await probe(open_livekit.url, API_KEY, API_SECRET, deadline_s=3)
    closed = await probe(livekit_server.url, API_KEY, API_SECRET, deadline_s=3)

    assert (opened.auto_create, closed.auto_create) == (True, False)
    assert (opened.accepts_key, closed.accepts_key) == (True, True)
    assert (opened.unchecked, opened.skew, closed.skew) == ((), None, None)
    assert await rooms_of(open_livekit) == []
    with capture_logs() as lines:
        report(closed)
        assert not lines
        report(opened)
    assert "auto_create: false" in lines[0]["fix"]


@pytest.mark.parametrize("off_s", [90, -600])
async def test_a_wrong_clock_is_called_one_and_not_a_wrong_key(livekit_server: LiveKitServer, off_s: int) -> None:
    facts = await probe(livekit_server.url, API_KEY, API_SECRET, deadline_s=3, now=lambda: time.time() + off_s)

    assert facts.accepts_key is True, "by LiveKit's own clock the token is good"
    assert facts.auto_create is False
    assert facts.skew is not None
    assert f"{abs(off_s)} s" in facts.skew or f"{abs(off_s) + 1} s" in facts.skew or f"{abs(off_s) - 1} s" in facts.skew


async def test_a_wrong_key_and_a_silent_server_are_told_apart(livekit_server: LiveKitServer) -> None:
    refused = await probe(livekit_server.url, API_KEY, API_SECRET[::-1], deadline_s=3)
    silent = await probe("ws://127.0.0.1:9", API_KEY, API_SECRET, deadline_s=3)

    assert (refused.accepts_key, refused.auto_create) == (False, None)
    assert silent == LiveKitFacts(why_not=silent.why_not)
    assert silent.why_not


async def test_a_start_names_the_clock_when_it_is_wrong(
    livekit_server: LiveKitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = LiveKitRooms(
        livekit_server.url,
        API_KEY,
        API_SECRET,
        shape=room_shape(30),
        deadline_s=3,
        deployment="here",
        clock=lambda: time.time() + 90,
    )
    await rooms.open()
    monkeypatch.setattr("livekit.api.access_token.datetime", _Ahead)
    try:
        with pytest.raises(Refused) as refused:
            await rooms.create("session_clock")
    finally:
        await rooms.close()

    assert refused.value.problem is CLOCK_SKEW
    assert "ahead of LiveKit's" in refused.value.detail
