"""Keeps a pull subscription from going deaf or into a spin.

nats-py's fetch returns at once when the consumer or the stream is gone, and when the connection is closed; FastStream
asks again at once. Without this, a vanished consumer is silence and a busy core, a closed connection a frozen loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
from nats.js.errors import ServiceUnavailableError

_GONE_S: Final = 0.5
_CLOSED_S: Final = 1.0
_OTHER_S: Final = 0.25


def guard(
    subscription: Any,
    repair: Callable[[], Awaitable[None]],
    progressed: Callable[[], None],
    stopping: asyncio.Event,
) -> None:
    """Wrap `subscription.fetch`.

    Args:
        repair: Declares the consumer again; never raises.
        progressed: Called whenever a fetch came back in time, if only with nothing.
        stopping: Once set, nothing more is fetched.
    """
    fetch = subscription.fetch

    async def guarded(batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Any]:
        if stopping.is_set():
            await asyncio.sleep(_OTHER_S)
            raise nats.errors.TimeoutError
        try:
            messages = await fetch(batch, timeout, heartbeat)
        except nats.errors.ConnectionClosedError:
            await asyncio.sleep(_CLOSED_S)
            raise
        except ServiceUnavailableError:
            await asyncio.sleep(_GONE_S)
            await repair()
            raise
        except TimeoutError:  # nothing came; FastStream knows only nats-py's own kind
            progressed()
            raise nats.errors.TimeoutError from None
        except Exception:  # refused while reconnecting
            await asyncio.sleep(_OTHER_S)
            raise nats.errors.TimeoutError from None
        progressed()
        return messages

    subscription.fetch = guarded
