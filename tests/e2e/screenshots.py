"""The README's pictures of the console, from a real call: `make screenshots`.

With `--all FOLDER` also every page at both widths and in both schemes, for a look.
"""

import argparse
import asyncio
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment
from tests.e2e.conftest import CLOCK
from tests.e2e.console_pages import NARROW, SCHEMES, WIDE, chromium, open_page
from tests.support.chromium import microphone

IMAGES = Path("docs/images")
_SETTLED_MS = 700
# Its path is this run's temporary folder.
_WITHOUT_LOG_FILE = """() => {
    const name = [...document.querySelectorAll("dt")].find((each) => each.textContent === "Log file");
    name?.parentElement.setAttribute("hidden", "");
}"""
_SESSION_HEIGHT = 1240  # the start and the turns; the whole page is too long for a README


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", type=Path, metavar="FOLDER", help="also every page, width and scheme, into this folder"
    )
    everything: Path | None = parser.parse_args().all
    variables = {
        "PREWARM_POOL_SIZE": "2",
        "SANDBOX_CLOCK": CLOCK,
        "TRACE_URL": "http://localhost:16686/trace/{traceId}",
    }
    with tempfile.TemporaryDirectory() as folder:
        heard = microphone(Path(folder, "heard.wav"), "What time is it?", after_s=9)
        options = StackOptions(environment=system_environment() | variables)
        async with running_stack(Path(folder, "stack"), options) as stack, chromium(heard) as browser:
            session = await _pictures_of_a_call(stack, browser, everything)
            await _pictures_after_it(stack, browser, session, everything)


async def _pictures_of_a_call(stack: Stack, browser: Browser, everything: Path | None) -> str:
    hosts = {urlsplit(stack.environment["LIVEKIT_URL"]).netloc}
    page, _ = await open_page(browser, stack.gateway_url, "/talk", hosts=hosts)
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_label("Opening line").fill("Welcome to the green room.")
    await page.get_by_role("button", name="Start the call").click()
    captions = page.get_by_role("log", name="Captions")
    await expect(captions).to_contain_text(re.compile("four", re.IGNORECASE), timeout=60_000)
    await expect(page.get_by_test_id("agent-state")).to_contain_text("listening", timeout=20_000)
    await _picture_of_the_running_call(stack, browser, hosts, everything)
    await page.get_by_label("Type to the agent").fill("What can you do?")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_test_id("answers").get_by_role("listitem")).to_have_count(2, timeout=30_000)
    await _save(page, IMAGES / "console-talk.png", "light")
    if everything:
        await _each(page, everything, "talk")
    await page.get_by_role("button", name="End the call").click()
    await expect(page.get_by_test_id("bill-credits")).to_be_visible(timeout=30_000)
    if everything:
        await _each(page, everything, "talk-ended")
    await page.get_by_role("link", name="Everything about this call").click()
    return page.url.rpartition("/")[2]


async def _picture_of_the_running_call(
    stack: Stack, browser: Browser, hosts: set[str], everything: Path | None
) -> None:
    """After a spoken turn, whose time is known; a typed one's is not measured."""
    page, _ = await open_page(browser, stack.gateway_url, "/", hosts=hosts)
    row = page.get_by_role("table", name="Running sessions").get_by_role("row").filter(has_text="Grace")
    await expect(row).to_contain_text(re.compile(r"\d (ms|s).*credit"), timeout=20_000)
    await _save(page, IMAGES / "console-live.png", "dark")
    if everything:
        await _each(page, everything, "live")


async def _pictures_after_it(stack: Stack, browser: Browser, session: str, everything: Path | None) -> None:
    page, _ = await open_page(browser, stack.gateway_url, f"/sessions/{session}", hosts=set())
    await expect(page.get_by_test_id("bill-credits")).to_be_visible()
    await page.set_viewport_size({"width": WIDE, "height": _SESSION_HEIGHT})
    await page.evaluate(_WITHOUT_LOG_FILE)
    await _save(page, IMAGES / "console-session.png", "light", full_page=False)
    if not everything:
        return
    await _each(page, everything, "session")
    await page.goto(f"{stack.gateway_url}/console/nodes")
    await expect(page.get_by_role("table", name="Nodes")).to_be_visible()
    await _each(page, everything, "nodes")


async def _each(page: Page, folder: Path, name: str) -> None:
    for scheme in SCHEMES:
        for width in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": 860})
            await _save(page, folder / f"{name}-{scheme}-{width}.png", scheme)
    await page.set_viewport_size({"width": WIDE, "height": 860})


async def _save(page: Page, path: Path, scheme: str, *, full_page: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    await page.get_by_label("Colours").select_option(scheme)
    await page.evaluate("document.activeElement?.blur()")
    await page.wait_for_timeout(_SETTLED_MS)
    await page.screenshot(path=path, full_page=full_page)


if __name__ == "__main__":
    asyncio.run(main())
