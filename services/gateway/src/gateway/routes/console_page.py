"""`/console`: the files of the web console, which `make install` or the Docker image has built."""

import asyncio
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from gateway.routes.services import Services, Wired

router = APIRouter(include_in_schema=False)

_BASE: Final = '<base href="/console/" />'
"""Where index.html says that its files are; a gateway with ROOT_PATH puts its prefix before it."""
_HASHED: Final = "assets/"
"""Vite puts a hash of the content into these names, so a browser may keep them for ever."""
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_CLOUD: Final = ".livekit.cloud"
_UNBUILT: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Greenroom</title>
</head>
<body>
<main>
<h1>The console is not built</h1>
<p>Install Node.js 20.19 or newer and npm, then run <code>make install</code> in Greenroom's folder, and reload this
page. The gateway need not restart.</p>
<p>A console that was built elsewhere is served from the folder that <code>CONSOLE_DIR</code> names.
Greenroom's Docker images contain it.</p>
<p><a href="{prefix}/docs">The API's documentation</a> works without it.</p>
</main>
</body>
</html>
"""
_UNBUILT_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def built_folder(configured: Path | None) -> Path:
    """The folder of the built console: the configured one, or `console/dist` of this source tree."""
    return configured or Path(__file__).parents[5] / "console" / "dist"


@router.api_route("/console", methods=["GET", "HEAD"])
@router.api_route("/console/{path:path}", methods=["GET", "HEAD"])
async def console(request: Request, services: Wired, path: str = "") -> Response:
    """A file of the console, or its page for every other path: the page itself shows what the path names."""
    prefix: str = request.scope.get("root_path", "")
    page = await _page(services.console_folder)
    if page is None:
        headers = {"Content-Security-Policy": _UNBUILT_POLICY}
        return HTMLResponse(_UNBUILT.format(prefix=prefix), HTTPStatus.SERVICE_UNAVAILABLE, headers)
    if "." in path.rpartition("/")[2]:
        return await _file(services.console_folder, path, request)
    return HTMLResponse(
        page.replace(_BASE, f'<base href="{prefix}/console/" />'),
        headers={
            "Content-Security-Policy": _policy(services),
            "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        },
    )


async def _page(folder: Path) -> str | None:
    try:
        return await asyncio.to_thread(Path(folder, "index.html").read_text, encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


async def _file(folder: Path, path: str, request: Request) -> Response:
    answer = await _files(folder).get_response(path, request.scope)
    answer.headers["Cache-Control"] = _FOR_EVER if path.startswith(_HASHED) else "no-cache"
    return answer


@cache
def _files(folder: Path) -> StaticFiles:
    return StaticFiles(directory=folder, check_dir=False)


def _policy(services: Services) -> str:
    media = " ".join(_reached(services.client_url))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; media-src 'self'; "
        f"connect-src 'self' {media}; manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )


def _reached(livekit: str) -> Iterable[str]:
    """The origins that LiveKit's client connects to: by WebSocket, and by HTTP to learn why that failed.

    LiveKit Cloud sends its clients on to servers of their region, which have other names.
    """
    url = urlsplit(livekit)
    secure = "s" if url.scheme in ("wss", "https") else ""
    places = [url.netloc.rpartition("@")[2]]
    if places[0].endswith(_CLOUD):
        places.append(f"*{_CLOUD}")
    return [f"{kind}{secure}://{place}" for place in places for kind in ("ws", "http")]
