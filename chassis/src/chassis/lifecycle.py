"""A service's life: start step by step, serve, stop in reverse; each step has a deadline."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from chassis import logs, telemetry
from chassis.cancellation import mend_wait_for
from chassis.errors import StartFailed
from chassis.health import Health, version_of
from chassis.nats import Bus
from chassis.redaction import say
from chassis.settings import ServiceSettings
from chassis.tasks import Tasks, cancel, first_of
from chassis.web import WebServer
from contracts.streams import AnyBucket, StreamSpec

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
_CONNECT_S: Final = 10.0
_LAST_RESORT_S: Final = 5.0  # after the sum of all stop deadlines the event loop itself must be stuck

log = logs.get_logger(__name__)


@dataclass(frozen=True)
class Service:
    """The input of `run`.

    Attributes:
        name: The name in logs, traces and `/health`.
        start: Starts the service step by step with the given `Life`; returns when the service is ready to serve.
        serve_health: False when the service mounts `life.health.routes()` in its own app.
        fast_loop: Run on uvloop, which needs less CPU per message. Not for services that start child processes.
    """

    name: str
    settings: ServiceSettings
    start: Callable[["Life"], Awaitable[None]]
    version: str | None = None
    serve_health: bool = True
    fast_loop: bool = False


@dataclass
class Life:
    """The argument of a service's `start`; the process stops its steps in reverse order."""

    service: Service
    health: Health
    _stops: AsyncExitStack = field(default_factory=AsyncExitStack)
    _stops_s: float = 0  # the sum of all stop deadlines
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: StartFailed | None = None
    _signalled: bool = False

    def __post_init__(self) -> None:
        self._tasks = Tasks(self._on_failed_task)

    async def begin(
        self,
        name: str,
        doing: Awaitable[T],
        *,
        stop: Callable[[], Awaitable[object]] | None = None,
        deadline_s: float | None = None,
        stop_deadline_s: float | None = None,
        fix: str = "See the log.",
    ) -> T:
        """Run one step of the start.

        Args:
            doing: Awaited within `deadline_s` (default: START_TIMEOUT_S).
            stop: Awaited at the stop within `stop_deadline_s` (default: DRAIN_TIMEOUT_S), unless the step failed.
            fix: Advice for a timeout.

        Raises:
            StartFailed: The step timed out.
        """
        settings = self.service.settings
        limit_s = deadline_s or settings.start_timeout_s
        log.info("start.step", step=name)
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                result = await doing
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StartFailed(f"{name} took longer than {limit_s:g} s", fix) from error
        if stop is not None:
            self.on_stop(name, stop, deadline_s=stop_deadline_s)
        return result

    def on_stop(self, name: str, stop: Callable[[], Awaitable[object]], *, deadline_s: float | None = None) -> None:
        """Await `stop` at the stop, before the stops of all earlier steps."""
        limit_s = deadline_s or self.service.settings.drain_timeout_s
        self._stops_s += limit_s
        self._stops.push_async_callback(_stop, name, stop, limit_s)

    async def connect(
        self,
        *,
        name: str | None = None,
        streams: Iterable[StreamSpec] = (),
        buckets: Iterable[AnyBucket] = (),
        owned: Collection[StreamSpec | AnyBucket] | None = None,
    ) -> Bus:
        """Connect to NATS_URL and declare; ready only while connected. A connection closed for good ends the process.

        Args:
            owned: The streams and buckets that this service's NATS user may also update; None: all.
        """
        settings = self.service.settings
        # Below the limit of the step, so that the error names NATS and not the step.
        deadline_s = min(_CONNECT_S, 0.7 * settings.start_timeout_s)

        async def opened() -> Bus:
            bus = await Bus.connect(
                settings.nats,
                name=name or self.service.name,
                deadline_s=deadline_s,
                replicas=settings.nats_replicas,
                graceful_timeout_s=0.8 * settings.drain_timeout_s,
            )
            try:
                await bus.ensure(streams, buckets, owned=owned, deadline_s=deadline_s)
            except BaseException:
                await bus.close()
                raise
            return bus

        bus = await self.begin("NATS", opened(), deadline_s=2 * settings.start_timeout_s)
        self.on_stop("NATS", bus.close, deadline_s=settings.drain_timeout_s + 1)
        self.spawn("NATS watch", self._watch(bus))
        self.health.include(bus.checks)
        return bus

    async def _watch(self, bus: Bus) -> None:
        await bus.closed.wait()
        self.fail(
            f"the connection to NATS at {bus.url} is closed for good",
            "Check the user and password in NATS_URL and nats-server's log, and start again.",
        )

    def spawn(self, name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run a background task until the stop; its failure ends the process (exit 1), its return does not.

        The stop cancels it in its place among the steps.
        """
        task = self._tasks.spawn(work, name=name)
        self.on_stop(name, lambda: cancel(task))
        return task

    def _on_failed_task(self, name: str, error: BaseException) -> None:
        self.fail(f"{name} failed: {type(error).__name__}: {error}", "See the log.")

    def fail(self, cause: str, fix: str) -> None:
        """Stop the process in order, with exit code 1 and one line."""
        if self._failure is None:
            self._failure = StartFailed(cause, fix)
        self._stopping.set()

    def end(self) -> None:
        """Stop the process in order, with exit code 0, as SIGTERM does."""
        self._stopping.set()

    async def live(self) -> int:
        """Start, serve until the stop is requested, stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        code = EXIT_OK
        try:
            await self._start()
            if not self._stopping.is_set():
                self.health.is_serving()
                log.info("service.serving", version=self.health.version)
                await self._stopping.wait()
        except StartFailed as error:
            self._failure = self._failure or error
        except Exception as error:
            log.exception("start.failed")
            self._failure = self._failure or StartFailed(f"{type(error).__name__}: {error}", "See the log above.")
        if self._failure is not None:
            code = EXIT_FAILED
            say(f"{self.service.name}: {self._failure}")
        self.health.is_draining()
        await self._stop()
        return code

    async def _start(self) -> None:
        """Run the service's start; a signal cancels it."""
        starting = asyncio.ensure_future(self.service.start(self))
        await first_of(asyncio.wait({starting}), self._stopping.wait())
        if starting.done():
            await starting
        else:
            await cancel(starting, timeout_s=self.service.settings.drain_timeout_s)

    async def _stop(self) -> None:
        last_resort = threading.Timer(self._stops_s + _LAST_RESORT_S, os._exit, (EXIT_FAILED,))
        last_resort.daemon = True
        last_resort.start()
        log.info("service.stopping")
        await self._stops.aclose()
        last_resort.cancel()
        log.info("service.stopped")

    def _on_signal(self) -> None:
        if self._signalled:  # the second signal means: now
            say(f"{self.service.name}: stopped at once by a second signal")
            os._exit(EXIT_FAILED)
        self._signalled = True
        self._stopping.set()


async def _stop(name: str, stop: Callable[[], Awaitable[object]], deadline_s: float) -> None:
    """One stop step; its failure is logged, so that the other steps still stop."""
    try:
        async with asyncio.timeout(deadline_s):
            await stop()
    except TimeoutError:
        log.error("stop.too_slow", step=name, deadline_s=deadline_s)
    except Exception:
        log.exception("stop.failed", step=name)


def run(service: Service) -> None:
    """Run a service until SIGTERM, SIGINT or a failure, and exit: 0, or 1 with one line that names cause and fix."""
    settings = service.settings
    mend_wait_for()
    logs.configure(service.name, format=settings.log_format, level=settings.log_level)
    telemetry.configure(service.name, settings.otel_exporter_otlp_endpoint)
    with asyncio.Runner(loop_factory=_uvloop() if service.fast_loop else None) as runner:
        code = runner.run(_live(service))
    telemetry.shutdown()
    raise SystemExit(code)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # imported late: 5 MB that agent-runner does not need

    return uvloop.new_event_loop


async def _live(service: Service) -> int:
    settings = service.settings
    health = Health(service.name, version=service.version or version_of(f"greenroom-{service.name}"))
    if not service.serve_health:
        return await Life(service, health).live()

    async def start(life: Life) -> None:
        server = WebServer(
            health.app(),
            host=settings.health_host,
            port=settings.health_port,
            variable="HEALTH_PORT",
            drain_timeout_s=1,
        )
        await life.begin("health", server.start(), stop=server.stop)
        log.info("health.listening", host=server.host, port=server.port)
        await service.start(life)

    inner = Service(service.name, settings, start, service.version)
    return await Life(inner, health).live()
