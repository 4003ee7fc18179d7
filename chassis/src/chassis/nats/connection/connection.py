"""One connection to NATS: it reconnects for ever and notices a frozen server within 4 s."""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis import logs
from chassis.access import NatsAccess
from chassis.nats.connection.client import RecordingClient, security_of
from chassis.nats.connection.translation import NATS_ERRORS, is_bad_login, login_refusal, translated
from chassis.nats.errors import BusRefused, BusUnavailable, NoReply, NotPermitted
from chassis.tasks import Tasks

_RECONNECT_WAIT_S: Final = 0.25
_PING_S: Final = 2
_UNANSWERED_PINGS: Final = 1  # a dead host is noticed after 2 to 4 s
_API_S: Final = 2.0  # one request to JetStream; callers repeat it until their own deadline
_REFUSED_FOR_S: Final = 5.0  # a server that is being reconfigured may refuse for a moment
_CLOSE_S: Final = 2.0
_REFUSALS: Final = 256  # the newest ones to remember; more calls than this rarely wait at once
_UNREACHABLE: Final = "no connection yet"

T = TypeVar("T")

log = logs.get_logger(__name__)


def inbox_prefix(name: str) -> str:
    """`_INBOX_<name>`: the prefix by which permissions confine each user to its inbox."""
    return "_INBOX_" + re.sub(r"[^A-Za-z0-9_-]", "_", name)


async def _outcome(call: Coroutine[Any, Any, object], deadline_s: float) -> BaseException | None:
    """Await the call in a separate task: nats-py's close raises CancelledError when it is called during a reconnect."""
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
        # FastStream's own callback raises on errors such as "authorization timeout". During a reconnect that ends
        # nats-py's reconnecting task silently: the client is deaf and never closes. `_on_error` decides instead.
        return error_cb

    async def _connect(self) -> Client:
        await self.client.connect(**self._connection_kwargs)
        self.config.connect(self.client)
        return self.client


class Connection:
    """FastStream's broker and the state of its connection.

    Attributes:
        url: The servers, without credentials.
        name: The client's name; its inboxes begin with `_INBOX_<name>.`.
        graceful_timeout_s: How long a stop waits for handlers.
        closed: Set when the connection has closed for good, by `close` or because the server rejected the login.

    Raises:
        StartFailed: A file of `access` is unusable.
    """

    def __init__(self, access: NatsAccess, *, name: str, graceful_timeout_s: float) -> None:
        self.url = access.shown
        self.name = name
        self.graceful_timeout_s = graceful_timeout_s
        self.closed = asyncio.Event()
        self._refusals = deque([(0, "")], maxlen=_REFUSALS)  # (running number, refused subject), newest last
        self._reconnected: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._last_error: str = _UNREACHABLE
        self._phase: Literal["opening", "open", "closing"] = "opening"
        self._refused_since: float | None = None
        self._callbacks = Tasks()
        self._client = RecordingClient(must_encrypt=access.must_encrypt)
        self.broker: NatsBroker = _Broker(
            list(access.servers),
            name=name,
            security=security_of(access),
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType] - nats-py only sleeps for it
            ping_interval=_PING_S,
            max_outstanding_pings=_UNANSWERED_PINGS,
            # Fail at once while disconnected: a message that is kept until the reconnect arrives after its deadline.
            pending_size=0,
            inbox_prefix=inbox_prefix(name),
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnected,
            disconnected_cb=self._on_disconnected,
            closed_cb=self._on_closed,
            js_options={"timeout": _API_S},
            graceful_timeout=graceful_timeout_s,
            logger=None,  # one line per message; the metrics count them
        )
        self.broker.client = self._client

    async def open(self, deadline_s: float) -> None:
        """Connect; retry until the deadline.

        Raises:
            BusUnavailable: No server answered.
            BusRefused: The server rejects the credentials, or one side does not trust the other's certificate.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await self.broker.connect()
        except TimeoutError as error:
            raise BusUnavailable(self._last_error, self.url) from error
        except (*NATS_ERRORS, OSError, ValueError) as error:
            if (refused := login_refusal(error)) is not None:
                raise BusRefused(refused, self.url) from error
            raise BusUnavailable(f"{type(error).__name__}: {error}", self.url) from error
        self._phase = "open"

    async def close(self, deadline_s: float) -> None:
        """Drain the handlers, flush, and disconnect."""
        if self._phase == "closing":
            return
        self._phase = "closing"
        error = await _outcome(self.broker.stop(), deadline_s)
        if error is not None:  # with NATS down, stop() raises a group of its subscribers' errors
            log.warning("nats.close_failed", error=error)
            await _outcome(self._client.close(), _CLOSE_S)  # stops the reconnecting
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
        return not self.closed.is_set() and self.nc.is_connected

    async def check(self) -> str | None:
        return None if self.is_connected else f"no connection to {self.url}"

    @asynccontextmanager
    async def asking(
        self, doing: str, deadline_s: float | None = None, *, subject: str | None = None
    ) -> AsyncGenerator[None]:
        """Around each use of nats-py: what it raises becomes a `BusUnavailable`.

        Args:
            doing: For the error's text, such as "reading voice.v1.session.>".
            deadline_s: After it, `NoReply`; None leaves the timeout to nats-py (2 s for a request to JetStream).
            subject: Only a refusal of this subject counts; None: of any, since nats-py chooses the subjects of
                JetStream's API.

        Raises:
            NotPermitted: No reply, and meanwhile the server reported that the user may not use the subject.
            BusUnavailable: Or the subclass that says more.
        """
        before, _ = self._refusals[-1]
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except NATS_ERRORS as error:
            own = "" if subject is None else f" {subject}"
            new = [text for number, text in self._refusals if number > before and text.endswith(own)]
            if new and isinstance(error, TimeoutError):
                raise NotPermitted(doing, new[-1], self.url) from error
            raise translated(error, doing, self.url) from error

    async def ask(
        self, doing: str, call: Awaitable[T], deadline_s: float | None = None, *, subject: str | None = None
    ) -> T:
        """Await one call within `asking`."""
        async with self.asking(doing, deadline_s, subject=subject):
            return await call

    async def reconnect_if_silent(self, answer_s: float) -> None:
        """Reconnect, to another server if there is one, unless this one answers a ping within `answer_s`."""
        if not self._client.is_connected:
            return
        try:
            async with self.asking("waiting for a ping's answer"):
                await self._client.flush(answer_s)  # pyright: ignore[reportArgumentType] - nats-py only waits for it
        except NoReply:
            log.warning("nats.server_silent", url=self.url, seconds=answer_s)
            await self._client.force_reconnect()
        except BusUnavailable:
            return  # it is reconnecting already

    def on_reconnect(self, callback: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._reconnected.append(callback)

    async def _on_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:  # one line per cause, not one per attempt
            log.warning("nats.error", error=text)
        self._last_error = text
        if (refusal := self._client.refusal_in(error)) is not None:
            self._refusals.append((self._refusals[-1][0] + 1, refusal))
        if self._phase == "opening" and login_refusal(error) is not None:
            raise error  # else nats-py retries the same password until the deadline
        if not is_bad_login(error):
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
            self._callbacks.spawn(callback(), name="reconnect callback")

    async def _on_closed(self) -> None:
        self.closed.set()
