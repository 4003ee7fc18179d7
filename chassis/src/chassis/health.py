"""Health: liveness, readiness and metrics of the process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis import metrics
from chassis.headers import SecurityHeaders

Check = Callable[[], Awaitable[str | None]]
"""Returns None when ready, else the reason as text."""

_CHECK_DEADLINE_S: Final = 1.0
_NOTES_AGE_S: Final = 5.0


def version_of(distribution: str) -> str:
    """The installed version; "0" when the distribution is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "0"


class Notes:
    """What a process lacks although it can take requests. Only the first probe waits for a look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._checks: dict[str, Check] = {}
        self._clock = clock
        self._look: asyncio.Task[dict[str, str]] | None = None
        self._looked = 0.0
        self._found: dict[str, str] | None = None

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    async def missing(self) -> dict[str, str]:
        """Check -> what is missing, some seconds old at most; the next look runs in the background."""
        now = self._clock()
        if self._look is None or (self._look.done() and now - self._looked >= _NOTES_AGE_S):
            self._looked = now
            self._look = asyncio.create_task(_all(self._checks))
        found = self._found
        if found is None:
            found = await asyncio.shield(self._look)
        elif self._look.done():
            found = self._look.result()
        self._found = found
        return found


class Health:
    """`/health` (the event loop responds), `/ready` (all checks pass, else 503 with the reasons) and `/metrics`."""

    def __init__(self, service: str, *, version: str | None = None) -> None:
        self.service = service
        self.version = version or version_of(f"greenroom-{service}")
        self._state: str | None = "starting"
        self._checks: dict[str, Check] = {}
        self._included: list[Mapping[str, Check]] = []
        self.notes = Notes()

    def add(self, name: str, check: Check) -> None:
        """Be ready only while `check` returns None within 1 s."""
        self._checks[name] = check

    def include(self, checks: Mapping[str, Check]) -> None:
        """Add these checks; entries added to the mapping later count too."""
        self._included.append(checks)

    def is_serving(self) -> None:
        """Leave the state "starting": from now on the checks alone decide."""
        self._state = None

    def is_draining(self) -> None:
        """Be unready until the process exits, so that load balancers choose another replica."""
        self._state = "draining"

    async def reasons(self) -> dict[str, str]:
        """Reasons why the process is not ready, by check; empty when ready."""
        checks = dict(self._checks)
        for more in self._included:
            checks.update(more)
        reasons = await _all(checks)
        return reasons if self._state is None else {"process": self._state, **reasons}

    def routes(self) -> list[Route]:
        """The three routes, for `app` or for the app of the gateway."""
        return [
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/metrics", self._metrics),
        ]

    def app(self) -> Starlette:
        app = Starlette(routes=self.routes(), middleware=[Middleware(SecurityHeaders)])
        app.router.redirect_slashes = False
        return app

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "service": self.service, "version": self.version})

    async def _ready(self, _request: Request) -> Response:
        reasons = await self.reasons()
        if reasons:
            return JSONResponse({"status": "not_ready", "reasons": reasons}, status_code=503)
        return JSONResponse({"status": "ready", "reasons": {}})

    async def _metrics(self, _request: Request) -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)


async def _all(checks: Mapping[str, Check]) -> dict[str, str]:
    answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
    return {name: answer for name, answer in zip(checks, answers, strict=True) if answer is not None}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_DEADLINE_S):
            return await check()
    except TimeoutError:
        return f"no answer in {_CHECK_DEADLINE_S:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
