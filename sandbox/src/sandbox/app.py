"""The application: three services, distinguished by path, and the control API of tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox import control
from sandbox.assemblyai import routes as assemblyai
from sandbox.groq import routes as groq
from sandbox.inworld import routes as inworld
from sandbox.settings import Settings
from sandbox.speech.pool import EarPool
from sandbox.stage import Stage


def create_app(settings: Settings) -> Starlette:
    ears = EarPool(settings.warm_recognisers, settings.max_stt_sessions, settings.stt_words)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        try:
            await ears.fill()
            yield
        finally:
            await ears.close()

    routes = [Route("/health", health), *control.routes(), *assemblyai.routes(), *groq.routes(), *inworld.routes()]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.stage = Stage(settings, ears)
    return app


async def health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
