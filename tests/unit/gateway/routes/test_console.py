"""`/console` and `GET /v1/console`: the files, what the page may load, and what it learns before it has a key."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.domain.access import AccessRules, parse_keys
from gateway.routes.services import Shown
from gateway.settings import Settings
from tests.support.gateway.world import World

KEY, READER = "k" * 32, "r" * 32
RULES = AccessRules(parse_keys([KEY, f"{READER}[billing:read]"]))
PAGE = '<!doctype html><html><head><base href="/console/" /></head><body><script src="./assets/index-abc.js"></script>'
Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "index-abc.js").write_text("export {};")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    return tmp_path


@pytest.fixture
def client(world: World, folder: Path) -> Client:
    def make(
        rules: AccessRules = RULES, *, at: Path = folder, root_path: str = "", url: str = "wss://livekit.example:7443"
    ) -> httpx.AsyncClient:
        app = world.app(rules, root_path=root_path)
        shown = Shown(needs_key=bool(rules.keys), deployment="west", trace_url="http://jaeger/trace/{traceId}")
        app.state.services = replace(app.state.services, console=shown, console_folder=at, client_url=url)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000")

    return make


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/sessions/session_a", "/console/talk"])
async def test_every_address_of_the_console_is_its_page_and_needs_no_key(client: Client, path: str) -> None:
    async with client() as api:
        page = await api.get(path)
        head = await api.head(path)

    assert (page.status_code, page.text) == (200, PAGE)
    assert (head.status_code, page.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize("kept", ["", "/voice"], ids=["the proxy strips it", "the proxy keeps it"])
async def test_a_prefix_stands_before_the_pages_files(client: Client, kept: str) -> None:
    async with client(root_path="/voice") as api:
        page = await api.get(f"{kept}/console/nodes")
        script = await api.get(f"{kept}/console/assets/index-abc.js")

    assert '<base href="/voice/console/" />' in page.text
    assert script.text == "export {};"


async def test_a_file_with_a_hash_in_its_name_is_kept_for_ever_and_others_are_checked(client: Client) -> None:
    async with client() as api:
        script = await api.get("/console/assets/index-abc.js")
        icon = await api.get("/console/favicon.svg")
        again = await api.get("/console/favicon.svg", headers={"If-None-Match": icon.headers["etag"]})

    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (icon.headers["cache-control"], again.status_code) == ("no-cache", 304)
    assert {answer.headers["x-content-type-options"] for answer in (script, icon)} == {"nosniff"}


@pytest.mark.parametrize(
    "path", ["/console/assets/gone.js", "/console/../settings.py", "/console/%2e%2e/%2e%2e/etc/passwd.txt"]
)
async def test_a_missing_file_is_a_problem_and_no_path_leaves_the_folder(client: Client, path: str) -> None:
    async with client(AccessRules()) as api:
        answer = await api.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_page_may_load_its_own_files_and_reach_the_gateway_and_livekit_alone(client: Client) -> None:
    async with client() as api:
        policy = (await api.get("/console")).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "connect-src 'self' wss://livekit.example:7443 https://livekit.example:7443;" in policy
    assert not [word for word in ("unsafe", "data:", "blob:", "*", "'nonce") if word in policy]


async def test_with_livekit_cloud_the_page_may_follow_to_the_servers_of_its_region(client: Client) -> None:
    async with client(url="wss://mine.livekit.cloud") as api:
        policy = (await api.get("/console")).headers["content-security-policy"]

    assert "connect-src 'self' wss://mine.livekit.cloud https://mine.livekit.cloud wss://*.livekit.cloud" in policy


async def test_without_built_files_the_page_says_how_to_build_them(client: Client, tmp_path: Path) -> None:
    async with client(at=tmp_path / "dist", root_path="/voice") as api:
        page = await api.get("/console")

    assert page.status_code == 503
    assert "make install" in page.text
    assert 'href="/voice/docs"' in page.text


async def test_before_a_key_the_console_learns_only_that_it_needs_one(client: Client) -> None:
    async with client() as api:
        unknown = [await api.get("/v1/console"), await api.get("/v1/console", headers={"X-API-Key": "x" * 32})]
        limited = await api.get("/v1/console", headers={"X-API-Key": READER})

    for answer in unknown:
        assert (answer.status_code, answer.json()["needsKey"], answer.json()["scopes"]) == (200, True, [])
    assert limited.json()["scopes"] == ["billing:read"]
    for answer in (*unknown, limited):
        hidden = ("deployment", "traceUrl", "creditsPerMinute", "voices")
        assert [answer.json()[name] for name in hidden] == [None] * 4


async def test_with_a_key_it_learns_price_trace_and_voices(client: Client, world: World) -> None:
    world.voices.voices = frozenset({"Ashley", "Alex"})
    async with client() as api:
        answer = await api.get("/v1/console", headers={"X-API-Key": KEY})

    known = answer.json()
    assert (known["deployment"], known["creditsPerMinute"], known["voices"]) == ("west", 1, ["Alex", "Ashley"])
    assert known["traceUrl"] == "http://jaeger/trace/{traceId}"
    assert known["defaults"]["voiceId"] == "Ashley"


async def test_without_configured_keys_it_needs_none(client: Client) -> None:
    async with client(AccessRules()) as api:
        known = (await api.get("/v1/console")).json()

    assert (known["needsKey"], "admin" in known["scopes"]) == (False, True)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://traces.example/t/{traceId}?view=all", "https://traces.example/t/{traceId}?view=all"),
        ("http://localhost:16686/trace/", "http://localhost:16686/trace/{traceId}"),
        ("https://traces.example/?id=", "https://traces.example/?id={traceId}"),
    ],
)
def test_the_address_of_a_trace_ends_with_its_id_unless_it_says_where(given: str, shown: str) -> None:
    livekit = {"livekit_url": "ws://l", "livekit_api_key": "k", "livekit_api_secret": "0123456789abcdef" * 2}
    assert Settings.model_validate({**livekit, "trace_url": given}).trace_url == shown
