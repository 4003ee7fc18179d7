"""A lease: at most one holder, who knows by its own clock when it has lost it."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from chassis import logs
from chassis.clock import boot_clock
from chassis.nats.errors import BusUnavailable, KeyChanged, KeyExists
from chassis.nats.kv.bucket import Bucket, Entry
from contracts.registry import Leader

_MARGIN: Final = 0.1  # share of the TTL by which a hold expires before the server's key
_TAKE_S: Final = 0.5  # how often a stand-by tries to acquire it
_HANDOVER_S: Final = 10.0  # timeout of `on_lost`
_AFTER_A_BUG_S: Final = 2.0
_STALE_TTLS: Final = 2  # after so many TTLs the hold has expired by the holder's own clock
_SHORTEST_S: Final = 0.05
_RETRY_S: Final = 0.2  # after a failed renewal, while the lease is held

log = logs.get_logger(__name__)


class Lease:
    """The right to a role, kept under `key` of a bucket with TTLs.

    A hold that has expired never revives, whatever the server says later: its holder has stopped work meanwhile, which
    only a new term resumes.

    Args:
        holder: A name that no other process has or had.
        ttl_s: Whole seconds; after a crash the role has no holder for this long and a little.
        clock: Seconds that continue while the machine is suspended.

    Attributes:
        revision: Grows with each holder and renewal: what a later holder writes is newer.
        term: The revision at which the present hold, or the last one, began; a later holder's is greater.
        gains: How often this process gained the lease.
        others_seen: How often this process saw another one hold the lease.
    """

    def __init__(
        self, bucket: Bucket[Leader], key: str, holder: str, ttl_s: int, *, clock: Callable[[], float] = boot_clock
    ) -> None:
        self.key = key
        self.holder = holder
        self.ttl_s = max(1, ttl_s)
        self._bucket = bucket
        self._clock = clock
        self._value = Leader(holder=holder)
        self.revision = 0
        self.term = 0
        self.gains = 0
        self.others_seen = 0
        self._held_until = -math.inf
        self._unrenewed: tuple[int, float] = (0, 0.0)  # another holder's revision, and since when we see it

    @property
    def is_held(self) -> bool:
        """Whether no other process can have it now, by our own clock: also right after a freeze or a suspend."""
        return self._clock() < self._held_until

    async def outbid(self, term: int) -> bool:
        """Raise the term above one that others have seen, if the server confirms that we hold the lease.

        After its store was lost the bucket counts from 1, so the rightful holder's term may be below older ones.
        """
        if not self.is_held or not await self.renew():
            return False
        self.term = max(self.term, term + 1)
        return True

    async def acquire(self) -> bool:
        """Take the lease if it is free or already ours; False if another process holds it or NATS is unavailable."""
        self._held_until = -math.inf
        asked = self._clock()
        try:
            revision = await self._bucket.create(self.key, self._value, ttl_s=self.ttl_s, deadline_s=self._attempt_s)
        except KeyExists:
            return await self._adopt()
        except BusUnavailable:
            return False
        self._gain(revision, asked)
        return True

    async def renew(self) -> bool:
        """Restart the TTL; False if the lease is lost, or NATS is unavailable (`is_held` stays true until expiry)."""
        if not self.is_held:
            return False
        asked = self._clock()
        left_s = max(_SHORTEST_S, min(self._attempt_s, self._held_until - asked))
        try:
            revision = await self._bucket.update(
                self.key, self._value, self.revision, ttl_s=self.ttl_s, deadline_s=left_s
            )
        except KeyChanged:
            return await self._adopt()
        except BusUnavailable:
            return False
        return self._prolong(revision, asked)

    async def release(self) -> None:
        """Release it, so that the next holder need not wait for the TTL."""
        if self.revision == 0:
            return
        self._held_until = -math.inf
        with suppress(KeyChanged, BusUnavailable):
            await self._bucket.delete(self.key, self.revision, deadline_s=self._attempt_s)
        self.revision = 0

    async def run(self, on_gained: Callable[[], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]) -> None:
        """Acquire the lease and renew it, for ever; a cancellation releases it.

        `on_gained` runs as a task beside the renewals, without a time limit. When the lease is lost, or `on_gained`
        fails, the task is cancelled, `on_lost` is awaited (10 s at most) and the lease is released.
        """
        while True:
            if not await self.acquire():
                await asyncio.sleep(min(_TAKE_S, self.ttl_s / 4))
                continue
            log.info("lease.gained", key=self.key, holder=self.holder, term=self.term)
            try:
                failed = await self._lead(on_gained)
            finally:
                await self._hand_over(on_lost)
            if failed:
                await asyncio.sleep(_AFTER_A_BUG_S)

    async def _lead(self, on_gained: Callable[[], Awaitable[None]]) -> bool:
        """Renew the lease until it is lost; True if `on_gained` failed."""
        leading = asyncio.ensure_future(on_gained())
        leading.add_done_callback(self._report_bug)
        pause_s = self.ttl_s / 3
        try:
            while self.is_held:
                await self._wait(leading, min(pause_s, self._held_until - self._clock()))
                if leading.done() and not leading.cancelled() and leading.exception() is not None:
                    return True
                pause_s = self.ttl_s / 3 if await self.renew() else _RETRY_S
            return False
        finally:
            if not leading.done():
                leading.cancel()
                await asyncio.wait({leading}, timeout=1)

    def _report_bug(self, leading: asyncio.Future[None]) -> None:
        """Log a failure of `on_gained`, also one that comes with the loss of the lease."""
        if not leading.cancelled() and (error := leading.exception()) is not None:
            log.error("lease.leader_bug", key=self.key, exc_info=error)

    async def _wait(self, leading: asyncio.Future[None], pause_s: float) -> None:
        if leading.done():
            await asyncio.sleep(max(0.0, pause_s))
        else:
            await asyncio.wait({leading}, timeout=max(0.0, pause_s))

    async def _hand_over(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        log.warning("lease.lost", key=self.key, holder=self.holder)
        try:
            async with asyncio.timeout(_HANDOVER_S):
                await on_lost()
        except Exception:
            log.exception("lease.on_lost_bug", key=self.key)
        finally:
            await self.release()

    async def _adopt(self) -> bool:
        """Read the key after a conflict: it is ours after a lost acknowledgement, gone, or another holder's."""
        holds = self.is_held
        try:
            entry = await self._bucket.get(self.key, deadline_s=self._attempt_s)
        except BusUnavailable:
            return False
        asked = self._clock()
        if entry is None and holds:
            return await self._put_back()
        if entry is None or not self._is_ours(entry):
            self._held_until = -math.inf
            self.revision = 0
            self.others_seen += entry is not None
            if entry is None or not self._is_stale(entry, asked):
                return False
            log.error("lease.stale_taken", key=self.key, revision=entry.revision)
            holds = False
        try:
            revision = await self._bucket.update(
                self.key, self._value, entry.revision, ttl_s=self.ttl_s, deadline_s=self._attempt_s
            )
        except (KeyChanged, BusUnavailable):
            return False
        if holds:
            return self._prolong(revision, asked)
        self._gain(revision, asked)
        return True

    async def _put_back(self) -> bool:
        """Recreate the key: it disappeared although we hold the lease by our own clock.

        The server measures the TTL with its wall clock: setting that forward expires the key early.
        """
        asked = self._clock()
        try:
            revision = await self._bucket.create(self.key, self._value, ttl_s=self.ttl_s, deadline_s=self._attempt_s)
        except KeyExists:
            self._held_until = -math.inf
            self.revision = 0
            self.others_seen += 1
            return False
        except BusUnavailable:
            return False
        log.warning("lease.put_back", key=self.key, holder=self.holder)
        return self._prolong(revision, asked)

    def _is_stale(self, entry: Entry[Leader], now: float) -> bool:
        """Whether the key was not renewed for two TTLs; a key without an expiry would block the role for ever."""
        revision, since = self._unrenewed
        if entry.revision != revision:
            self._unrenewed = entry.revision, now
            return False
        return now - since >= _STALE_TTLS * self.ttl_s

    def _is_ours(self, entry: Entry[Leader]) -> bool:
        return entry.value is not None and entry.value.holder == self.holder

    def _gain(self, revision: int, asked: float) -> None:
        self.term = self.revision = revision
        self.gains += 1
        self._held_until = self._end_of(asked)

    def _prolong(self, revision: int, asked: float) -> bool:
        """Extend the hold; False if it expired before the answer came: then the term ends all the same."""
        self.revision = revision
        if not self.is_held:
            return False
        self._held_until = self._end_of(asked)
        return True

    def _end_of(self, asked: float) -> float:
        # From the time of the request: the server's TTL began later, so ours expires first.
        return asked + self.ttl_s * (1 - _MARGIN)

    @property
    def _attempt_s(self) -> float:
        return max(0.3, self.ttl_s / 4)
