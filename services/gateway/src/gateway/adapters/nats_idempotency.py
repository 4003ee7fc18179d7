"""The bucket `idempotency`: the clients' keys, and the answers to their requests."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

from chassis import metrics
from chassis.nats import Bus, KeyChanged, KeyExists, StreamFull
from contracts.errors import IDEMPOTENCY_STORE_FULL, Refused
from contracts.streams import IDEMPOTENCY
from gateway.adapters.bucket_use import is_past_its_age, measure
from gateway.adapters.nats_errors import translated
from gateway.ports import K, KeyedEntry, NatsUnavailable

_RETRY_AFTER_S: Final = 60
_TRIES: Final = 3

_USES = metrics.counter(
    "gateway_idempotency_claims_total", "Idempotency keys: first use, repeated use, store full", ("result",)
)
_USED = metrics.gauge("gateway_idempotency_used_ratio", "Share of IDEMPOTENCY_MAX_MB in use")


class NatsIdempotencyKeys:
    """`ports.IdempotencyKeys`."""

    def __init__(self, bus: Bus, *, deadline_s: float, now: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._bucket = bus.bucket(IDEMPOTENCY)
        self._deadline_s = deadline_s
        self._now = now

    async def find(self, name: str, kind: type[K]) -> KeyedEntry[K] | None:
        with translated():
            stored = await self._bucket.get(name, deadline_s=self._deadline_s)
        if stored is None or is_past_its_age(stored, self._now()):  # a new request may use its name by now
            return None
        entry = stored.read(kind)
        return None if entry is None else KeyedEntry(entry, stored.revision)

    async def put_if_absent(self, name: str, entry: K) -> KeyedEntry[K]:
        for _ in range(_TRIES):
            try:
                with translated(), _bounded():
                    revision = await self._bucket.create(name, _bytes(entry), deadline_s=self._deadline_s)
            except KeyExists as exists:
                found = await self.find(name, type(entry))
                if found is None:  # it expired meanwhile, came back, or is unreadable: replace it at its revision
                    found = await self._put(name, entry, exists.revision)
                if found is not None:
                    _USES.labels("first" if found.is_ours else "again").inc()
                    return found
            else:
                _USES.labels("first").inc()
                return KeyedEntry(entry, revision, is_ours=True)
        raise NatsUnavailable("The Idempotency-Key changed while it was read; repeat the request.")

    async def replace(self, name: str, keyed: KeyedEntry[K], entry: K) -> KeyedEntry[K]:
        replaced = await self._put(name, entry, keyed.revision)
        return replaced if replaced is not None else await self.put_if_absent(name, entry)

    async def measure(self) -> None:
        await measure(self._bucket, _USED.set, deadline_s=self._deadline_s)

    async def _put(self, name: str, entry: K, revision: int) -> KeyedEntry[K] | None:
        try:
            with translated(), _bounded():
                revision = await self._bucket.update(name, _bytes(entry), revision, deadline_s=self._deadline_s)
        except KeyChanged:
            return None
        return KeyedEntry(entry, revision, is_ours=True)


@contextmanager
def _bounded() -> Generator[None]:
    """Translate a full bucket: neither NATS nor the request is at fault."""
    try:
        yield
    except StreamFull as error:
        _USES.labels("full").inc()
        raise Refused(
            IDEMPOTENCY_STORE_FULL,
            "The gateway's store of Idempotency-Keys is full (IDEMPOTENCY_MAX_MB).",
            retry_after_s=_RETRY_AFTER_S,
        ) from error


def _bytes(entry: BaseModel) -> bytes:
    return entry.model_dump_json(exclude_none=True).encode()
