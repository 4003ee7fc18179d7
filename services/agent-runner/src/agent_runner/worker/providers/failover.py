"""Failover of a WebSocket service to the provider's second key or address.

Pipecat's service switcher holds two services of a kind and reroutes the frames. We keep one service, with its buffered
audio and its unspoken text, and move its connection to the next endpoint (docs/decisions/0005).
"""

# pyright: standard

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.services.websocket_service import WebsocketService
from pipecat.utils.errors import ErrorCategory, classify_http_exception
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers.error_name import error_name

Base: Any = WebsocketService  # the mixin precedes a service that derives from it


class Failover(Base):
    """A mixin that precedes one of Pipecat's WebSocket services in the bases.

    Attributes:
        on_fault: Called when the service stops working, with the seconds since that began.
        on_recovery: Called when the service works again.
    """

    on_fault: Callable[[float], None]
    on_recovery: Callable[[], None]
    _spare: deque[Endpoint]
    _moves = 0

    def _move_to(self, endpoint: Endpoint) -> None:
        """Use `endpoint` for the next connection."""
        raise NotImplementedError

    async def push_error_frame(self, error: ErrorFrame, force_treat_as_permanent: bool = False) -> None:
        """Report an error. While endpoints are left, a permanent error moves to the next one and stays temporary."""
        if self._spare and not self._disconnecting and (force_treat_as_permanent or _is_permanent(error)):
            endpoint = self._spare.popleft()
            logger.error(f"{self}: failing over to {endpoint.url}: {error_name(error)}")
            self._move_to(endpoint)
            self._moves += 1
            self._quick_failure_tracker.reset()
            error.category, force_treat_as_permanent = ErrorCategory.CONNECTIVITY, False
        await super().push_error_frame(error, force_treat_as_permanent)

    async def _receive_task_handler(self, report_error: Any) -> None:
        """Receive and reconnect until Pipecat's retries end; repeat that for each endpoint that it failed over to."""
        moves = -1
        while moves != self._moves and not self._disconnecting and self.is_usable:
            moves = self._moves
            await super()._receive_task_handler(report_error)

    async def _try_reconnect(self, *how: Any, **more: Any) -> bool:
        """Reconnect. The fault ends with the new connection, unless an answer is still due."""
        self.on_fault(0.0)
        is_back = await super()._try_reconnect(*how, **more)
        if is_back and not self._has_to_answer:
            self.on_recovery()
        return is_back

    @property
    def _has_to_answer(self) -> bool:
        """Whether a request is unanswered: then only its answer shows that the service works."""
        return False

    @property
    def _is_open(self) -> bool:
        return self._websocket is not None and self._websocket.state is State.OPEN

    async def _send_if_open(self, message: dict[str, str]) -> None:
        """Send to the provider; a broken connection is left to the receive loop, which sees it too."""
        if self._is_open:
            try:
                await self._websocket.send(json.dumps(message))
            except (ConnectionClosed, OSError) as error:
                logger.debug(f"{self}: not sent: {type(error).__name__}")

    def _abort_connection(self) -> None:
        """Close a broken connection at once; the receive loop reconnects."""
        if self._websocket is not None:
            self._websocket.transport.abort()


def _is_permanent(error: ErrorFrame) -> bool:
    category = error.category or (classify_http_exception(error.exception) if error.exception else None)
    return category is not None and category.is_permanent
