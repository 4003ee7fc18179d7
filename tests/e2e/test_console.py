"""The console in Chromium: a whole call from the Talk page, and what the other pages say of it."""

import asyncio
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from greenroom_cli.stack import Stack
from tests.e2e.console_pages import (
    MARKS,
    NARROW,
    SCHEMES,
    WIDE,
    axe,
    chromium,
    hosts,
    open_page,
    overflow,
)
from tests.support.chromium import microphone

pytestmark = MARKS

KEY = "a-key-for-the-console-of-32-bytes"
ANSWER = re.compile("four", re.IGNORECASE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    heard = microphone(tmp_path_factory.mktemp("microphone") / "heard.wav", "What time is it?", after_s=9)
    async with chromium(heard) as running:
        yield running


async def test_a_whole_call_from_the_talk_page(stack: Stack, browser: Browser) -> None:
    page, faults = await open_page(browser, stack.gateway_url, "/talk", hosts=hosts(stack))
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_label("Opening line").fill("Welcome to the green room.")
    await page.get_by_label("Limit, in minutes").fill("5")
    starts: list[str] = []
    page.on("request", lambda request: starts.append(request.url) if request.url.endswith("/session/start") else None)
    await page.get_by_role("button", name="Start the call").dblclick()

    await expect(page.get_by_test_id("first-audio")).to_have_text(re.compile(r"^[\d.]+ m?s$"), timeout=30_000)
    assert len(starts) == 1
    captions = page.get_by_role("log", name="Captions")
    await expect(captions).to_contain_text("Welcome to the green room.", timeout=20_000)
    live, live_faults = await open_page(browser, stack.gateway_url, "/", hosts=hosts(stack))
    running = live.get_by_role("row").filter(has_text="Grace")
    await expect(running).to_contain_text("In call")
    await expect(live.get_by_role("status").filter(has_text="Live")).to_be_visible()

    await page.get_by_role("link", name="Live").click()
    await expect(page.get_by_role("heading", level=1, name="Live")).to_be_focused()
    await page.get_by_role("link", name="Talk, in call").click()

    await expect(captions).to_contain_text(ANSWER, timeout=40_000)
    await expect(page.get_by_test_id("answers").get_by_role("listitem")).to_have_count(1)
    await expect(page.get_by_test_id("agent-state")).to_contain_text("listening", timeout=20_000)
    await page.get_by_label("Type to the agent").fill("What time is it?")
    await page.get_by_role("button", name="Send").click()
    await expect(captions).to_contain_text("You, typed")
    await expect(page.get_by_test_id("answers").get_by_role("listitem")).to_have_count(2, timeout=30_000)

    await page.get_by_role("button", name="End the call").click()
    await expect(page.get_by_test_id("bill-credits")).to_have_text(re.compile(r"^\d credits?$"), timeout=30_000)
    await expect(page.get_by_role("heading", level=1, name="Talk")).to_be_focused()  # the call's buttons have gone
    await expect(page.get_by_role("status").filter(has_text="The call has ended.")).to_be_attached()
    await expect(running).to_contain_text("Completed", timeout=15_000)
    assert (await faults.found(), await live_faults.found()) == ({}, {})

    await page.get_by_role("link", name="Everything about this call").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Grace")
    session = page.url.rpartition("/")[2]
    await page.reload()  # the Talk page stays behind the others, with its own bill
    await _the_session_page_has_the_apis_numbers(stack, page, session)
    assert await faults.found() == {}
    await _every_page_is_sound(stack, browser, session)


async def _the_session_page_has_the_apis_numbers(stack: Stack, page: Page, session: str) -> None:
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as api:
        detail = (await api.get(f"/v1/sessions/{session}")).json()
        timeline = (await api.get(f"/v1/sessions/{session}/timeline")).json()
        bill = (await api.get(f"/billing/sessions/{session}")).json()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Grace")
    await expect(page.get_by_test_id("served")).to_have_text(served(bill["seconds"]))
    assert detail["durationSeconds"] == bill["seconds"]
    await expect(page.get_by_test_id("bill-credits")).to_have_text(re.compile(f"^{bill['credits']} credits?$"))
    start = page.get_by_role("table", name="Stages of the start")
    for stage in timeline["start"]:
        row = start.get_by_role("row").filter(has_text=stage["label"])
        await expect(row.last.get_by_role("cell").last).to_have_text(shown(stage["endMs"] - stage["beginMs"]))
    await expect(page.get_by_role("region", name="From the POST to the bill").locator("header")).to_contain_text(
        f"{shown(detail['startMs'])} to the first audio"
    )
    assert len(timeline["turns"]) >= 2
    for turn in timeline["turns"]:
        if turn["totalMs"] is not None:
            await expect(page.get_by_test_id(f"turn-{turn['n']}")).to_have_text(shown(turn["totalMs"]))
    await expect(page.get_by_role("region", name="Transcript")).to_contain_text("Welcome to the green room.")
    await expect(page.get_by_role("region", name="Every step").get_by_role("listitem").first).to_be_visible()


def shown(ms: int) -> str:
    """A latency as the console writes it."""
    if ms < 1000:
        return f"{ms} ms"
    digits = "0.01" if ms < 9_995 else "0.1"
    return f"{Decimal(ms / 1000).quantize(Decimal(digits), ROUND_HALF_UP)} s"


def served(seconds: int) -> str:
    """A duration as the console writes it."""
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02} s"


async def _every_page_is_sound(stack: Stack, browser: Browser, session: str) -> None:
    """No serious fault by axe in either scheme, nothing wider than 400 px, and nothing that the policy forbids."""
    problems: dict[str, Any] = {}
    shows: tuple[tuple[str, Literal["table", "heading"], str], ...] = (
        ("/", "table", "Recent sessions"),
        (f"/sessions/{session}", "table", "Turns against the budget"),
        ("/nodes", "table", "Nodes"),
        ("/talk", "heading", "The call"),
    )
    for path, role, name in shows:
        page, faults = await open_page(browser, stack.gateway_url, path, hosts=hosts(stack))
        await expect(page.get_by_role(role, name=name)).to_be_visible()
        await page.wait_for_timeout(500)
        await page.locator("details").evaluate_all("all => all.forEach(each => (each.open = true))")
        for scheme in SCHEMES:
            await page.get_by_label("Colours").select_option(scheme)
            problems[f"axe {path} {scheme}"] = await axe(page)
        problems[f"{path} at {NARROW} px"] = await overflow(page)
        await page.set_viewport_size({"width": WIDE, "height": 800})
        text = await page.inner_text("body")
        if path == "/nodes":
            problems["axe of an open dialog"] = await _axe_of_dialog(page, "Drain", "Cancel")
        problems[f"{path} text"] = re.findall(r"\b(?:undefined|NaN|null|\[object)\b", text)
        problems[f"{path} faults"] = await faults.found()
        await page.context.close()
    assert {where: found for where, found in problems.items() if found} == {}


async def _axe_of_dialog(page: Page, opens: str, closes: str) -> list[str]:
    await page.get_by_role("button", name=opens).first.click()
    await expect(page.get_by_role("alertdialog")).to_be_visible()
    found = await axe(page)
    await page.get_by_role("alertdialog").get_by_role("button", name=closes, exact=True).click()
    await expect(page.get_by_role("alertdialog")).to_be_hidden()
    return found


async def test_the_console_asks_for_a_key_and_keeps_it_in_the_tab(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    async with AnotherGateway(stack, tmp_path, keys=KEY) as url:
        page, faults = await open_page(browser, url, "/nodes", hosts=hosts(stack))
        await expect(page.get_by_role("heading", name="API key")).to_be_visible()
        assert await axe(page) == []
        await page.get_by_label("Key", exact=True).fill("not-the-key-of-this-gateway-at-all")
        await page.get_by_role("button", name="Open the console").click()
        await expect(page.get_by_role("alert")).to_contain_text("does not know this key")

        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.get_by_label("Key", exact=True).press("Enter")
        await expect(page.get_by_role("table", name="Nodes")).to_be_visible()
        assert KEY not in page.url
        assert (
            await page.evaluate("() => JSON.stringify(localStorage) + document.cookie")
            == '{"greenroom.theme":"system"}'
        )
        await page.reload()
        await expect(page.get_by_role("table", name="Nodes")).to_be_visible()
        another = await page.context.new_page()
        await another.goto(f"{url}/console")
        await expect(another.get_by_role("heading", name="API key")).to_be_visible()

        await page.get_by_role("button", name="Forget key").click()
        await expect(page.get_by_role("heading", name="API key")).to_be_visible()
        assert await faults.found() == {}
        await _a_call_outlives_its_key_and_a_failed_end(page)


async def _a_call_outlives_its_key_and_a_failed_end(page: Page) -> None:
    await page.get_by_role("link", name="Talk").click()
    await page.get_by_label("Key", exact=True).fill(KEY)
    await page.get_by_label("Key", exact=True).press("Enter")
    await page.get_by_role("button", name="Start the call").click()
    await expect(page.get_by_test_id("first-audio")).to_have_text(re.compile(r"^[\d.]+ m?s$"), timeout=30_000)

    assert await _axe_of_dialog(page, "Forget key", "Forget it") == []
    await expect(page.get_by_role("heading", name="API key")).to_be_visible()
    await expect(page.get_by_role("button", name="End the call")).to_be_visible()
    await page.get_by_label("Key", exact=True).fill(KEY)
    await page.get_by_label("Key", exact=True).press("Enter")
    await expect(page.get_by_role("heading", name="API key")).to_be_hidden()
    await page.route("**/orchestrator/session/end", lambda route: route.abort())
    await page.get_by_role("button", name="End the call").click()
    await expect(page.get_by_role("alert")).to_contain_text("It may have done what was asked")
    await expect(page.get_by_role("status").filter(has_text="The call has ended.")).not_to_be_attached()
    await page.unroute("**/orchestrator/session/end")
    await page.get_by_role("button", name="End the call").click()
    await expect(page.get_by_test_id("bill-credits")).to_have_text(re.compile(r"^\d credits?$"), timeout=30_000)


async def test_a_lost_connection_is_said_and_found_again(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    gateway = AnotherGateway(stack, tmp_path, keys="")
    async with gateway:
        page, _ = await open_page(browser, gateway.url, "/", hosts=hosts(stack))
        await expect(page.get_by_text("Recent sessions")).to_be_attached()
        async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=30) as api:
            started = (await api.post("/orchestrator/session/start", json={"userName": "Gap"})).json()
            of_gap = page.get_by_role("row").filter(has_text="Gap")
            running = page.get_by_role("table", name="Running sessions")
            await expect(running).to_contain_text("Gap")
            await gateway.stop()
            await expect(page.get_by_text("Connection lost")).to_be_visible()
            ended = await api.post("/orchestrator/session/end", json={"sessionId": started["sessionId"]})
        assert ended.status_code == 200
        await gateway.start()
        await expect(page.get_by_text("Connection lost")).to_be_hidden(timeout=30_000)
        await expect(page.get_by_role("table", name="Recent sessions")).to_contain_text("Gap")
        await expect(of_gap).to_have_count(1)


class AnotherGateway:
    """A second gateway of the stack, on its own port."""

    def __init__(self, stack: Stack, folder: Path, keys: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        given = stack.processes["gateway"].spec.environment
        self._environment = {**given, "PORT": str(port), "GREENROOM_API_KEYS": keys}
        self._log = folder / "gateway.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.app", env=self._environment, stdout=log, stderr=log
            )
        until = time.monotonic() + 30
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                try:
                    if (await client.get(f"{self.url}/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                assert time.monotonic() < until, self._log.read_text()[-2000:]
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
