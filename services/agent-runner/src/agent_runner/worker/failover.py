"""A provider's second key or place: what would make a WebSocket service unusable makes it go on there.

Pipecat's own means, the service switcher, holds two services of a kind in the pipeline and moves the frames over. Ours
keeps one, with its buffered audio and its unspoken text, and moves its connection (docs/decisions/0005).
"""

# pyright: standard

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.services.websocket_service import WebsocketService
from pipecat.utils.errors import ErrorCategory, classify_http_exception

from agent_runner.agent_config import Endpoint

Base: Any = WebsocketService  # the mixin stands before a service that derives from it


class Failover(Base):
    """Mixed in before one of Pipecat's WebSocket services.

    Attributes:
        on_fault: Told that the service does not do its work, and since how many seconds.
        on_recovery: Told that it can do its work again.
    """

    on_fault: Callable[[float], None]
    on_recovery: Callable[[], None]
    _spare: deque[Endpoint]
    _moves = 0

    def _move_to(self, endpoint: Endpoint) -> None:
        """Use this one from the next connection on."""
        raise NotImplementedError

    async def push_error_frame(self, error: ErrorFrame, force_treat_as_permanent: bool = False) -> None:
        """Report an error; one that writes the service off moves it on first, as long as there is somewhere to go."""
        if self._spare and not self._disconnecting and (force_treat_as_permanent or _is_permanent(error)):
            endpoint = self._spare.popleft()
            logger.error(f"{self}: going on with the fallback at {endpoint.url}: {error.error}")
            self._move_to(endpoint)
            self._moves += 1
            self._quick_failure_tracker.reset()
            error.category, force_treat_as_permanent = ErrorCategory.CONNECTIVITY, False
        await super().push_error_frame(error, force_treat_as_permanent)

    async def _receive_task_handler(self, report_error: Any) -> None:
        """Receive and reconnect until Pipecat gives up; then once more for each endpoint it was moved to."""
        moves = -1
        while moves != self._moves and not self._disconnecting and self.is_usable:
            moves = self._moves
            await super()._receive_task_handler(report_error)

    async def _try_reconnect(self, *how: Any, **more: Any) -> bool:
        """Connect again. Without a connection the service fails; a new one ends that, unless an answer is still due."""
        self.on_fault(0.0)
        is_back = await super()._try_reconnect(*how, **more)
        if is_back and not self._has_to_answer:
            self.on_recovery()
        return is_back

    @property
    def _has_to_answer(self) -> bool:
        """It was asked for something that did not come yet: only that will show whether it works."""
        return False

    def _drop_connection(self) -> None:
        """Cut a connection that is of no use any more; the receive loop makes a new one."""
        if self._websocket is not None:
            self._websocket.transport.abort()


def _is_permanent(error: ErrorFrame) -> bool:
    category = error.category or (classify_http_exception(error.exception) if error.exception else None)
    return category is not None and category.is_permanent
