"""A service's life: an orderly start, work, and a stop in reverse, each step with a deadline."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from contracts.streams import BucketSpec, StreamSpec

from chassis import logs, telemetry
from chassis.errors import StartFailed
from chassis.health import Health, version_of
from chassis.nats import Bus
from chassis.redaction import say
from chassis.settings import ServiceSettings
from chassis.web import WebServer

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
_CANCEL_AGAIN_S: Final = 0.2
_LAST_RESORT_S: Final = 5.0  # beyond the sum of all stop deadlines: the loop itself is stuck

log = logs.get_logger(__name__)


@dataclass(frozen=True)
class Service:
    """What `run` runs.

    Attributes:
        name: As in logs, traces and `/health`.
        start: Brings the service up, step by step, over the `Life` it is given; returns when it serves.
        serve_health: False where the service mounts `life.health.routes()` in an app of its own.
        fast_loop: Run on uvloop: less CPU for the same messages. For services that start no processes of their own.
    """

    name: str
    settings: ServiceSettings
    start: Callable[["Life"], Awaitable[None]]
    version: str | None = None
    serve_health: bool = True
    fast_loop: bool = False


@dataclass
class _Step:
    name: str
    stop: Callable[[], Awaitable[object]]
    deadline_s: float


@dataclass
class Life:
    """Handed to a service's `start`: each step it takes here is undone in reverse order at the end."""

    service: Service
    health: Health
    _steps: list[_Step] = field(default_factory=list[_Step])
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: StartFailed | None = None
    _signalled: bool = False
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

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
        """Take one step of the start.

        Args:
            doing: Awaited, within `deadline_s` (default: START_TIMEOUT_S).
            stop: Awaited at the end, within `stop_deadline_s` (default: DRAIN_TIMEOUT_S); not when the step failed.
            fix: What to do when it takes too long.

        Raises:
            StartFailed: It took too long.
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
        """Await `stop` at the end, before everything that was begun earlier is stopped."""
        self._steps.append(_Step(name, stop, deadline_s or self.service.settings.drain_timeout_s))

    async def connect(
        self,
        *,
        name: str | None = None,
        streams: Iterable[StreamSpec] = (),
        buckets: Iterable[BucketSpec] = (),
        owned: Collection[StreamSpec | BucketSpec] | None = None,
    ) -> Bus:
        """Connect to NATS_URL, declare, be ready only while connected, and end the process when it is over for good.

        Args:
            owned: The streams and buckets that this service's NATS user may also update; None: all.
        """
        settings = self.service.settings

        async def opened() -> Bus:
            bus = await Bus.connect(
                settings.nats,
                name=name or self.service.name,
                # Below the step's own limit, so that the error names NATS and not the step.
                deadline_s=min(10.0, 0.7 * settings.start_timeout_s),
                replicas=settings.nats_replicas,
                graceful_timeout_s=0.8 * settings.drain_timeout_s,
            )
            try:
                await bus.ensure(streams, buckets, owned=owned, deadline_s=min(10.0, 0.7 * settings.start_timeout_s))
            except BaseException:
                await bus.close()
                raise
            return bus

        bus = await self.begin("NATS", opened(), deadline_s=2 * settings.start_timeout_s)
        stopping = False

        async def close() -> None:
            nonlocal stopping
            stopping = True
            await bus.close()

        async def watch() -> None:
            await bus.closed.wait()
            if not stopping:
                self.fail(
                    f"the connection to NATS at {bus.url} is closed for good",
                    "Check the user and password in NATS_URL and nats-server's log, and start again.",
                )

        self.on_stop("NATS", close, deadline_s=settings.drain_timeout_s + 1)
        self.spawn("NATS watch", watch())
        self.health.include(bus.checks)
        return bus

    def spawn(self, name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run something beside the service until the end; when it fails, so does the process (exit 1).

        It is cancelled at the end, in its place among the steps. Work that ends by itself is fine.
        """
        task: asyncio.Task[object] = asyncio.create_task(work, name=name)
        self._tasks.add(task)

        def done(ended: asyncio.Task[object]) -> None:
            self._tasks.discard(ended)
            if not ended.cancelled() and (error := ended.exception()) is not None:
                log.error("task.failed", task=name, exc_info=error)
                self.fail(f"{name} failed: {type(error).__name__}: {error}", "See the log.")

        async def cancel() -> None:
            # Again and again: Python 3.11's `wait_for`, which nats-py waits by, loses a cancellation that comes in the
            # same turn of the loop as its result.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)

        task.add_done_callback(done)
        self.on_stop(name, cancel)
        return task

    def fail(self, cause: str, fix: str) -> None:
        """End the process in order, with exit code 1 and one line."""
        if self._failure is None:
            self._failure = StartFailed(cause, fix)
        self._ending.set()

    def end(self) -> None:
        """End the process in order, with exit code 0, as SIGTERM does."""
        self._ending.set()

    async def live(self) -> int:
        """Start, work until told to end, stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        code = EXIT_OK
        try:
            await self._start()
            if not self._ending.is_set():
                self.health.is_serving()
                log.info("service.serving", version=self.health.version)
                await self._ending.wait()
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
        """Run the service's start; a signal meanwhile abandons it."""
        starting = asyncio.ensure_future(self.service.start(self))
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting}, timeout=self.service.settings.drain_timeout_s)
            return
        await starting

    async def _stop(self) -> None:
        total_s = sum(step.deadline_s for step in self._steps) + _LAST_RESORT_S
        last_resort = threading.Timer(total_s, os._exit, (EXIT_FAILED,))
        last_resort.daemon = True
        last_resort.start()
        log.info("service.stopping")
        for step in reversed(self._steps):
            try:
                async with asyncio.timeout(step.deadline_s):
                    await step.stop()
            except TimeoutError:
                log.error("stop.too_slow", step=step.name, deadline_s=step.deadline_s)
            except Exception:
                log.exception("stop.failed", step=step.name)
        last_resort.cancel()
        log.info("service.stopped")

    def _on_signal(self) -> None:
        if self._signalled:  # asked twice: the second one means now
            say(f"{self.service.name}: stopped at once by a second signal")
            os._exit(EXIT_FAILED)
        self._signalled = True
        self._ending.set()


def run(service: Service) -> None:
    """Run a service until SIGTERM, SIGINT or a failure, and exit: 0, or 1 with one line naming cause and fix."""
    settings = service.settings
    logs.configure(service.name, format=settings.log_format, level=settings.log_level)
    telemetry.configure(service.name, settings.otel_exporter_otlp_endpoint)
    with asyncio.Runner(loop_factory=_uvloop() if service.fast_loop else None) as runner:
        code = runner.run(_live(service))
    telemetry.shutdown()
    raise SystemExit(code)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # 5 MB, which the nodes do without

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
