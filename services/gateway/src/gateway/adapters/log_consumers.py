"""The number of the log's consumers: at nats-server's limit a fail-over cannot read the log."""

import asyncio
from typing import Final, NoReturn

from chassis import metrics
from chassis.logs import get_logger
from chassis.nats import Bus, BusUnavailable
from contracts.streams import SESSIONS

_MEASURE_S: Final = 15.0
_ALLOWED: Final = 1000  # nats-server's default limit per stream, which it reports as -1

_USED = metrics.gauge("log_consumers_used_ratio", "Share of the 1,000 consumers that the stream SESSIONS may have")

log = get_logger(__name__)


async def measure_consumers(bus: Bus) -> NoReturn:
    """Report the used share every 15 s, until cancelled."""
    while True:
        try:
            _USED.set((await bus.use_of(SESSIONS)).consumers / _ALLOWED)
        except BusUnavailable as error:
            log.warning("log.consumers_not_measured", error=error)
        await asyncio.sleep(_MEASURE_S)
