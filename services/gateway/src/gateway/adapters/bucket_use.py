"""The gateway's own buckets, whose keys expire at the bucket's age: expired keys, and the used share of the bytes."""

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from chassis.logs import get_logger
from chassis.nats import Bucket, BusUnavailable, Entry

_MEASURE_S: Final = 30.0
_CLOCKS_S: Final = 3600.0  # most difference between the clock of NATS and ours

log = get_logger(__name__)


def is_past_its_age(entry: Entry[Any], now_s: float) -> bool:
    """Whether the key has expired, and NATS brought it back after a SIGKILL.

    Args:
        now_s: Unix time.
    """
    return now_s - entry.stored_ms / 1000 > (entry.spec.ttl_s or math.inf) + _CLOCKS_S


async def measure(bucket: Bucket[Any], show: Callable[[float], None], *, deadline_s: float) -> None:
    """Report the used share of the bucket's bytes every 30 s, until cancelled."""
    while True:
        try:
            show(await bucket.used_ratio(deadline_s=deadline_s))
        except BusUnavailable as error:
            log.warning("bucket.not_measured", bucket=bucket.spec.name, error=error)
        await asyncio.sleep(_MEASURE_S)
