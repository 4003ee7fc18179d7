"""An HTTP server in the event loop of the service: uvicorn without its signal handlers."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from chassis import logs
from chassis.errors import StartFailed
from chassis.http_protocol import ConnectionLimits, bounded
from chassis.tasks import Tasks
from chassis.unread import bound_unread

_BACKLOG: Final = 2048
_START_POLL_S: Final = 0.01
_OTHER_FILES: Final = 256  # files that the process opens besides client connections
_LIMITS: Final = ConnectionLimits()


log = logs.get_logger(__name__)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # the lifecycle owns the process's signals


class WebServer:
    """Serves one ASGI app. The app's lifespan does not run: the steps of `Life` replace it.

    Attributes:
        port: The listening port; port 0 picks a free one at the start.

    Args:
        variable: The setting that names the port, for the error text.
        trusted_proxies: Comma-separated addresses and networks whose `X-Forwarded-For` and `-Proto` headers count;
            "*" for all, "" for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        variable: str = "PORT",
        drain_timeout_s: float = 10.0,
        limits: ConnectionLimits = _LIMITS,
        trusted_proxies: str = "",
    ) -> None:
        self.host = host
        self.port = port
        self._variable = variable
        self._drain_timeout_s = drain_timeout_s
        self._limits = limits
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                http=bounded(limits),
                ws="none",
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=trusted_proxies,
                timeout_keep_alive=max(1, round(limits.idle_s)),
                timeout_graceful_shutdown=max(1, int(drain_timeout_s)),
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and return once the server accepts connections.

        Raises:
            StartFailed: The port is in use or not allowed; the text names the variable to change.
        """
        _allow_files(self._limits.max_connections + _OTHER_FILES)
        listener = self._bind()
        self.port = listener.getsockname()[1]
        self._task = Tasks().spawn(self._server.serve(sockets=[listener]), name=f"web-{self.port}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise StartFailed(f"the server on port {self.port} stopped during its start", "See the log.")
            await asyncio.sleep(_START_POLL_S)

    async def stop(self) -> None:
        """Refuse new connections, drain the requests within the drain timeout, then close."""
        if self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=self._drain_timeout_s + 1)
        if not done:
            self._server.force_exit = True
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        self._task = None

    def _bind(self) -> socket.socket:
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, proto)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                bound_unread(listener, self._limits.idle_s)
                listener.listen(_BACKLOG)
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            cause = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
            raise StartFailed(
                f"port {self.port} on {self.host} {cause}",
                f"Stop the process that listens there, or set {self._variable} to another port.",
            ) from error
        listener.setblocking(False)
        return listener


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files (1024 on most systems), up to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    if allowed < wanted:
        log.warning("web.few_files", allowed=allowed, wanted=wanted, fix="raise `ulimit -n`, or lower MAX_CONNECTIONS")
