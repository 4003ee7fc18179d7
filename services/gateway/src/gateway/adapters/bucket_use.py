"""The used share of the buckets that refuse new keys at their limit."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from chassis.logs import get_logger
from chassis.nats import Bucket, BusUnavailable

_MEASURE_S: Final = 30.0

log = get_logger(__name__)


async def measure(bucket: Bucket[Any], show: Callable[[float], None], *, deadline_s: float) -> None:
    """Report the used share of the bucket's bytes every 30 s, until cancelled."""
    while True:
        try:
            show(await bucket.used_ratio(deadline_s=deadline_s))
        except BusUnavailable as error:
            log.warning("bucket.not_measured", bucket=bucket.spec.name, error=error)
        await asyncio.sleep(_MEASURE_S)
