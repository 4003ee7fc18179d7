"""Everything behind the API but media: NATS, Redis, LiveKit, gateway, scheduler, billing, and a stand-in for a node.

For tests that are not coroutines: the node lives in a thread with its own event loop.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import httpx

from chassis.nats import Bus
from contracts.streams import BUCKETS, STREAMS
from tests.integration.billing.service import Billing
from tests.integration.scheduler.stack import StandInNode
from tests.support.servers import Gateway, LiveKitServer, NatsServer, RedisServer, Scheduler

T = TypeVar("T")

KEY = "a-key-of-the-tests-with-32-letters"
NODE = "n1"
_UP_LIMIT_S = 40.0


class System:
    """A whole system for one test.

    Attributes:
        url: The gateway's.
        log: Where the gateway's log is.
        shared: Variables that gateway and scheduler both read.
    """

    gateway: Gateway
    scheduler: Scheduler
    billing: Billing
    bus: Bus
    stand_in: StandInNode

    def __init__(self, folder: Path, **shared: str) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in node")
        self.shared = {"QUEUE_DEADLINE_S": "2", "BOT_STARTUP_TIMEOUT": "5", **shared}
        self.nats = NatsServer(folder / "nats")
        self.redis = RedisServer(folder / "redis")

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def log(self) -> Path:
        return self.gateway.log

    def node(self, work: Callable[[Bus], Awaitable[T]]) -> T:
        """Do something with the node's connection to NATS, in its own thread."""

        async def do() -> T:
            return await work(self.bus)

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_UP_LIMIT_S)

    def __enter__(self) -> "System":
        self._stack.__enter__()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        enter(self.nats)
        enter(self.redis)
        livekit = enter(LiveKitServer(self.folder / "livekit"))
        assert isinstance(livekit, LiveKitServer)
        database = f"sqlite+aiosqlite:///{self.folder / 'billing.db'}"
        self.billing = enter(Billing(self.folder, database_url=database, nats_url=self.nats.url))
        self.billing.migrate()
        self.billing.spawn()
        environment = {
            "NATS_URL": self.nats.url,
            "REDIS_URL": self.redis.url,
            "LIVEKIT_URL": livekit.url,
            "BILLING_URL": f"http://127.0.0.1:{self.billing.port}",
            "GREENROOM_API_KEYS": KEY,
            "TOOL_ALLOWED_HOSTS": "tools.example.com",
        }
        self.gateway = Gateway(self.folder / "gateway", environment | self.shared)
        enter(self.gateway)
        self.scheduler = Scheduler(self.folder / "scheduler", self.nats.url, livekit.url, **self.shared)
        enter(self.scheduler)
        self._start_node()
        self.wait_until_ready(_UP_LIMIT_S)

    def _start_node(self) -> None:
        self._thread.start()
        self._stack.callback(self._stop_loop)

        async def start() -> None:
            self.bus = await Bus.connect(self.nats.url, name="stand-in", graceful_timeout_s=1)
            await self.bus.ensure(STREAMS, BUCKETS)
            self.stand_in = StandInNode(self.bus, NODE, slots=int(self.shared.get("MAX_BOTS", "50")))
            self.stand_in.speaks = True
            await self.stand_in.__aenter__()

        async def stop() -> None:
            await self.stand_in.vanish(expire=False)
            await self.bus.close()

        asyncio.run_coroutine_threadsafe(start(), self._loop).result(_UP_LIMIT_S)
        self._stack.callback(lambda: asyncio.run_coroutine_threadsafe(stop(), self._loop).result(_UP_LIMIT_S))

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_UP_LIMIT_S)
        self._loop.close()

    def wait_until_ready(self, limit_s: float) -> None:
        """Wait until every service says that it is, and a scheduler leads."""
        until = time.monotonic() + limit_s
        while not (self.scheduler.leads() and self._is_ready(self.url) and self._is_ready(self._billing_url)):
            assert time.monotonic() < until, self.log.read_text()[-2000:]
            time.sleep(0.05)

    @property
    def _billing_url(self) -> str:
        return f"http://127.0.0.1:{self.billing.port}"

    @staticmethod
    def _is_ready(url: str) -> bool:
        try:
            return httpx.get(f"{url}/ready", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
