"""uvicorn for the sandbox: it publishes its port, can cut connections, and exits with 0 on SIGTERM."""

import asyncio
import logging
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sandbox.settings import Settings
from sandbox.wire import ABORT, FREEZE, LONGEST_BODY, Dropped

STOP_S = 3
# httpx keeps an idle connection for 5 s, as long as uvicorn by itself: a request may meet the close. The real services
# keep theirs longer than any client.
KEEP_ALIVE_S = 75


class CuttableWebSocket(WebSocketsSansIOProtocol):
    """Lets the application cut the connection, or leave it open without an answer to a ping."""

    _is_frozen = False

    async def run_asgi(self) -> None:
        extensions = self.scope.get("extensions") or {}
        self.scope["extensions"] = {**extensions, ABORT: self._abort, FREEZE: self._freeze}  # type: ignore[typeddict-item]
        await super().run_asgi()

    def handle_ping(self) -> None:
        if self._is_frozen:
            self.conn.data_to_send()  # the pong is lost
        else:
            super().handle_ping()

    def _freeze(self) -> None:
        self._is_frozen = True

    def _abort(self) -> None:
        self.transport.abort()


class _NotOnPurpose(logging.Filter):
    """Suppresses errors of connections that were cut on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], Dropped))


class SandboxServer(uvicorn.Server):
    """Writes its port to a file when it listens, and stops in order on SIGTERM and SIGINT."""

    def __init__(self, config: uvicorn.Config, port_file: Path | None) -> None:
        super().__init__(config)
        self._port_file = port_file

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.should_exit or self._port_file is None:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        unfinished = self._port_file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(f"{port}\n", encoding="utf-8")
        unfinished.replace(self._port_file)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do not raise the signal again, as uvicorn does: a requested stop is a success here."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def server(app: Starlette, settings: Settings, port_file: Path | None) -> SandboxServer:
    logging.getLogger("uvicorn.error").addFilter(_NotOnPurpose())
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=CuttableWebSocket,
        ws_max_size=LONGEST_BODY,
        ws_per_message_deflate=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    return SandboxServer(config, port_file)
