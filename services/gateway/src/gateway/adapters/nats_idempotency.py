"""The bucket `idempotency`: request keys, and the answers to them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from chassis.nats import Bus, KeyChanged, KeyExists, StreamFull, read_value
from contracts.errors import IDEMPOTENCY_STORE_FULL, Refused
from contracts.streams import IDEMPOTENCY
from pydantic import BaseModel

from chassis import metrics
from gateway.adapters.bucket_use import measure
from gateway.adapters.nats_log import translated
from gateway.ports import BusAway, Claim, K

_RETRY_AFTER_S: Final = 60
_TRIES: Final = 3

_CLAIMS = metrics.counter(
    "gateway_idempotency_claims_total", "Request keys: first use, use again, no room left", ("result",)
)
_USED = metrics.gauge("gateway_idempotency_used_ratio", "Share of IDEMPOTENCY_MAX_MB in use")


class NatsIdempotencyKeys:
    """Request keys over the service's bus."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bus = bus
        self._bucket = bus.bucket(IDEMPOTENCY)
        self._deadline_s = deadline_s

    async def find(self, name: str, kind: type[K]) -> Claim[K] | None:
        """The key's entry, if there is one."""
        with translated():
            stored = await self._bucket.get(name, deadline_s=self._deadline_s)
        if stored is None:
            return None
        entry = read_value(kind, self._bucket.spec.name, stored.key, stored.value, stored.revision)
        return None if entry is None else Claim(entry, stored.revision)

    async def claim(self, name: str, entry: K) -> Claim[K]:
        """Take the key with this entry; where another request was first, its entry is the answer."""
        for _ in range(_TRIES):
            try:
                with translated(), _bounded():
                    revision = await self._bucket.create(name, _bytes(entry), deadline_s=self._deadline_s)
            except KeyExists as exists:
                found = await self.find(name, type(entry))
                if found is None:  # expired as it was read, or unreadable: that one gives way at its revision
                    found = await self._put(name, entry, exists.revision)
                if found is not None:
                    _CLAIMS.labels("first" if found.is_ours else "again").inc()
                    return found
            else:
                _CLAIMS.labels("first").inc()
                return Claim(entry, revision, is_ours=True)
        raise BusAway("The Idempotency-Key changes while it is read; repeat the request.")

    async def replace(self, name: str, claim: Claim[K], entry: K) -> Claim[K]:
        """Put another entry in the place of this one; where another request was faster, its entry is the answer."""
        replaced = await self._put(name, entry, claim.revision)
        return replaced if replaced is not None else await self.claim(name, entry)

    async def measure(self) -> None:
        """Tell the share of the bucket that is in use, for ever."""
        await measure(self._bucket, _USED.set, deadline_s=self._deadline_s)

    async def _put(self, name: str, entry: K, revision: int) -> Claim[K] | None:
        try:
            with translated(), _bounded():
                revision = await self._bucket.update(name, _bytes(entry), revision, deadline_s=self._deadline_s)
        except KeyChanged:
            return None
        return Claim(entry, revision, is_ours=True)


@contextmanager
def _bounded() -> Generator[None]:
    """Name a full bucket for what it is: not an outage, and not a fault of the request."""
    try:
        yield
    except StreamFull as error:
        _CLAIMS.labels("full").inc()
        raise Refused(
            IDEMPOTENCY_STORE_FULL,
            "The gateway keeps as many Idempotency-Keys as fit into IDEMPOTENCY_MAX_MB.",
            retry_after_s=_RETRY_AFTER_S,
        ) from error


def _bytes(entry: BaseModel) -> bytes:
    return entry.model_dump_json(exclude_none=True).encode()
