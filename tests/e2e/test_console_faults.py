"""What the console says of a call that goes wrong: a slow answer, a take-over, a drain, a refused start, an erasure."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin

import httpx
from playwright.async_api import Browser, Page, expect

from contracts.api import StartReply
from greenroom_cli.call.audio import Speech
from greenroom_cli.call.participant import Call
from greenroom_cli.call.voice import speak
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Stack
from tests.e2e.console_pages import (
    MARKS,
    Faults,
    axe,
    chromium,
    hosts,
    open_page,
    overflow,
)
from tests.support.chromium import microphone

pytestmark = MARKS


NODE = "agent-runner"
LATENCY_MS = 2_000
CLOCK = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d"  # with the date of a day that is not today


async def test_each_thing_that_goes_wrong_is_explained(stack: Stack, settings: Settings, tmp_path: Path) -> None:
    async with (
        chromium(microphone(tmp_path / "unused.wav", "Hello", after_s=1)) as browser,
        httpx.AsyncClient(base_url=stack.gateway_url, timeout=20, trust_env=False) as api,
        Call(tmp_path / "heard.wav", lambda _frame: None) as line,
        node_again(stack),
    ):
        reply = await start(api, "Hopper")
        try:
            await line.join(reply.server_url, reply.token)
            await line.listen(30)  # the opening line
            page, faults = await open_page(
                browser, stack.gateway_url, f"/sessions/{reply.session_id}", hosts=hosts(stack)
            )
            await a_slow_answer_names_its_stage(page, line, settings)
            await a_take_over_is_seen_as_it_happens(page, api, reply.session_id)
            await the_only_node_drains_with_a_warning(stack, browser)
            await a_refused_start_says_why_and_what_to_do(stack, browser, api)
            await line.leave()  # before the end: LiveKit's client leaks the tracks of a room that is closed
            await page.get_by_role("button", name="End the session").click()
            await page.get_by_role("button", name="End it now").click()
            await expect(page.get_by_test_id("bill-credits")).to_be_visible(timeout=20_000)
            await expect(page.get_by_role("heading", level=1)).to_be_focused()  # its button went with the session
        finally:
            await line.leave()
            await api.post("/orchestrator/session/end", json={"sessionId": reply.session_id})
        await an_erased_session_says_what_is_gone(page, api, reply.session_id)
        assert await found_in(faults) == {}


async def found_in(faults: Faults) -> dict[str, list[str]]:
    """The page's faults. A gateway on a busy machine may answer 503 to a poll; the page asks again."""
    faults.errors = [error for error in faults.errors if "status of 503" not in error]
    return await faults.found()


@asynccontextmanager
async def node_again(stack: Stack) -> AsyncIterator[None]:
    """Start the node again for the tests after this one: it exits once it has drained."""
    process = stack.processes[NODE]
    try:
        yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                await process.wait()
        if not process.is_running:
            await process.start()


async def start(api: httpx.AsyncClient, user: str) -> StartReply:
    answer = await api.post("/orchestrator/session/start", json={"userName": user})
    assert answer.status_code == 200, answer.text
    return StartReply.model_validate_json(answer.content)


async def a_slow_answer_names_its_stage(page: Page, line: Call, settings: Settings) -> None:
    sandbox = urljoin(settings.groq_base_url, "/control/faults")
    speech = await speak(
        "What time is it?",
        voice="Craig",
        http_url=settings.inworld_http_url,
        api_key=settings.inworld_api_key or "",
    )
    async with httpx.AsyncClient(timeout=10, trust_env=False) as control:
        fault = {"service": "groq", "kind": "latency", "stage": "request", "latency_ms": LATENCY_MS}
        assert (await control.post(sandbox, json=fault)).is_success
        try:
            await asks_until_slow(page, line, speech)
        finally:
            assert (await control.delete(sandbox)).is_success
    verdict = page.get_by_role("table", name="Turns against the budget").get_by_role("row").filter(has_text="over")
    # On a busy machine another stage may have broken an earlier one.
    of_the_model = verdict.filter(has_text="because of model, first words")
    await expect(of_the_model.first).to_be_visible()


async def asks_until_slow(page: Page, line: Call, speech: Speech) -> None:
    """A caller who gets no answer asks again."""
    findings = page.get_by_role("list", name="In short")
    slow = re.compile(r"Turn \d took [\d.]+ s, .* over its budget of 1\.20 s: model, first words took [2-9]\.\d\d s")
    for patience_ms in (20_000, 20_000, 30_000):
        await line.say(speech)
        with suppress(AssertionError):
            await expect(findings).to_contain_text(slow, timeout=patience_ms)
            return
    await expect(findings).to_contain_text(slow)


async def a_take_over_is_seen_as_it_happens(page: Page, api: httpx.AsyncClient, session: str) -> None:
    detail = (await api.get(f"/v1/sessions/{session}")).json()
    os.kill(detail["agentPid"], signal.SIGKILL)

    findings = page.get_by_role("list", name="In short")
    await expect(findings).to_contain_text(
        "The agent was replaced 1 time; the call went on in epoch 2.", timeout=20_000
    )
    whole = page.get_by_role("table", name="The whole session")
    await expect(whole).to_contain_text("take-over by epoch 2")
    await expect(page.get_by_role("button", name="End the session")).to_be_visible()


async def the_only_node_drains_with_a_warning(stack: Stack, browser: Browser) -> None:
    page, faults = await open_page(browser, stack.gateway_url, "/nodes", hosts=hosts(stack))
    await page.get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("alertdialog")
    await expect(dialog).to_contain_text("No other node takes calls.")
    assert await axe(page) == []
    await dialog.get_by_label("Limit, in minutes").fill("5")
    await dialog.get_by_role("button", name="Drain the node").click()

    row = page.get_by_role("row").filter(has_text=NODE)
    await expect(row).to_contain_text("limit 5 min 00 s")
    drain = rf"Draining since {CLOCK}, ends at {CLOCK} at the latest, in 4 min \d\d s"
    await expect(row).to_contain_text(re.compile(drain))
    await expect(row.get_by_role("button", name="Change the limit")).to_be_visible()
    assert (await overflow(page), await found_in(faults)) == ({}, {})
    await page.context.close()


async def a_refused_start_says_why_and_what_to_do(stack: Stack, browser: Browser, api: httpx.AsyncClient) -> None:
    reply = await start(api, "Turing")
    page, faults = await open_page(browser, stack.gateway_url, f"/sessions/{reply.session_id}", hosts=hosts(stack))
    findings = page.get_by_role("list", name="In short")
    await expect(findings).to_contain_text("Waiting for a place")

    await expect(findings).to_contain_text(
        re.compile(
            r"This session never started: every node was draining \(rejected\), (8|9|\d\d) s after the request\."
        ),
        timeout=30_000,
    )
    await expect(findings).to_contain_text("What to do: Start it again when the deploy is done")
    await expect(findings).to_contain_text(f"The scheduler refused 1 node: {NODE}")
    assert (await axe(page), await found_in(faults)) == ([], {})
    await page.context.close()


async def an_erased_session_says_what_is_gone(page: Page, api: httpx.AsyncClient, session: str) -> None:
    await expect(page.get_by_role("button", name="Save as text")).to_be_visible()
    assert (await api.delete(f"/v1/sessions/{session}")).status_code == 200

    await page.reload()

    await expect(page.get_by_role("note", name="Erased session")).to_contain_text(
        re.compile(rf"were erased at {CLOCK}.*Gone: what was said.*Kept: every step", re.DOTALL)
    )
    await expect(page.get_by_text("The words of this session were erased.")).to_be_visible()
    await expect(page.get_by_role("button", name="Save as text")).to_have_count(0)
