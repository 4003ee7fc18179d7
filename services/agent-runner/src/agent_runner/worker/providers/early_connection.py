"""A WebSocket that is opened before the call needs it."""

# pyright: standard

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from websockets.exceptions import WebSocketException
from websockets.protocol import State

from chassis import logs
from chassis.redaction import without_identity
from chassis.tasks import first_of

_AGE_S: Final = 300.0  # well below the idle timeouts of providers and proxies
_STEADY_S: Final = 30.0
_PAUSES_S: Final = (1.0, 60.0)

log = logs.get_logger(__name__)


class EarlyConnection:
    """One connection, renewed before it is idle for too long, until the call takes it."""

    def __init__(self) -> None:
        self._websocket: Any = None
        self._url = ""
        self._is_taken = False

    async def hold(self, url: str, connect: Callable[[], Awaitable[Any]]) -> None:
        """Keep a connection open until `take`. Errors are logged only: the call's own connection reports them."""
        self._url = url
        pause_s = _PAUSES_S[0]
        while not self._is_taken:
            began = time.monotonic()
            try:
                self._websocket = websocket = await connect()
                await first_of(websocket.wait_closed(), timeout_s=_AGE_S)
                if not self._is_taken:
                    await websocket.close()
            except (OSError, WebSocketException) as error:
                log.debug("early_connection.failed", url=without_identity(url), error=type(error).__name__)
            except Exception:
                log.exception("early_connection.bug")
            lasted = time.monotonic() - began >= _STEADY_S
            pause_s = _PAUSES_S[0] if lasted else min(2 * pause_s, _PAUSES_S[1])
            await asyncio.sleep(pause_s)

    def take(self, url: str) -> Any:
        """The open connection to this address, once; None without one."""
        self._is_taken = True
        websocket, self._websocket = self._websocket, None
        is_usable = websocket is not None and websocket.state is State.OPEN and self._url == url
        return websocket if is_usable else None
