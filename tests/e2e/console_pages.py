"""The console in Chromium: a browser whose microphone is a WAV file, and pages that remember their faults."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from greenroom_cli.stack import Stack
from tests.support.chromium import BROWSER, MISSING, arguments

BUILT = Path("console/dist/index.html")
AXE = Path("console/node_modules/axe-core/axe.min.js")
NARROW, WIDE = 400, 1280
SCHEMES = ("light", "dark")
MARKS = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
    pytest.mark.skipif(BROWSER is None, reason=MISSING),
    pytest.mark.skipif(
        not BUILT.exists() or not AXE.exists(), reason="the console is not built: install Node.js, then make install"
    ),
]

_FORBIDDEN = """() => {
    window.forbidden = [];
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        window.forbidden.push(`${violatedDirective} ${blockedURI}`);
    });
}"""


@dataclass
class Faults:
    """What a page must not do: errors in its console, answers of other hosts, and what its policy forbids."""

    page: Page
    hosts: set[str]
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("blob", "data") and url.netloc not in self.hosts:
            self.foreign.append(request.url)

    async def found(self) -> dict[str, list[str]]:
        forbidden: list[str] = await self.page.evaluate("() => window.forbidden")
        kinds = {"errors": self.errors, "foreign": self.foreign, "forbidden": forbidden}
        return {kind: found for kind, found in kinds.items() if found}


@asynccontextmanager
async def chromium(heard: Path) -> AsyncGenerator[Browser]:
    """The system's Chromium, whose microphone plays `heard` once."""
    assert BROWSER is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER,
            args=arguments(heard),
        )
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(
    browser: Browser, gateway: str, path: str, *, hosts: set[str], width: int = WIDE
) -> tuple[Page, Faults]:
    """A page of the console in its own context: nothing is kept of the pages before."""
    context = await browser.new_context(viewport={"width": width, "height": 860}, permissions=["microphone"])
    page = await context.new_page()
    page.set_default_timeout(30_000)
    faults = Faults(page, {urlsplit(gateway).netloc, *hosts})
    page.on("console", faults.on_console)
    page.on("pageerror", lambda error: faults.errors.append(str(error)))
    page.on("request", faults.on_request)
    page.on("websocket", lambda socket: _check(faults, socket.url))
    await context.add_init_script(f"({_FORBIDDEN})()")
    await page.goto(f"{gateway}/console{path}")
    return page, faults


def hosts(stack: Stack) -> set[str]:
    """Where the console's media may go."""
    return {urlsplit(stack.environment["LIVEKIT_URL"]).netloc}


def _check(faults: Faults, url: str) -> None:
    if urlsplit(url).netloc not in faults.hosts:
        faults.foreign.append(url)


async def axe(page: Page) -> list[str]:
    """The serious faults that axe-core finds on the page, in words."""
    await page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = await page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
    )
    return [
        f"{each['id']}: {node['html'][:160]} {json.dumps(node['any'][:1])[:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


async def overflow(page: Page) -> dict[str, int]:
    """By how many pixels the page is wider than a narrow window, each table than its place, and what stands out."""
    await page.set_viewport_size({"width": NARROW, "height": 800})
    found: dict[str, int] = await page.evaluate("""() => {
        const wider = (each) => each.scrollWidth - each.clientWidth;
        const page = document.documentElement.scrollWidth - window.innerWidth;
        const outside = [...document.querySelectorAll("body *")].filter((each) => !each.closest(".scroll, .chart")
            && each.getBoundingClientRect().right > window.innerWidth);
        return Object.fromEntries([["page", page],
            ...[...document.querySelectorAll(".scroll")].map((each) => [each.textContent.slice(0, 40), wider(each)]),
            ...(page > 0 ? outside.slice(0, 9).map((each) => [each.outerHTML.slice(0, 80), wider(each) || 1]) : []),
        ]);
    }""")
    return {what: wider for what, wider in found.items() if wider > 0}
