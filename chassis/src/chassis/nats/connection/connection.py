"""One connection to NATS: it reconnects for ever, notices a frozen server in 4 s, and says when it is over."""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final

import nats.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis import logs
from chassis.access import NatsAccess
from chassis.nats.connection.client import NotEncrypted, RecordingClient, security_of
from chassis.nats.errors import BusRefused, BusUnavailable

_RECONNECT_WAIT_S: Final = 0.25
_PING_S: Final = 2
_UNANSWERED_PINGS: Final = 1  # a dead host is noticed after 2 to 4 s
_API_S: Final = 2.0  # one request to JetStream; callers repeat it until their own deadline
_REFUSED_FOR_S: Final = 5.0  # a server that is being reconfigured may refuse for a moment
_CLOSE_S: Final = 2.0
_UNREACHABLE: Final = "no connection yet"

log = logs.get_logger(__name__)


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in str(error).lower()


def _refusal(error: Exception) -> str | None:
    """Why it is no use to try again; None where it may be."""
    if _is_refusal(error):
        return "wrong user or password"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); NATS_CA_FILE names the authority it is from"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = (error.reason or "").replace("_", " ").lower()
        return f"TLS failed ({reason}); NATS_CERT_FILE is the certificate that we show, NATS_CA_FILE whom we trust"
    return str(error) if isinstance(error, NotEncrypted) else None


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
    client: RecordingClient

    def _log_connection_broken(self, error_cb: Any = None) -> Any:
        # FastStream's own callback raises on errors such as "authorization timeout". While reconnecting that kills
        # nats-py's reconnecting task without a word: deaf for ever, and not closed. Ours decides itself.
        return error_cb

    async def _connect(self) -> Client:
        await self.client.connect(**self._connection_kwargs)
        self.config.connect(self.client)
        return self.client


class Connection:
    """The broker, and what is known about its connection.

    Attributes:
        closed: Set once the connection is over for good: by `close`, or because the server sent us away.
        refusals: How often the server refused us a subject.
    """

    def __init__(self, access: NatsAccess, *, name: str, graceful_timeout_s: float) -> None:
        """Prepare; `open` connects.

        Raises:
            BusRefused: A file of `access` cannot be used.
        """
        self.url = access.shown
        self.name = name
        self.graceful_timeout_s = graceful_timeout_s
        self.closed = asyncio.Event()
        self.refusals = 0
        self._last_refusal = ""
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._last_error: str = _UNREACHABLE
        self._opening = True
        self._ended = False
        self._refused_since: float | None = None
        self._callbacks: set[asyncio.Task[None]] = set()
        self._client = RecordingClient(must_encrypt=access.must_encrypt)
        self.broker: NatsBroker = _Broker(
            list(access.servers),
            name=name,
            security=security_of(access),
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
        self.broker.client = self._client

    async def open(self, deadline_s: float) -> None:
        """Connect, trying until the deadline.

        Raises:
            BusUnavailable: Nobody answered.
            BusRefused: The server does not take our credentials, or either side does not trust the other.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await self.broker.connect()
        except TimeoutError as error:
            raise BusUnavailable(self._last_error, self.url) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            if (refused := _refusal(error)) is not None:
                raise BusRefused(refused, self.url) from error
            raise BusUnavailable(f"{type(error).__name__}: {error}", self.url) from error
        self._opening = False

    async def close(self, deadline_s: float) -> None:
        """Let handlers finish, hand over what is sent, and disconnect."""
        if self._ended:
            return
        self._ended = True
        error = await _outcome(self.broker.stop(), deadline_s)
        if error is not None:  # with NATS down, stop() raises a group of whatever its subscribers met
            log.warning("nats.close_failed", error=error)
            await _outcome(self._client.close(), _CLOSE_S)  # or it would go on reconnecting
        self.closed.set()

    @property
    def nc(self) -> Client:
        """nats-py's connection."""
        return self.broker.config.connection_state.connection

    @property
    def js(self) -> JetStreamContext:
        """nats-py's JetStream context."""
        return self.broker.config.connection_state.stream

    @property
    def is_connected(self) -> bool:
        """Whether a server is there now."""
        return not self.closed.is_set() and self.nc.is_connected

    async def check(self) -> str | None:
        """Readiness."""
        return None if self.is_connected else f"no connection to {self.url}"

    @contextmanager
    def naming_refusals(self) -> Generator[None]:
        """Say in a BusUnavailable when the server refused a subject: it tells so beside the call that got no reply."""
        refusals = self.refusals
        try:
            yield
        except BusUnavailable as error:
            refusal = self.refusal_since(refusals)
            if refusal is None:
                raise
            raise BusUnavailable(f"{error.doing} ({refusal})", self.url) from error

    def refusal_since(self, count: int) -> str | None:
        """What the server refused us last, if it refused something since `refusals` was `count`."""
        return self._last_refusal if self.refusals > count else None

    async def reconnect_if_silent(self, answer_s: float) -> None:
        """Connect anew if the server does not answer a ping within so many seconds."""
        if not self._client.is_connected:
            return
        try:
            await self._client.flush(answer_s)  # pyright: ignore[reportArgumentType] - nats-py only waits for it
        except TimeoutError:
            log.warning("nats.server_silent", url=self.url, seconds=answer_s)
            await self._client.force_reconnect()
        except nats.errors.Error:
            return  # it is reconnecting already

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this after each reconnect."""
        self._reconnected.append(callback)

    async def _on_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:  # one line per cause, not one per attempt
            log.warning("nats.error", error=text)
        self._last_error = text
        if (refusal := self._client.refusal_in(error)) is not None:
            self._last_refusal = refusal
            self.refusals += 1
        if self._opening and _refusal(error) is not None:
            raise error  # else nats-py would try the same password until the deadline
        if not _is_refusal(error):
            return
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
