"""Long answers that strangers may ask for: one copy for all, handed on in pieces."""

import json
from typing import Any

import pytest

from tests.support.asgi import scope
from tests.support.gateway.world import World

PUBLIC = ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"]


async def answer(world: World, path: str, *, root_path: str = "") -> list[bytes]:
    """The pieces of an answer's body."""
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        pieces.append(message.get("body", b""))

    await world.app(root_path=root_path)(scope(path), receive, send)
    return pieces


@pytest.mark.parametrize("path", PUBLIC)
async def test_no_connection_is_handed_the_whole_of_a_long_answer(world: World, path: str) -> None:
    pieces = await answer(world, path)

    assert sum(map(len, pieces)) > 100_000
    assert max(map(len, pieces)) <= 32 * 1024


@pytest.mark.parametrize(("root_path", "servers"), [("", None), ("/voice", [{"url": "/voice"}])])
async def test_the_description_is_that_of_the_app(world: World, root_path: str, servers: Any) -> None:
    described = json.loads(b"".join(await answer(world, "/openapi.json", root_path=root_path)))

    assert described.pop("servers", None) == servers
    assert described == world.app().openapi()
