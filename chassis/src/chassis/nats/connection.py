"""One connection to NATS: it reconnects for ever, notices a frozen server in 15 s, and says when it is over."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
from faststream.nats import NatsBroker
from nats.aio import transport

from chassis import logs
from chassis.nats.errors import BusRefused, BusUnavailable

_RECONNECT_WAIT_S: Final = 0.25
_PING_S: Final = 5
_UNANSWERED_PINGS: Final = 2
_API_S: Final = 2.0  # one request to JetStream; callers repeat it until their own deadline
_REFUSED_FOR_S: Final = 5.0  # a server that is being reconfigured may refuse for a moment
_CLOSE_S: Final = 2.0
_WEBSOCKET: Final = ("ws", "wss")
_UNREACHABLE: Final = "no connection yet"

log = logs.get_logger(__name__)


def without_password(url: str) -> str:
    """The URL, or several with commas between, as it may be shown."""
    return re.sub(r"(?<=//)[^@/,\s]*@", "", url)


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in str(error).lower()


def inbox_prefix(name: str) -> str:
    """The inbox of one kind of client, so that a user can be confined to it: `_INBOX_<name>`."""
    return "_INBOX_" + re.sub(r"[^A-Za-z0-9_-]", "_", name)


async def _outcome(call: Coroutine[Any, Any, object], deadline_s: float) -> BaseException | None:
    """Await it in a task of its own: nats-py's close, called while it reconnects, lets a CancelledError out."""
    task = asyncio.create_task(call)
    try:
        await asyncio.wait({task}, timeout=deadline_s)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        return TimeoutError(f"not within {deadline_s:g} s")
    return asyncio.CancelledError() if task.cancelled() else task.exception()


class _Broker(NatsBroker):
    def _log_connection_broken(self, error_cb: Any = None) -> Any:
        # FastStream's own callback raises on errors such as "authorization timeout". While reconnecting that kills
        # nats-py's reconnecting task without a word: deaf for ever, and not closed. Ours decides itself.
        return error_cb


def _take_websockets() -> None:
    """nats-py was imported without what it needs for them."""
    import aiohttp

    setattr(transport, "aiohttp", aiohttp)  # noqa: B010 - nats-py's own, and not exported


class Connection:
    """The broker, and what is known about its connection.

    Attributes:
        closed: Set once the connection is over for good: by `close`, or because the server sent us away.
    """

    def __init__(self, url: str, *, name: str, graceful_timeout_s: float) -> None:
        self.url = without_password(url)
        self.name = name
        self.closed = asyncio.Event()
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._last_error = _UNREACHABLE
        self._opening = True
        self._ended = False
        self._refused_since: float | None = None
        self._callbacks: set[asyncio.Task[None]] = set()
        servers = [server.strip() for server in url.split(",")]
        if any(urlsplit(server).scheme in _WEBSOCKET for server in servers):
            _take_websockets()
        self.broker: NatsBroker = _Broker(
            servers,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType] - nats-py only sleeps for it
            ping_interval=_PING_S,
            max_outstanding_pings=_UNANSWERED_PINGS,
            # Refuse at once while disconnected: what is sent at the reconnect would come after its caller gave up.
            pending_size=0,
            inbox_prefix=inbox_prefix(name),
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnected,
            disconnected_cb=self._on_disconnected,
            closed_cb=self._on_closed,
            js_options={"timeout": _API_S},
            graceful_timeout=graceful_timeout_s,
            logger=None,  # a line per message says nothing that metrics do not
            apply_types=False,
        )

    async def open(self, deadline_s: float) -> None:
        """Connect, trying until the deadline.

        Raises:
            BusUnavailable: Nobody answered.
            BusRefused: The server does not take our credentials.
        """
        for server in self.url.split(","):
            if not urlsplit(server.strip()).hostname:
                raise BusRefused(f"{server.strip()!r} is no URL of a server", self.url)
        try:
            async with asyncio.timeout(deadline_s):
                await self.broker.connect()
        except TimeoutError as error:
            raise BusUnavailable(self._last_error, self.url) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            if _is_refusal(error):
                raise BusRefused("wrong user or password", self.url) from error
            raise BusUnavailable(f"{type(error).__name__}: {error}", self.url) from error
        self._opening = False

    async def close(self, deadline_s: float) -> None:
        """Let handlers finish, hand over what is sent, and disconnect."""
        if self._ended:
            return
        self._ended = True
        client = self.broker.config.connection_state.connection
        error = await _outcome(self.broker.stop(), deadline_s)
        if error is not None:  # with NATS down, stop() raises a group of whatever its subscribers met
            log.warning("nats.close_failed", error=error)
            await _outcome(client.close(), _CLOSE_S)  # or it would go on reconnecting
        self.closed.set()

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this after each reconnect."""
        self._reconnected.append(callback)

    async def _on_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:  # one line per cause, not one per attempt
            log.warning("nats.error", error=text)
        self._last_error = text
        if not _is_refusal(error):
            return
        if self._opening:
            raise error  # else nats-py would try the same password until the deadline
        self._refused_since = self._refused_since or time.monotonic()
        if time.monotonic() - self._refused_since > _REFUSED_FOR_S:
            self.closed.set()

    async def _on_disconnected(self) -> None:
        log.warning("nats.disconnected", url=self.url)

    async def _on_reconnected(self) -> None:
        log.info("nats.reconnected", url=self.url)
        self._last_error = _UNREACHABLE
        self._refused_since = None
        for callback in self._reconnected:
            task = asyncio.ensure_future(self._call(callback))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)

    async def _call(self, callback: Callable[[], Awaitable[None]]) -> None:
        try:
            await callback()
        except Exception:
            log.exception("nats.reconnect_callback_failed")

    async def _on_closed(self) -> None:
        self.closed.set()
