"""LiveKit's React components in Chromium: they show the agent's state, captions and chat. Needs Chromium and npm."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from agent_runner.link.messages import Turn
from contracts.ids import agent_identity, caller_identity
from gateway.adapters.livekit_tokens import CallerTokens
from scheduler.adapters.livekit_rooms import LiveKitRooms
from tests.integration.agent_runner.worker_stage import Fork, Sandbox, go
from tests.support.chromium import BROWSER, MISSING, arguments, microphone
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer

SOURCE = Path(__file__).parent / "front_end"
BUILT = Path(".tools/front_end")
PAGE = "<!doctype html><meta charset=utf-8><body><script src=page.js></script>"
OPENING = "Hello! How can I help you today?"

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason=MISSING),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: apt-get install nodejs npm"),
]


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=BUILT, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0, command


@pytest.fixture
async def page() -> Path:
    """The page's script, built with the locked packages."""
    BUILT.mkdir(parents=True, exist_ok=True)
    lock = BUILT / "package-lock.json"
    is_installed = lock.exists() and lock.read_bytes() == (SOURCE / "package-lock.json").read_bytes()
    for file in SOURCE.iterdir():
        shutil.copy(file, BUILT)
    if not (is_installed and (BUILT / "node_modules").exists()):
        await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    defines = '--define:process.env.NODE_ENV="production"'
    await run("npx", "esbuild", "page.jsx", "--bundle", "--jsx=automatic", defines, "--outfile=page.js")
    return BUILT / "page.js"


class Browser:
    """What the page shows, and what the test has it type."""

    def __init__(self, script: Path) -> None:
        self.shown: list[dict[str, Any]] = []
        self.to_type: list[str] = []
        self._script = script

    @asynccontextmanager
    async def opened(self, folder: Path, heard: Path, **query: str) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/page.js", self._code)
        app.router.add_post("/shown", self._report)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert BROWSER is not None
        process = await asyncio.create_subprocess_exec(
            BROWSER,
            "--headless=new",
            "--disable-gpu",
            *arguments(heard),
            f"--user-data-dir={folder / 'browser'}",
            f"http://127.0.0.1:{runner.addresses[0][1]}/?{urlencode(query)}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()
            await runner.cleanup()

    async def shows(self, expected: Callable[[dict[str, Any]], bool], timeout_s: float = 30) -> dict[str, Any]:
        """What the page showed when it first was as expected."""
        until = time.monotonic() + timeout_s
        while not (found := [shown for shown in self.shown if expected(shown)]):
            assert time.monotonic() < until, self.shown[-1:] or "the page shows nothing"
            await asyncio.sleep(0.05)
        return found[0]

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _code(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._script.read_text(), content_type="text/javascript")

    async def _report(self, request: web.Request) -> web.Response:
        self.shown.append(json.loads(await request.text()))
        return web.json_response({"type": self.to_type.pop(0) if self.to_type else None})


async def test_livekits_components_show_state_captions_and_chat(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, page: Path, tmp_path: Path
) -> None:
    rooms = LiveKitRooms(livekit.url, API_KEY, API_SECRET, session_ms=600_000, queue_s=30, deployment="browser")
    agent_token = rooms.agent_token(session, 1)
    await rooms.close()
    token = CallerTokens(API_KEY, API_SECRET, 600).mint(session, user_id="ann", name="Ann", now=datetime.now(UTC))
    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon.", "Yes, I can read."]})
    speech = microphone(tmp_path / "microphone.wav", "What time is it?", after_s=7)
    worker, browser = await fork(), Browser(page)

    async with browser.opened(tmp_path, speech, url=livekit.url, token=token):
        worker.send(go(livekit, session, token=agent_token))
        await browser.shows(lambda s: s["state"] == "speaking", timeout_s=60)
        greeted = await browser.shows(lambda s: s["agentSaid"] == [OPENING] and s["state"] == "listening")
        assert greeted["agent"] == agent_identity(session)
        await browser.shows(lambda s: s["state"] == "thinking")
        assert (await worker.heard(Turn, 2)).user_text == "What time is it?"
        await browser.shows(lambda s: [caller_identity(session), "What time is it?"] in s["captions"])
        await browser.shows(lambda s: [agent_identity(session), "It is noon."] in s["captions"])

        browser.to_type.append("Can you read this?")
        assert (await worker.heard(Turn, 3)).user_text == "Can you read this?"
        await browser.shows(lambda s: s["chat"] == ["Can you read this?"])
        await browser.shows(lambda s: s["agentSaid"][-1:] == ["Yes, I can read."])
